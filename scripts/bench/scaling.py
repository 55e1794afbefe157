"""What dynsim's own parts cost: schemes, observers, and how cost and memory grow."""

import os
import resource
import subprocess
import sys
import time

import numpy as np
from costs import best_costs, table

import dynsim as ds

H = 0.04


def schemes(rounds):
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 0.5, noise="additive")

    def maker(scheme):
        def make(n_paths, n_steps):
            options = {"dt": H, "n_paths": n_paths, "rng": 0, "save_every": None, "threads": 1, "scheme": scheme}
            return lambda: ds.integrate(sde, 0.25, n_steps * H, **options)

        return make

    contestants = {name: (maker(name), 10_000, 500) for name in ds.schemes}
    table("dX = −X dt + ½ dW, one core", best_costs(contestants, rounds), "euler-maruyama")


def observers(rounds):
    watch = ds.observers
    kinds = {
        "nothing": None,
        "moments": watch.Moments(),
        "histogram, 100 bins": watch.Histogram(np.linspace(-2, 2, 101)),
        "histogram, every 10th step": watch.Histogram(np.linspace(-2, 2, 101), every=10),
        "average of an indicator": watch.Average(lambda x: x[..., 0] > 0),
        "batch means of x": watch.BatchMeans(lambda x: x[..., 0]),
        "first passage": watch.FirstPassage(lambda x: x[..., 0] > 9),
        "visits to two basins": watch.Visits([lambda x: x[..., 0] < -0.5, lambda x: x[..., 0] > 0.5]),
        "extremes": watch.Extremes(),
    }
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.5)

    def maker(observer):
        def make(n_paths, n_steps):
            options = {"dt": H, "n_paths": n_paths, "rng": 0, "save_every": None, "threads": 1, "observe": observer}
            return lambda: ds.integrate(sde, 0.25, n_steps * H, **options)

        return make

    contestants = {name: (maker(observer), 10_000, 1_000) for name, observer in kinds.items()}
    table("Euler–Maruyama on a double well, one core, observing", best_costs(contestants, rounds), "nothing")


def independent(dim):
    """So many equal coordinates with diagonal noise; the functions return tuples."""
    drift = ", ".join(f"-x[{j}]" for j in range(dim))
    return ds.SDE(eval(f"lambda t, x: ({drift},)"), eval(f"lambda t, x: ({'0.5, ' * dim})"), dim=dim)


def scaling(rounds):
    def maker(dim=1, threads=1):
        def make(n_paths, n_steps):
            options = {"dt": H, "n_paths": n_paths, "rng": 0, "save_every": None, "threads": threads}
            sde = independent(dim)
            return lambda: ds.integrate(sde, 0.25, n_steps * H, **options)

        return make

    by_paths = {
        f"{n:9_d} paths, {20_000_000 // n:7_d} steps": (maker(), n, 20_000_000 // n)
        for n in (100, 1000, 10_000, 100_000)
    }
    table("cost against paths, at the same work", best_costs(by_paths, rounds))
    by_steps = {f"{n:9_d} steps, 1 000 paths": (maker(), 1000, n) for n in (1000, 10_000, 100_000)}
    table("cost against steps", best_costs(by_steps, rounds))
    by_dims = {f"{d} dimensions": (maker(dim=d), 10_000, 1000 // d) for d in (1, 2, 4, 8, 16)}
    table("cost against dimensions, diagonal noise", best_costs(by_dims, rounds), "1 dimensions")
    by_threads = {f"{t} threads": (maker(threads=t), 100_000, 4000) for t in range(1, (os.cpu_count() or 1) + 1)}
    table("cost against threads", best_costs(by_threads, rounds), "1 threads", 2)
    print("\npeak memory of a run with moments and a histogram, 1 000 paths")
    for n_steps in (1000, 10_000, 100_000, 1_000_000):
        print(f"{n_steps:9_d} steps: {peak_memory(n_steps):6.0f} MiB")


MEMORY = """
import resource, sys
import numpy as np
import dynsim as ds
observe = [ds.observers.Moments(), ds.observers.Histogram(np.linspace(-2, 2, 101))]
sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 0.5)
n = int(sys.argv[1])
ds.integrate(sde, 0.25, 0.04 * n, dt=0.04, n_paths=1000, rng=0, save_every=None, observe=observe)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_memory(n_steps):
    command = [sys.executable, "-c", MEMORY, str(n_steps)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def long(rounds):
    """Ten billion path-steps on all cores, against the exact stationary law of the SDE."""
    well, n_paths, n_steps, dt = ds.sdes.double_well(), 10_000, 1_000_000, 0.01
    edges = np.linspace(-2.0, 2.0, 81)
    watch = [ds.observers.Histogram(edges, burn_in=10_000), ds.observers.Moments(burn_in=10_000)]
    began = time.perf_counter()
    options = {"dt": dt, "n_paths": n_paths, "rng": 0, "save_every": None, "scheme": "sra"}
    run = ds.integrate(well, 1.0, n_steps * dt, observe=watch, **options)
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = run.observed["histogram"]
    exact = np.diff(well.stationary().cdf(edges))
    distance = 0.5 * np.abs(found.probability - exact).sum()
    print(f"{n_paths * n_steps:.0e} path-steps in {seconds:.0f} s: {seconds / (n_paths * n_steps) * 1e9:.2f} ns each")
    print(f"peak memory of the run {memory:.0f} MiB")
    print(
        f"total variation distance to the stationary law of the SDE {distance:.1e}, of which the statistical error is"
    )
    print(f"  about {0.4 * found.stderr.sum():.1e}; the rest is the scheme's, of order dt²")
    print(f"largest standard error of a bin's probability {found.stderr.max():.1e} of {found.probability.max():.1e}")
    print(f"mean {run.observed['moments'].mean[0]:.2e} ± {run.observed['moments'].mean_stderr[0]:.1e}")
