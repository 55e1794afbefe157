"""What a fresh process costs: no Numba at import, and no compilation where the cache is warm."""

import os
import subprocess
import sys


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_loads_neither_numba_nor_scipy_nor_matplotlib():
    loaded = "import sys, dynsim; print(sorted({'numba', 'scipy', 'matplotlib'} & set(sys.modules)))"
    assert run(loaded) == "[]"


MAIN_JOB = """
import contextlib, io, sys, tempfile
from dynsim.cli import main
with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
    assert main(sys.argv[1:] + ["--n-paths", "20", "--n-steps", "40", "--out", folder]) == 0
from numba.core.dispatcher import Dispatcher
import gc
kernels = [d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.py_func.__module__.startswith("dynsim")]
print(len(kernels), sum(sum(d.stats.cache_misses.values()) for d in kernels))
"""


def test_a_second_compare_compiles_nothing():
    for arguments in (["compare", "two-valleys"], ["compare", "--data", "stackloss"]):
        small = ["--n-paths", "100", "--n-steps", "200"]  # what is compiled is the same
        code = f"import sys; sys.argv[1:] = {arguments + small}\n{MAIN_JOB}"
        run(code)
        kernels, compiled = map(int, run(code).split())
        assert kernels > 5
        assert compiled == 0


SAME = """
import math
import dynsim as ds, numpy as np
problem = ds.problems.two_valleys()
chain = ds.iterate(problem, ds.RR(0.04), 0.25, n_steps=9, n_paths=3, rng=1).x
sde = ds.SDE(lambda t, x: (x[1], -x[0]), lambda t, x: ((1.0, 0), (0.5, x[0])), dim=2)
paths = ds.integrate(sde, 0.3, 0.5, dt=0.1, n_paths=3, rng=1).x
X = np.arange(12.0).reshape(6, 2) % 5
model = ds.problems.linear_model(X, X @ [1, 2] + 1, "welsch")
limit = ds.integrate(ds.sde_limit(model, ds.RR(0.1)), 0.5, 0.3, dt=0.1, n_paths=2, rng=1).x
well = ds.SDE(lambda t, x: np.tanh(x[0]) - x[0] ** 3, lambda t, x: 0.5 * math.exp(-x[0] ** 2), stratonovich=True)
schemes = [
    ds.integrate(well, 0.3, 0.4, dt=0.2, refine=2, n_paths=2, rng=1, scheme=s).x for s in ds.schemes if s != "sra"
]
schemes.append(ds.integrate(ds.sdes.ornstein_uhlenbeck(), 0.3, 0.4, dt=0.2, n_paths=2, rng=1, scheme="sra").x)
watch = ds.observers
observe = [
    *(watch.Moments(), watch.Extremes(), watch.Average(lambda x: np.exp(x[..., 0]))),
    *(watch.BatchMeans(lambda x: x[..., 0]), watch.FirstPassage(lambda x: x[..., 0] > 0.5)),
    watch.Visits([lambda x: x[..., 0] > 0.4]),
]
seen = ds.integrate(well, 0.3, 1.0, dt=0.1, n_paths=2, rng=1, observe=observe).observed
found = [seen["moments"].covs, seen["extremes"].highs, seen["average"].value, seen["batch_means"].means]
found += [np.minimum(seen["first_passage"].time, 9.0), seen["visits"].after]
histogram = watch.Histogram([-1.0, 0.2, 0.4, 2.0])
run = ds.iterate(problem, ds.SGD(0.04), 0.25, n_steps=9, n_paths=3, rng=1, observe=histogram)
found.append(run.observed["histogram"].counts)
print([float(v) for x in (chain, paths, limit, *schemes, *found) for v in np.ravel(x)])
"""


def test_the_kernels_agree_with_themselves_uncompiled():
    compiled, plain = eval(run(SAME)), eval(run(SAME, NUMBA_DISABLE_JIT="1"))
    assert len(compiled) == len(plain)
    assert max(abs(a - b) for a, b in zip(compiled, plain, strict=True)) < 1e-11
