"""Time averages against exact laws: of autoregressions, an Ornstein–Uhlenbeck process, and finite chains."""

import contextlib
import dataclasses
import math
import warnings

import numpy as np
import pytest

import dynsim as ds
from dynsim import observers
from dynsim._observation import Goal
from dynsim.averages import Batches
from dynsim.ergodic import time_average
from dynsim.errors import ArgumentError, NotApplicable, PoorMixing, TooShort

MEAN, SPREAD, ETA = 0.7, 0.5, 0.1  # θ ← θ − η(θ − 0.7 + ½ξ): an autoregression with coefficient 1 − η
COEFFICIENT = 1 - ETA
VARIANCE = (ETA * SPREAD) ** 2 / (1 - COEFFICIENT**2)
LONG_RUN = VARIANCE * (1 + COEFFICIENT) / (1 - COEFFICIENT)  # n times the variance of the average of n


def first(x):
    return x[..., 0]


def square(x):
    return x[..., 0] ** 2


def right(x):
    return x[..., 0] > 0


def rare(x):
    return x[..., 0] > 2


def never(x):
    return x[..., 0] > 50


BOTH = {"first": first, "square": square}  # each function that is compiled takes a second: let tests share them
OU = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)


@pytest.fixture(scope="module")
def line():
    return ds.problems.linear_model(np.array([[1.0]]), np.array([MEAN]))


@pytest.fixture(scope="module")
def sgd():
    return ds.SGD(ETA, noise=ds.noise.Gaussian(SPREAD))


@pytest.fixture(scope="module")
def starts():
    """From the stationary law."""
    return MEAN + math.sqrt(VARIANCE) * np.random.default_rng(3).normal(size=(16, 1))


@pytest.fixture(scope="module")
def stored(line, sgd, starts):
    return ds.iterate(line, sgd, starts, n_steps=5000, n_paths=16, rng=1, average=BOTH)


def same(one, other):
    names = [f.name for f in dataclasses.fields(one) if f.name not in {"batches", "names", "method"}]
    return one.names == other.names and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in names
    )


# Batches


@pytest.mark.parametrize("n_steps", [3, 127, 255, 256, 257, 511, 512, 999, 1023, 1024, 3000])
def test_streamed_batches_are_those_of_the_stored_series(line, sgd, n_steps):
    """Means, variances and the unfinished batch, of values 1e4 times larger than they vary, too."""
    far = ds.problems.linear_model(np.array([[1.0]]), np.array([1000.0]))
    for problem, start, rounding in ((line, 0.0, 1e-12), (far, 1000.0, 1e-8)):
        observer = observers.BatchMeans(BOTH, burn_in=2, every=2)
        run = ds.iterate(problem, sgd, start, n_steps=n_steps, n_paths=3, rng=1, observe=observer)
        x = run.x[:, 2::2]
        values = np.concatenate([x, x**2], axis=2)
        expected = Batches.of_series(values, start=2, interval=2)
        found = run.observed["batch_means"].batches()
        for name in ("size", "n_rest", "n", "start", "interval"):
            assert getattr(found, name) == getattr(expected, name)
        np.testing.assert_allclose(found.means, expected.means, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.variances, expected.variances, rtol=rounding, atol=1e-14)
        np.testing.assert_allclose(found.rest, expected.rest, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.variance(), values.var(axis=(0, 1)), rtol=1e-1)


def test_functions_by_name_are_what_each_is_alone(line, sgd, stored):
    for number, function in enumerate(BOTH.values()):
        alone = ds.iterate(line, sgd, stored.x[:, 0], n_steps=5000, n_paths=16, rng=1, average=function).averaged
        np.testing.assert_array_equal(alone.means[..., 0], stored.averaged.means[..., number])
        np.testing.assert_array_equal(alone.variances[..., 0], stored.averaged.variances[..., number])
        assert (alone.shape, alone.names) == ((), ())
    assert stored.averaged.names == ("first", "square")


@pytest.mark.parametrize(("threads", "width", "chunk"), [(1, 16, None), (2, 3, 7), (2, 8, 1000)])
def test_averages_do_not_depend_on_the_layout(line, sgd, stored, threads, width, chunk):
    options = {"threads": threads, "block_width": width, "chunk_steps": chunk, "save_every": None}
    again = ds.iterate(line, sgd, stored.x[:, 0], n_steps=5000, n_paths=16, rng=1, average=BOTH, **options)
    assert same(again.average, stored.average)


# Values and errors


def test_streamed_and_stored_averages_are_the_same(stored):
    streamed = stored.average
    later = time_average(stored, BOTH)
    assert later.names == streamed.names
    for name in ("value", "stderr", "cov", "tau", "n_effective", "r_hat", "dof"):
        np.testing.assert_allclose(getattr(later, name), getattr(streamed, name), rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(later.value, streamed.value, rtol=1e-12)
    assert same(time_average(stored.averaged), stored.averaged.estimate())


def test_an_autoregression_has_its_mean_variance_and_long_run_variance(line, sgd, starts):
    run = ds.iterate(line, sgd, starts, n_steps=40_000, n_paths=16, rng=5, save_every=None, average=BOTH)
    found = run.average
    exact = np.array([MEAN, MEAN**2 + VARIANCE])
    assert (np.abs(found.value - exact) < 5 * found.stderr).all()
    n = found.n_paths * found.n_observations
    tolerance = 5 * np.sqrt(2 / found.dof[0])
    assert abs(n * found.stderr[0] ** 2 / LONG_RUN - 1) < tolerance
    assert abs(found.tau[0] * ETA / (2 - ETA) - 1) < tolerance
    assert abs(VARIANCE / LONG_RUN - 1) > tolerance  # negative control: as if the values were independent
    # θ = m + z: cov of the averages of z and of 2mz + z² is 2m times the variance of the former, z³ being odd
    assert abs(found.cov[0, 1] / (2 * MEAN * found.cov[0, 0]) - 1) < 2 * tolerance


def test_an_ornstein_uhlenbeck_process_is_averaged_in_its_own_time():
    """Saved every 0.5 from an exact autoregression; the long-run variance is ½ (1 + ρ)/(1 − ρ), ρ = exp(−½)."""
    rng, rho = np.random.default_rng(2), math.exp(-0.5)
    x = np.empty((20, 8000, 1))
    x[:, 0] = math.sqrt(0.5) * rng.normal(size=(20, 1))
    noise = math.sqrt(0.5 * (1 - rho**2)) * rng.normal(size=x.shape)
    for k in range(1, x.shape[1]):
        x[:, k] = rho * x[:, k - 1] + noise[:, k]
    run = ds.Trajectories(x, 0.5 * np.arange(8000), np.full(20, np.inf), {"dt": 0.5})
    found = time_average(run, first)
    tolerance = 5 * math.sqrt(2 / found.dof)
    assert abs(found.value) < 5 * found.stderr
    n = found.n_paths * found.n_observations
    assert abs(n * found.stderr**2 / (0.5 * (1 + rho) / (1 - rho)) - 1) < tolerance
    assert abs(found.tau / (0.5 * (1 + rho) / (1 - rho)) - 1) < tolerance  # in time, not in saves
    of_array = time_average(x, first)
    assert of_array.stderr == pytest.approx(found.stderr)
    assert of_array.tau == pytest.approx(2 * found.tau)


def long_run_variance(chain, values):
    """Of φ on a finite chain, from the Poisson equation (I − P) h = φ − π φ: 2⟨φ − πφ, h⟩ − Var φ."""
    transition, law = chain.transition.toarray(), np.exp(chain.stationary().log_mass)
    about = values - law @ values
    h = np.linalg.solve(np.eye(law.size) - transition + law, about)
    return 2 * (law * about) @ h - (law * about) @ about


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["SGD", "RR", "Balanced"])
def test_time_averages_of_two_valleys_are_those_of_the_exact_chain(schemes, scheme):
    """Where the slowest mode lives 7 steps (RR: 2 326) and the valleys are left in both directions."""
    problem = ds.problems.two_valleys(a1=0.4, eps=0.2, K=3.0)
    method, other = schemes(0.6)[scheme], schemes(0.5)[scheme]
    chain = ds.markov_chain(problem, method, x0=0.25)
    assert np.sort(np.linalg.eigvals(chain.transition.toarray()).real)[-2] < 1 - 1 / 2500
    law, states = np.exp(chain.stationary().log_mass), chain.states
    phi = {"right": right, "loss": problem.loss}  # stored and streamed
    exact = np.array([law @ right(states), law @ problem.loss(states)])
    run = ds.iterate(problem, method, 0.25, n_steps=50_000, n_paths=16, rng=scheme, average=phi)
    found = time_average(run, phi)
    assert (np.abs(found.value - exact) < 5 * found.stderr).all()
    np.testing.assert_allclose(run.average.value, found.value, rtol=1e-12)
    np.testing.assert_allclose(run.average.stderr, found.stderr, rtol=1e-9)
    n = found.n_paths * found.n_observations
    expected = np.array([long_run_variance(chain, values) for values in (right(states) * 1.0, problem.loss(states))])
    tolerance = 5 * np.sqrt(2 / found.dof)
    assert (np.abs(n * found.stderr**2 / expected - 1) < tolerance).all()
    independent = np.array([law @ (values - law @ values) ** 2 for values in (right(states), problem.loss(states))])
    assert (np.abs(independent / expected - 1) > tolerance).any()  # negative controls: no correlation,
    elsewhere = ds.markov_chain(problem, other, x0=0.25)  # and another step size
    assert abs(found.value[0] - elsewhere.stationary().probability(right)) > 5 * found.stderr[0]


@pytest.mark.parametrize("n_paths", [8, 40])
def test_chains_that_stay_in_their_valleys_are_too_short(valleys, schemes, n_paths):
    """Balanced at η = 0.04 leaves the right valley after 1.6e7 steps on average."""
    method = schemes(0.04)[2]
    assert ds.markov_chain(valleys, method, x0=0.25).mean_hitting_time(lambda x: x[..., 0] < -0.5) > 1e7
    x0 = np.where(np.arange(n_paths)[:, None] % 2 == 0, 0.25, -1.15)
    phi = {"right": right, "loss": valleys.loss}
    run = ds.iterate(valleys, method, x0, n_steps=20_000, n_paths=n_paths, rng=0, save_every=10, average=phi)
    for read in (lambda: run.average, lambda: time_average(run, phi), lambda: time_average(run, right)):
        with pytest.raises(TooShort) as refusal:
            read()
        assert np.ravel(refusal.value.estimate.value)[0] == pytest.approx(0.5, abs=0.01)


# until


def test_a_run_stops_when_its_average_is_as_accurate_as_asked(line, sgd, starts):
    options = {"n_paths": 16, "rng": 2, "save_every": None, "average": first}
    run = ds.iterate(line, sgd, starts, n_steps=10**7, until=0.01, **options)
    found = run.average
    assert run.complete
    assert run.settings["until"] == {"relative": 0.01}
    assert found.stderr <= 0.01 * found.value
    n = int(run.t[-1]) + 1
    expected = LONG_RUN / (0.01 * MEAN) ** 2 / 16  # observations of each chain at which it is as asked
    assert 0.6 * expected < n < 3 * expected
    previous = ds.iterate(line, sgd, starts, n_steps=round(n / math.sqrt(2)) - 1, **options)  # the look before
    with contextlib.suppress(TooShort):
        assert previous.average.stderr > 0.01 * previous.average.value
    assert np.array_equal(run.x[:, -1], ds.iterate(line, sgd, starts, n_steps=n - 1, **options).x[:, -1])
    both = ds.iterate(line, sgd, starts, n_steps=10**7, until={"relative": 1e-9, "absolute": 0.007}, **options)
    assert both.average.stderr <= 0.007
    assert abs(math.log2(both.t[-1] / run.t[-1])) < 0.6


UNTIL = {"n_paths": 16, "rng": 2, "save_every": None, "average": BOTH, "until": 0.03}


@pytest.fixture(scope="module")
def stopped(line, sgd, starts):
    return ds.iterate(line, sgd, starts, n_steps=100_000, **UNTIL)


@pytest.mark.parametrize(
    "layout",
    [{"threads": 1}, {"threads": 2, "block_width": 3, "chunk_steps": 77}, {"chunk_steps": 1}, {"save_every": 100}],
    ids=["1 thread", "2 threads", "1 step", "saved"],
)
def test_where_a_run_stops_does_not_depend_on_the_layout(line, sgd, starts, stopped, layout):
    again = ds.iterate(line, sgd, starts, n_steps=100_000, **UNTIL | layout)
    assert again.t[-1] == stopped.t[-1] < 100_000
    assert same(again.average, stopped.average)
    assert np.array_equal(again.x[:, -1], stopped.x[:, -1])


def test_a_run_resumed_stops_where_it_would_have(line, sgd, starts, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    options = {"n_paths": 16, "rng": 2, "save_every": 50, "average": first, "until": 0.02, "chunk_steps": 100}
    whole = ds.iterate(line, sgd, starts, n_steps=100_000, **options)
    looked = Goal.met

    def stop_half_way(goal, step, diverged):
        if step > whole.t[-1] // 2:
            raise KeyboardInterrupt
        return looked(goal, step, diverged)

    with monkeypatch.context() as patch:
        patch.setattr(Goal, "met", stop_half_way)
        patch.setattr("dynsim._checkpoint.Checkpoint.due", lambda self: True)
        with pytest.raises(KeyboardInterrupt):
            ds.iterate(line, sgd, starts, n_steps=100_000, checkpoint=path, **options)
    with np.load(path) as file:
        assert 0 < file["step"] < whole.t[-1]
    resumed = ds.iterate(line, sgd, starts, n_steps=100_000, checkpoint=path, **options)
    content = path.read_bytes()
    finished = ds.iterate(line, sgd, starts, n_steps=100_000, checkpoint=path, **options)
    assert path.read_bytes() == content
    for run in (resumed, finished):
        assert run.complete
        assert np.array_equal(run.t, whole.t)
        assert np.array_equal(run.x, whole.x)
        assert same(run.average, whole.average)
    for name, other in (("until", 0.03), ("average", square)):
        with pytest.raises(ArgumentError, match=f"of a run with another {name}"):
            ds.iterate(line, sgd, starts, n_steps=100_000, checkpoint=path, **options | {name: other})


def test_a_cap_that_comes_first_is_said(line, sgd, starts):
    options = {"n_paths": 16, "rng": 2, "save_every": None, "average": first}
    with pytest.warns(UserWarning, match=r"not as accurate as until asks, .*: φ is 0\.\d+ ± 0\.0\d+, with"):
        run = ds.iterate(line, sgd, starts, n_steps=2000, until=0.001, **options)
    assert run.t[-1] == 2000
    assert run.complete
    assert run.average.value == pytest.approx(MEAN, abs=0.05)


def test_a_run_that_cannot_be_trusted_does_not_stop(valleys, schemes):
    x0 = np.where(np.arange(16)[:, None] % 2 == 0, 0.25, -1.15)
    phi = {"right": right, "loss": valleys.loss}
    options = {"n_paths": 16, "rng": 0, "save_every": None, "average": phi, "until": {"absolute": 0.5}}
    with pytest.warns(UserWarning, match="the chains have hardly moved"):
        run = ds.iterate(valleys, schemes(0.04)[2], x0, n_steps=3000, **options)
    assert run.t[-1] == 3000
    with pytest.raises(TooShort):
        _ = run.average


def test_an_event_not_seen_yet_is_not_known_accurately():
    """P(x > 2) of the process as Euler–Maruyama discretizes it; at the first looks no path has been there."""
    options = {"dt": 0.02, "n_paths": 8, "rng": 0, "save_every": None}
    early = ds.integrate(OU, 0.0, 255 * 0.02, average=rare, **options)
    assert early.average.constant
    exact = 0.5 * math.erfc(2 * math.sqrt(1 - 0.02 / 2))  # of variance ½/(1 − dt/2)
    found = ds.integrate(OU, 0.0, 1e4, average=rare, until=0.2, **options).average
    assert abs(found.value - exact) < 5 * found.stderr
    assert found.stderr <= 0.2 * found.value
    for until in (0.1, {"absolute": 0.1}):
        with pytest.warns(UserWarning, match="φ has been 0 throughout; what else it may be, and how often, is not kn"):
            run = ds.integrate(OU, 0.0, 30.0, average=never, until=until, **options)
        assert run.t[-1] == 30
    both = {"square": square, "never": never}
    with pytest.warns(UserWarning, match="'never' has been 0"):
        assert ds.integrate(OU, 0.0, 50.0, average=both, until=10.0, **options).t[-1] == 50


def test_a_run_whose_paths_have_all_blown_up_ends_with_a_warning(tmp_path):
    problem, method = ds.problems.quadratic([1.0]), ds.SGD(3.0)
    options = {"n_steps": 10**6, "n_paths": 3, "rng": 0, "save_every": None, "average": first, "until": 0.1}
    ends = []
    for layout in (
        {},
        {"chunk_steps": 7, "block_width": 1},
        {"checkpoint": tmp_path / "a"},
        {"checkpoint": tmp_path / "a"},
    ):
        with pytest.warns(UserWarning, match="not as accurate as until asks, .* all 3 paths have diverged"):
            run = ds.iterate(problem, method, 1.0, **options, **layout)
        assert run.complete
        assert run.n_diverged == 3
        ends.append(int(run.t[-1]))
        with pytest.raises(NotApplicable, match="all 3 paths have diverged"):
            _ = run.average
    assert set(ends) == {ends[0]}
    assert 332 < ends[0] < 600  # 2^332 < 1e100 < 2^333


def test_until_speaks_of_the_time_of_an_sde():
    """The same words as the average itself."""
    with pytest.warns(UserWarning, match="as until asks") as caught:
        run = ds.integrate(OU, 0.0, 8.0, dt=0.02, n_paths=1, rng=0, save_every=None, average=first, until=1e-3)
    with pytest.raises(TooShort) as refusal:
        _ = run.average
    assert str(refusal.value) in str(caught[0].message)


def test_an_sde_stops_too_in_its_own_time():
    options = {"dt": 0.1, "n_paths": 20, "rng": 0, "save_every": None, "average": square, "until": 0.05}
    run = ds.integrate(OU, 0.0, 1e5, **options)
    assert run.t[-1] < 1000
    assert run.average.stderr < 0.05 * run.average.value
    exact = 0.5 / (1 - 0.05)
    assert abs(run.average.value - exact) < 5 * run.average.stderr
    refined = ds.integrate(OU, 0.0, 1e5, refine=3, **options)
    assert abs(refined.average.value - 0.5 / (1 - 0.1 / 6)) < 5 * refined.average.stderr
    assert np.rint(refined.t[-1] / 0.1) == pytest.approx(refined.t[-1] / 0.1)


def test_intervals_cover_as_promised_where_the_run_decides_its_length(line, sgd):
    """50 runs of 8 chains: with probability 0.95, and not as often with an error that ignores correlation."""
    rng = np.random.default_rng(11)
    scores, naive = [], []
    for seed in range(50):
        x0 = MEAN + math.sqrt(VARIANCE) * rng.normal(size=(8, 1))
        options = {"n_paths": 8, "rng": seed, "save_every": None, "progress": False, "threads": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorMixing)
            run = ds.iterate(line, sgd, x0, n_steps=10**6, average=first, until=0.025, **options)
            found = run.average
        low, high = found.interval()
        scores.append(low <= MEAN <= high)
        naive.append(abs(found.value - MEAN) < 1.96 * math.sqrt(VARIANCE / (8 * found.n_observations)))
    deviation = math.sqrt(0.95 * 0.05 / 50)
    assert abs(np.mean(scores) - 0.95) < 5 * deviation
    assert np.mean(naive) < 0.95 - 5 * deviation


# Paths that blow up, and refusals


def test_diverged_paths_are_left_out_and_counted():
    sde = ds.SDE(lambda t, x: x[0] ** 3 - 2 * x[0], lambda t, x: 0.3)
    x0 = np.zeros((12, 1))
    x0[5] = 9.0
    run = ds.integrate(sde, x0, 200.0, dt=0.02, n_paths=12, rng=0, average=square)
    assert run.n_diverged == 1
    for found in (run.average, time_average(run, square)):
        assert (found.n_paths, found.n_diverged) == (11, 1)
        later = np.delete(run.x[:, -found.n_observations :, 0], 5, axis=0)
        assert found.value == pytest.approx((later**2).mean())
    lost = dataclasses.replace(run, diverged=np.zeros(12))
    with pytest.raises(NotApplicable, match="all 12 paths have diverged"):
        time_average(lost, square)
    with pytest.raises(NotApplicable, match="all 12 paths have diverged"):
        dataclasses.replace(run.averaged, valid=np.zeros(12, dtype=bool)).batches()


def test_values_that_are_not_finite_are_refused_with_their_paths(line, sgd, stored):
    def logarithm(x):
        return (np.log(x[..., 0]),)

    x0 = np.full((4, 1), MEAN)
    x0[2] = -0.5
    message = "φ is not finite on path 2; on path 2 first between t = 0 and 4"
    with np.errstate(invalid="ignore"):
        run = ds.iterate(line, sgd, x0, n_steps=1000, n_paths=4, rng=0, average=logarithm)
    assert run.averaged.shape == (1,)  # of a tuple
    with pytest.raises(NotApplicable, match=message):
        _ = run.average
    with pytest.raises(NotApplicable, match="φ is not finite on path 2; on path 2 first at saved time number 0"):
        time_average(run, logarithm)
    with pytest.warns(UserWarning, match="as until asks, at the last step: φ is not finite on path 2"):
        until = ds.iterate(line, sgd, x0, n_steps=1000, n_paths=4, rng=0, average=logarithm, until=0.1)
    assert np.array_equal(until.x, run.x)
    with pytest.raises(NotApplicable, match=message):
        _ = until.average
    x = stored.x.copy()
    x[[3, 7], 40] = np.nan
    x[7, 20] = np.inf
    with pytest.raises(ArgumentError, match=r"source is not finite on paths 3 and 7; on path 3 first at .* 40"):
        time_average(x)
    with pytest.raises(ArgumentError, match=r"source is not finite on path 7; on path 7 first at .* 20"):
        time_average(np.where(np.isnan(x), 0.0, x))


def test_the_last_save_is_left_out_where_it_falls_out_of_step(line, sgd, starts):
    run = ds.iterate(line, sgd, starts, n_steps=5003, n_paths=16, rng=1, save_every=5)
    whole = ds.iterate(line, sgd, starts, n_steps=5000, n_paths=16, rng=1, save_every=5)
    assert same(time_average(run, first), time_average(whole, first))
    assert time_average(run, first, burn_in=0).n_observations == 1001
    uneven = dataclasses.replace(run, t=np.arange(run.t.size) ** 2)
    with pytest.raises(ArgumentError, match="source must be saved at equally spaced times, but 1 lies between"):
        time_average(uneven)


def test_large_data_are_taken_in_parts(stored, monkeypatch):
    whole = time_average(stored, lambda x: x)
    monkeypatch.setattr("dynsim.ergodic.averages._VALUES_AT_ONCE", 3 * 5001)
    parts = time_average(stored, lambda x: x)
    np.testing.assert_allclose(parts.stderr, whole.stderr, rtol=1e-12)
    np.testing.assert_array_equal(parts.batches.positions, whole.batches.positions)
    assert parts.value.shape == (1,)


def test_functions_of_every_form_are_averaged(stored):
    pair = time_average(stored, lambda x: np.concatenate([x, x**2], axis=-1))
    named = time_average(stored, BOTH)
    assert same(dataclasses.replace(named, names=()), pair)
    assert same(time_average(stored, lambda x: (x[..., 0], x[..., 0] ** 2)), pair)
    assert time_average(stored, right).value.shape == ()
    assert time_average(stored).value.shape == (1,)
    assert time_average(stored, lambda x: (x[..., 0],)).value.shape == (1,)
    assert time_average(stored, {"a": first}).value.shape == (1,)
    assert same(time_average(stored.x, first), time_average(stored, first))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 0.1}, "until is for a run with average="),
        ({"average": first, "until": 0}, "until must be a positive finite number, got 0"),
        ({"average": first, "until": -1.0}, "until must be a positive finite number, got -1.0"),
        ({"average": first, "until": {}}, "until must say a relative or an absolute error"),
        ({"average": first, "until": {"abs": 1}}, "a kind of error in until is not known: got 'abs'; it may be"),
        ({"average": first, "until": {"absolute": 0}}, r"until\['absolute'\] must be a positive finite number, got 0"),
        ({"average": {}}, "average must be a function of x .*, got {}"),
        ({"average": 3}, "average must be a function of x .*, got 3"),
        ({"average": {1: first}}, "a name of φ must be a string, got int"),
        ({"average": {"a": 3}}, r"average\['a'\] must be a function of x"),
        ({"average": {"a": lambda x: (x[0], 1.0)}}, r"average\['a'\] must return one number"),
        (
            {"average": {"a": lambda x: x[..., 0] > 1, "b": lambda x: x[..., 0] > 1}},
            "the φ named 'b' computes the same as 'a'; if they",
        ),
        ({"observe": {"average=": observers.Moments()}}, "observe must not use the name 'average=', which a run's own"),
        ({"average": lambda x: "a"}, "average must return a number or a tuple of numbers"),
        ({"average": lambda x: x[..., 5]}, "average fails at x = 0.5: IndexError"),
    ],
)
def test_averages_of_a_run_that_make_no_sense_are_refused(line, sgd, options, message):
    with pytest.raises(ArgumentError, match=message):
        ds.iterate(line, sgd, 0.0, n_steps=10, **options)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (np.ones(5), {}, r"source must have shape \(n_paths, n_saved, dim\), got \(5,\); for one path of numbers"),
        (np.ones((5, 9)), {}, r"got \(5, 9\); for paths of numbers write x\[:, :, None\]"),
        (np.ones((2, 3, 4, 5)), {}, "the axes are those of paths, times and coordinates"),
        ("runs", {}, r"source must be Trajectories.* or an array"),
        (np.ones((5, 2, 1)), {}, "source must have paths of at least 3 values"),
        (None, {"phi": lambda x: x[0]}, r"phi must return a number for each point, shape \(16, 5001\) or"),
        (None, {"phi": lambda x: 1.0}, r"phi must return a number for each point, .*, got float64 of shape \(\)"),
        (None, {"phi": lambda x: x[..., 3]}, r"phi fails for x of shape \(16, 5001, 1\): IndexError"),
        (None, {"phi": {}}, "phi must name at least one function"),
        (None, {"phi": {1: first}}, "phi must name at least one function, by strings"),
        (None, {"phi": {"a": lambda x: x}}, r"phi\['a'\] must return a number for each point, shape \(16, 5001\) for"),
        (None, {"phi": 3}, "phi must be a function of x"),
        (None, {"method": "autoregresive"}, "method is not known: got 'autoregresive'; did you mean 'autoregressive'"),
        (None, {"burn_in": -100.0}, "burn_in must be at least 0"),
        (None, {"burn_in": -1}, "burn_in must be at least 0, got -1"),  # less than a batch
        (None, {"burn_in": math.nan}, "burn_in must be a finite number"),
        (None, {"burn_in": 1e9}, "burn_in must"),
        (None, {"burn_in": "none"}, "burn_in is not known: got 'none'; it may be 'auto'"),
    ],
)
def test_averages_that_make_no_sense_are_refused(stored, source, options, message):
    with pytest.raises(ArgumentError, match=message):
        time_average(stored if source is None else source, **options)


def test_what_has_kept_too_little_is_refused(line, sgd, stored):
    ends = ds.iterate(line, sgd, 0.0, n_steps=100, n_paths=4, rng=0, save_every=None)
    with pytest.raises(ArgumentError, match=r"kept 2 times of each path \(save_every=None\).* run it with average=φ"):
        time_average(ends)
    with pytest.raises(NotApplicable, match="asked for no average; run it with average=φ"):
        _ = ends.average
    with pytest.raises(ArgumentError, match="phi must be None for batch means"):
        time_average(stored.averaged, first)
    late = ds.iterate(line, sgd, 0.0, n_steps=100, rng=0, average=observers.BatchMeans(first, burn_in=200))
    with pytest.raises(NotApplicable, match="nothing has been observed: the run ended before burn_in, t = 200"):
        _ = late.average
    with pytest.raises(TooShort):
        _ = ds.iterate(line, sgd, 0.0, n_steps=10, rng=0, average=first).average
    once = ds.iterate(line, sgd, 0.0, n_steps=100, rng=0, average=observers.BatchMeans(first, every=200))
    with pytest.raises(TooShort, match="φ was observed 1 times on each path, too few to average over"):
        _ = once.average
