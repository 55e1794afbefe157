"""SGD and RR on AY §4.1.1, 4 800 terms, dynsim beside plain Numba and NumPy on one core."""

import math

import numba
import numpy as np
from costs import best_costs, table

import dynsim as ds


def classification():
    """AY §4.1.1: 800 and 4 000 observations, labels 0 or 1, Welsch loss."""
    rng = np.random.default_rng(0)
    x = np.concatenate([20 + rng.standard_normal(800), 0.5 + 0.5 * rng.standard_normal(4000)])
    return x, rng.integers(0, 2, x.size).astype(float)


def run_chain(method):
    def make(n_paths, n_steps):
        x, y = classification()
        problem = ds.problems.linear_model(x[:, None], y, loss="welsch")
        options = {"n_steps": n_steps, "n_paths": n_paths, "rng": 0, "save_every": None, "threads": 1}
        return lambda: ds.iterate(problem, method, -0.5, **options)

    return make


def run_rr_numpy(n_paths, n_steps):
    rng, (x, y) = np.random.default_rng(0), classification()

    def run():
        theta = np.full(n_paths, -0.5)
        for _ in range(n_steps):
            r = theta[:, None] * x - y
            gradient = r * np.exp(-0.5 * r * r) * x
            total = np.cumsum(np.abs(gradient), axis=1)
            drawn = (total < (rng.random(n_paths) * total[:, -1])[:, None]).sum(axis=1)
            theta = theta - 0.015 * np.sign(gradient[np.arange(n_paths), drawn]) * total[:, -1] / x.size
        return theta

    return run


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
    rng, (x, y) = np.random.default_rng(0), classification()
    return lambda: _numba_rr(rng, np.full(n_paths, -0.5), x, y, n_steps)


@numba.njit(error_model="numpy", fastmath=True)
def _numba_sgd(rng, theta, x, y, n_steps):
    for i in range(theta.size):
        for _ in range(n_steps):
            n = rng.integers(0, x.size)
            r = theta[i] * x[n] - y[n]
            theta[i] -= 0.015 * r * math.exp(-0.5 * r * r) * x[n]


def run_sgd_numba(n_paths, n_steps):
    rng, (x, y) = np.random.default_rng(0), classification()
    return lambda: _numba_sgd(rng, np.full(n_paths, -0.5), x, y, n_steps)


def chain(rounds):
    rr = {
        "dynsim": (run_chain(ds.RR(0.015)), 256, 20),
        "Numba, one path after the other": (run_rr_numba, 64, 20),
        "NumPy": (run_rr_numpy, 64, 20),
    }
    table("RR on AY §4.1.1, 4 800 terms, one core", best_costs(rr, rounds), "dynsim", 0)
    sgd = {
        "dynsim": (run_chain(ds.SGD(0.015)), 10_000, 500),
        "Numba + Generator, one path after the other": (run_sgd_numba, 10_000, 100),
    }
    table("SGD on AY §4.1.1, 4 800 terms, one core", best_costs(sgd, rounds), "dynsim")
