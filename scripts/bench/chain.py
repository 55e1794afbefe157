"""Chains on AY §4.1, dynsim beside plain Numba and NumPy on one core; what schemes, methods and noise cost."""

import math
import time

import numba
import numpy as np
from costs import best_costs, table

import dynsim as ds
from dynsim import sampling


def run_chain(make_problem, method, x0):
    def make(n_paths, n_steps):
        problem = make_problem(rng=0)
        options = {"n_steps": n_steps, "n_paths": n_paths, "rng": 0, "save_every": None, "threads": 1}
        return lambda: ds.iterate(problem, method, x0(problem), **options)

    return make


def _left(problem):
    return -0.5


def _off_truth(problem):
    return problem.beta + 1.0


def run_rr_numpy(make_problem, x0, step_size=0.015):
    def make(n_paths, n_steps):
        problem, rng = make_problem(rng=0), np.random.default_rng(0)
        X, y = problem.X, problem.y
        norm, start = np.linalg.norm(X, axis=1), np.broadcast_to(x0(problem), problem.dim)

        def run():
            theta = np.tile(start, (n_paths, 1))
            for _ in range(n_steps):
                r = theta @ X.T - y
                slope = r * np.exp(-0.5 * r * r)
                total = np.cumsum(np.abs(slope) * norm, axis=1)
                drawn = (total < (rng.random(n_paths) * total[:, -1])[:, None]).sum(axis=1)
                sign = np.sign(slope[np.arange(n_paths), drawn]) / norm[drawn]
                theta = theta - step_size * (sign * total[:, -1] / y.size)[:, None] * X[drawn]
            return theta

        return run

    return make


@numba.njit(error_model="numpy", fastmath=True)
def _numba_rr(rng, theta, x, y, n_steps):
    total = np.empty(x.size)
    for i in range(theta.size):
        for _ in range(n_steps):
            running = 0.0
            for n in range(x.size):
                r = theta[i] * x[n] - y[n]
                running += abs(r * math.exp(-0.5 * r * r) * x[n])
                total[n] = running
            n = min(np.searchsorted(total, rng.random() * running), x.size - 1)
            theta[i] -= 0.015 * np.sign((theta[i] * x[n] - y[n]) * x[n]) * running / x.size


def run_rr_numba(n_paths, n_steps):
    problem, rng = ds.problems.robust_classification(rng=0), np.random.default_rng(0)
    return lambda: _numba_rr(rng, np.full(n_paths, -0.5), problem.X[:, 0].copy(), problem.y, n_steps)


@numba.njit(error_model="numpy", fastmath=True)
def _numba_sgd(rng, theta, x, y, n_steps):
    for i in range(theta.size):
        for _ in range(n_steps):
            n = rng.integers(0, x.size)
            r = theta[i] * x[n] - y[n]
            theta[i] -= 0.015 * r * math.exp(-0.5 * r * r) * x[n]


def run_sgd_numba(n_paths, n_steps):
    problem, rng = ds.problems.robust_classification(rng=0), np.random.default_rng(0)
    return lambda: _numba_sgd(rng, np.full(n_paths, -0.5), problem.X[:, 0].copy(), problem.y, n_steps)


def chain(rounds):
    classification, regression = ds.problems.robust_classification, ds.problems.robust_regression
    rr = {
        "dynsim": (run_chain(classification, ds.RR(0.015), _left), 512, 20),
        "Numba, one path after the other": (run_rr_numba, 64, 20),
        "NumPy": (run_rr_numpy(classification, _left), 64, 20),
    }
    table("RR on AY §4.1.1, 4 800 terms, one core", best_costs(rr, rounds), "dynsim", 0)
    sgd = {
        "dynsim": (run_chain(classification, ds.SGD(0.015), _left), 10_000, 500),
        "Numba + Generator, one path after the other": (run_sgd_numba, 10_000, 100),
    }
    table("SGD on AY §4.1.1, 4 800 terms, one core", best_costs(sgd, rounds), "dynsim")
    many = {
        "RR, dynsim": (run_chain(regression, ds.RR(0.1), _off_truth), 512, 20),
        "RR, NumPy": (run_rr_numpy(regression, _off_truth, 0.1), 64, 20),
        "SGD, dynsim": (run_chain(regression, ds.SGD(0.1), _off_truth), 10_000, 200),
    }
    table("AY §4.1.2, 2 800 terms in 10 dimensions, one core", best_costs(many, rounds), "RR, dynsim", 0)
    _whole_run(ds.RR(0.1))
    _whole_run(ds.SGD(0.1))


def _whole_run(method):
    """The run that AY Fig 3 needs a hundred times: 1 000 paths, 5 000 steps."""
    problem = ds.problems.robust_regression(rng=0)
    began = time.perf_counter()
    ds.iterate(problem, method, problem.beta + 5.0, n_steps=5000, n_paths=1000, rng=0, save_every=None, threads=1)
    print(f"{method.name}, 1 000 paths, 5 000 steps, one core: {time.perf_counter() - began:.1f} s")


def methods(rounds):
    problem = ds.problems.robust_classification
    schemes = {
        "Uniform": sampling.Uniform(),
        "Lipschitz": sampling.Lipschitz(),
        "GroupNorm": sampling.GroupNorm(),
        "Rejection": sampling.Rejection(),
        "Presample(32)": sampling.Presample(32, threshold=0),
        "WithoutReplacement": sampling.WithoutReplacement(),
        "Reshuffled": sampling.Reshuffled(),
        "Stale(100)": sampling.Stale(100),
        "GradientNorm": sampling.GradientNorm(),
    }
    costs = best_costs(
        {
            name: (run_chain(problem, ds.SGD(0.015, scheme), _left), *((256, 40) if "N" in name else (1000, 100)))
            for name, scheme in schemes.items()
        },
        rounds,
    )
    table("schemes, 4 800 terms, one core", costs, "Uniform")
    ways = {
        "SGD": ds.SGD(0.015),
        "SGD with Gaussian noise": ds.SGD(0.015, noise=ds.noise.Gaussian(0.1)),
        "SGD with stable noise": ds.SGD(0.015, noise=ds.noise.AlphaStable(1.5, scale=0.1)),
        "HeavyBall": ds.HeavyBall(0.015),
        "Nesterov": ds.Nesterov(0.015),
        "RMSProp": ds.RMSProp(0.015),
        "Adam": ds.Adam(0.015),
        "ACClip": ds.ACClip(0.015),
        "GClip": ds.GClip(0.015, threshold=1.0),
    }
    costs = best_costs(
        {name: (run_chain(problem, way, _left), 10_000, 200) for name, way in ways.items()},
        rounds,
    )
    table("methods, one term a step, one core", costs, "SGD")
