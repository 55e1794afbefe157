"""Runs that are killed, interrupted and resumed, against the same run left alone: to the bit."""

import dataclasses
import enum
import functools
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import zipfile

import numpy as np
import pytest
from tqdm import tqdm

import dynsim as ds
from dynsim import observers
from dynsim._fingerprint import fingerprint
from dynsim.errors import ArgumentError, DataError

OBSERVERS = (
    observers.Moments(),
    observers.Histogram(np.linspace(-2, 2, 21)),
    observers.FirstPassage(lambda x: x[..., 0] > 1),
)


@functools.cache
def well(depth=2.0):
    return ds.SDE(lambda t, x: depth * (x[0] - x[0] ** 3), lambda t, x: 0.8)


def run(path=None, sde=None, **changes):
    options = {"x0": 0.0, "t_end": 20.0, "dt": 0.01, "n_paths": 20, "rng": 3, "save_every": 10, "observe": OBSERVERS}
    options |= {"chunk_steps": 50, "checkpoint": path, "checkpoint_seconds": 1e-6} | changes
    return ds.integrate(sde or well(), **options)


def same(one, other):
    pairs = [(one.x, other.x), (one.t, other.t), (one.diverged, other.diverged)]
    for a, b in zip(one.observed.values(), other.observed.values(), strict=True):
        pairs += [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a) if f.name != "edges"]
    return all(np.array_equal(a, b) for a, b in pairs)


SCRIPT = """
import sys
import numpy as np
import dynsim as ds
from dynsim import observers
from dynsim._fingerprint import fingerprint

def drift(t, x):
    return x[0] - x[0] ** 3

def right(x):
    return x[..., 0] > 1

histogram = observers.Histogram(np.linspace(-2, 2, 21))
observe = [observers.Moments(), histogram, observers.Visits([right]), observers.BatchMeans(right)]
checkpoint, result, chunk, threads = sys.argv[1:]
run = ds.integrate(
    ds.SDE(drift, lambda t, x: 0.8), 0.0, 3000.0, dt=0.01, refine=2, n_paths=100, rng=3, save_every=50_000,
    observe=observe, checkpoint=checkpoint, checkpoint_seconds=0.001, chunk_steps=int(chunk), threads=int(threads),
)
found = run.observed
np.savez(
    result, x=run.x, means=found["moments"].means, covs=found["moments"].covs, moves=found["visits"].moves,
    groups=found["histogram"].groups, batches=found["batch_means"].means,
)
"""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    """Killed with SIGKILL at five random moments, each time resumed with other chunks and threads."""
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def start(name, chunk, threads):
        command = [sys.executable, script, tmp_path / f"{name}.check.npz", tmp_path / f"{name}.npz", chunk, threads]
        return subprocess.Popen([str(word) for word in command])

    alone = start("alone", 2000, 1)
    assert alone.wait() == 0
    moments = random.Random(1)
    checkpoint = tmp_path / "killed.check.npz"
    steps = []
    for kill in range(5):
        process = start("killed", moments.choice([150, 500, 1251]), 1 + kill % 2)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with np.load(checkpoint) as file:
            steps.append(int(file["step"]))
    assert 0 < steps[0] < steps[-1] < 600_000
    assert start("killed", 5_000, 2).wait() == 0
    with np.load(tmp_path / "alone.npz") as expected, np.load(tmp_path / "killed.npz") as found:
        for name in expected.files:
            assert np.array_equal(expected[name], found[name]), name


def press_ctrl_c(*, after):
    """A progress bar that sends SIGINT when it is told of so many chunks."""

    class Bar(tqdm):
        chunks = 0

        def update(self, n):
            Bar.chunks += 1
            if Bar.chunks == after:
                os.kill(os.getpid(), signal.SIGINT)

    return Bar


@pytest.mark.parametrize("save_every", [None, 7, 1000])
def test_ctrl_c_returns_what_has_been_computed_and_a_checkpoint_goes_on(tmp_path, monkeypatch, save_every):
    path = tmp_path / "run.npz"
    options = {"save_every": save_every, "checkpoint_seconds": 60.0}
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr("dynsim._ensemble.tqdm", press_ctrl_c(after=13))
        with pytest.warns(UserWarning, match="interrupted after 650 of 2000 steps; the result is incomplete"):
            part = run(path, **options)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not part.complete
    assert "interrupted" in repr(part)
    assert part.t[-1] == 6.5
    short = run(None, t_end=6.5, **options)  # what it has computed is this, its tallies included
    np.testing.assert_array_equal(part.x, short.x)
    np.testing.assert_array_equal(part.observed["moments"].covs, short.observed["moments"].covs)
    np.testing.assert_array_equal(part.observed["histogram"].counts, short.observed["histogram"].counts)
    whole = run(path, **options)
    assert whole.complete
    assert same(whole, run(None, **options))


def test_a_second_ctrl_c_raises():
    """The first one is answered between two chunks, and here a chunk takes a second or more."""
    run(t_end=1.0)  # compiled before
    timers = [threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT)) for delay in (0.2, 0.4)]
    for timer in timers:
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(t_end=10_000.0, chunk_steps=1_000_000, n_paths=200, save_every=None, threads=1)


def test_a_run_in_another_thread_leaves_ctrl_c_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert same(results[0], run())


def test_a_finished_run_is_not_run_again(tmp_path):
    first = run(tmp_path / "run.npz")
    content = (tmp_path / "run.npz").read_bytes()
    assert same(first, run(tmp_path / "run.npz", threads=1, block_width=8, chunk_steps=None))
    assert (tmp_path / "run.npz").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_chain_resumes_too(tmp_path, valleys):
    def chain(path, method, **changes):
        return ds.iterate(
            valleys, method, 0.25, n_steps=500, n_paths=9, rng=1, checkpoint=path, observe=OBSERVERS, **changes
        )

    first = chain(tmp_path / "run.npz", ds.RR(0.04))
    assert same(first, chain(tmp_path / "run.npz", ds.RR(0.04), threads=1))
    assert same(first, chain(None, ds.RR(0.04)))
    with pytest.raises(ArgumentError, match="of a run with another content of the method"):
        chain(tmp_path / "run.npz", ds.RR(0.05))


def test_without_a_seed_a_run_goes_on_with_the_one_it_began_with(tmp_path):
    first = run(tmp_path / "run.npz", rng=None)
    assert same(first, run(tmp_path / "run.npz", rng=None))
    assert same(first, run(None, rng=first.settings["seed"]))
    assert not same(first, run(None, rng=None))


def tilted(t, x):
    return 2.0 * (x[0] - x[0] ** 3) + 0.1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rng": 4}, "rng: it has"),
        ({"dt": 0.02}, "dt: it has 0.01, this run 0.02"),
        ({"t_end": 30.0}, "t_end"),
        ({"x0": 0.1}, "x0"),
        ({"n_paths": 21}, "n_paths"),
        ({"save_every": 5}, "save_every"),
        ({"scheme": "milstein"}, "scheme"),
        ({"refine": 2}, "refine"),
        ({"observe": OBSERVERS[:2]}, "observe"),
        ({"observe": (*OBSERVERS[:2], observers.FirstPassage(lambda x: x[..., 0] > 1.1))}, "observe"),
        ({"observe": (observers.Moments(burn_in=1), *OBSERVERS[1:])}, "observe"),
        ({"sde": well(2.1)}, "content of the SDE"),
        ({"sde": ds.SDE(tilted, lambda t, x: 0.8)}, "content of the SDE"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, changes, what):
    run(tmp_path / "run.npz")
    with pytest.raises(ArgumentError, match=f"of a run with another {what}"):
        run(tmp_path / "run.npz", **changes)
    run(tmp_path / "run.npz")  # and left alone


def test_fingerprints_tell_functions_by_all_that_they_refer_to():
    def digest(source, **names):
        space = {"np": np, **names}
        exec(source, space)
        return fingerprint(space["f"])

    inner = "def f(t, x):\n    return (lambda y: K * y)(x[0])"
    module = "def f(t, x):\n    return cfg.k * x[0]"
    for source, values in (
        ("def f(t, x):\n    return K * x[0]", [{"K": np.int64(1)}, {"K": np.int64(9)}, {"K": 1}, {"K": np.ones(1)}]),
        (inner, [{"K": 1.0}, {"K": 7.0}]),
        (module, [{"cfg": types.ModuleType("cfg"), "k": k} for k in (1, 3)]),
    ):
        for names in values:
            if "cfg" in names:
                names["cfg"].k = names.pop("k")
        digests = [digest(source, **names) for names in values]
        assert len(set(digests)) == len(values)
        assert digests == [digest(source, **names) for names in values]
    assert digest("def f(*, k=1): return k") != digest("def f(*, k=2): return k")


def test_fingerprints_look_into_modules_and_enumerations():
    def module(**attributes):
        made = types.ModuleType("mine")
        vars(made).update(attributes)
        return made

    def enclosing(cfg):
        return lambda x: (cfg.k if hasattr(cfg, "k") else cfg.value) * x

    def nested(k):
        space = {"m": module(sub=module(k=k), f=lambda x: k * x)}
        exec("def by_number(x):\n    return m.sub.k * x\ndef by_function(x):\n    return m.f(x)", space)
        return space["by_number"], space["by_function"]

    first, second = (enum.Enum("Kind", {"A": k, "B": 3}) for k in (1, 2))
    in_class = [eval("lambda x: Kind.A.value * x", {"Kind": kind}) for kind in (first, second)]
    in_cell = [enclosing(first(k)) for k in (1, 3)]
    in_module = [enclosing(module(k=k)) for k in (1.0, 2.0)]
    for one, other in (in_class, in_cell, in_module, *zip(nested(1.0), nested(2.0), strict=True)):
        assert fingerprint(one) == fingerprint(one)
        assert fingerprint(one) != fingerprint(other)


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="was not written: No space left on device"):
        done = run(tmp_path / "run.npz", t_end=1.0)
    assert done.complete
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "run.npz").symlink_to(tmp_path / "there" / "run.npz")
    first = run(tmp_path / "run.npz", t_end=1.0)
    assert (tmp_path / "run.npz").is_symlink()
    assert same(first, run(tmp_path / "there" / "run.npz", t_end=1.0))


@pytest.mark.parametrize("rng", [np.random.SeedSequence([1, 2, 3]), np.random.SeedSequence(5).spawn(2)[1]])
def test_any_seed_repeats_a_run_and_resumes_it(tmp_path, rng):
    first = run(tmp_path / "run.npz", t_end=1.0, rng=rng)
    assert same(first, run(None, t_end=1.0, rng=first.settings["seed"]))
    assert same(first, run(tmp_path / "run.npz", t_end=1.0, rng=None))


def test_a_damaged_checkpoint_is_refused_or_harmless(tmp_path):
    """Cut off, and with any byte changed."""
    path = tmp_path / "run.npz"
    expected = run(path)
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="is damaged, or is none"):
            run(path)
    refused = 0
    for place in random.Random(2).sample(range(len(content)), 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            assert same(run(path), expected)
        except (DataError, ArgumentError):
            refused += 1
    assert refused > 40


def test_a_file_that_is_no_checkpoint_is_left_alone(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.arange(3))
    content = path.read_bytes()
    with pytest.raises(DataError, match="is damaged, or is none; give another path or delete it"):
        run(path)
    assert path.read_bytes() == content
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        run(tmp_path)
    with pytest.raises(ArgumentError, match="checkpoint must be in a folder that exists"):
        run(tmp_path / "none" / "run.npz")


def test_a_checkpoint_is_plain_arrays_and_json(tmp_path):
    run(tmp_path / "run.npz")
    with zipfile.ZipFile(tmp_path / "run.npz") as archive:
        assert all(b"\x80\x04" not in archive.read(name)[:200] for name in archive.namelist())  # no pickle
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        assert file["x"].shape == (20, 1)
        assert file["saved"].shape == (20, 201, 1)
    assert header["settings"]["dt"] == 0.01
    assert header["seed"]["entropy"] == 3


def test_the_bar_stays_out_of_what_is_no_terminal(capfd):
    run(t_end=2000.0, n_paths=2000, chunk_steps=None, save_every=None, observe=None)
    assert capfd.readouterr().err == ""
