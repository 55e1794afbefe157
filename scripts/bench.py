"""Benchmarks: dynsim beside its peers, all in one run on one core, because only ratios within a run mean anything.

    python scripts/bench.py ensemble

integrates AY §2.1's piecewise linear SDE (SGD's limit at η = 0.04) by Euler–Maruyama in float64 and prints
nanoseconds per path-step, best of several rounds in which all contestants take turns. diffrax and torchsde take part
where they are installed. Nothing is stored by anyone but the final state; compilation is not counted.
"""

import argparse
import importlib.util
import math
import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numba
import numpy as np

import dynsim as ds

H = 0.04
PROBLEM = ds.problems.two_valleys()
# drift and noise of the four regions (−∞, −1], (−1, 0], (0, 1/K], (1/K, ∞)
MIDDLES = np.array([[-1.5], [-0.5], [0.1], [0.5]])
MU = -PROBLEM.gradient(MIDDLES)[:, 0]
SIGMA = np.sqrt(0.04 * PROBLEM.gradient_covariance(MIDDLES)[:, 0, 0])
PARAMS = (*MU.tolist(), *SIGMA.tolist())


def drift(t, x, p):
    v = x[0]
    return (p[0] if v <= -1.0 else p[1]) if v <= 0.0 else (p[2] if v <= 0.2 else p[3])


def diffusion(t, x, p):
    v = x[0]
    return (p[4] if v <= -1.0 else p[5]) if v <= 0.0 else (p[6] if v <= 0.2 else p[7])


def run_dynsim(n_paths, n_steps):
    sde = ds.SDE(drift, diffusion, params=PARAMS)
    return lambda: ds.integrate(sde, 0.25, n_steps * H, dt=H, n_paths=n_paths, rng=0, save_every=None, threads=1)


def run_dynsim_limit(n_paths, n_steps):
    sde = ds.sde_limit(PROBLEM, ds.SGD(0.04))
    return lambda: ds.integrate(sde, 0.25, n_steps * H, dt=H, n_paths=n_paths, rng=0, save_every=None, threads=1)


def run_numpy(n_paths, n_steps):
    rng = np.random.default_rng(0)
    sqrt_h = math.sqrt(H)

    def run():
        x = np.full(n_paths, 0.25)
        for _ in range(n_steps):
            region = (x > -1.0).astype(np.intp) + (x > 0.0) + (x > 0.2)
            x = x + MU[region] * H + SIGMA[region] * sqrt_h * rng.standard_normal(n_paths)
        return x

    return run


@numba.njit(error_model="numpy", fastmath=True)
def _numba_paths(rng, x, n_steps, h, p):
    sqrt_h = math.sqrt(h)
    for i in range(x.size):
        v = x[i]
        for _ in range(n_steps):
            mu = (p[0] if v <= -1.0 else p[1]) if v <= 0.0 else (p[2] if v <= 0.2 else p[3])
            sigma = (p[4] if v <= -1.0 else p[5]) if v <= 0.0 else (p[6] if v <= 0.2 else p[7])
            v += mu * h + sigma * sqrt_h * rng.standard_normal()
        x[i] = v


def run_numba(n_paths, n_steps):
    rng, p = np.random.default_rng(0), np.array(PARAMS)
    return lambda: _numba_paths(rng, np.full(n_paths, 0.25), n_steps, H, p)


def run_sdeint(n_paths, n_steps):
    import sdeint

    times = np.arange(n_steps + 1) * H
    rng = np.random.default_rng(0)

    def run():
        for _ in range(n_paths):
            sdeint.itoEuler(
                lambda x, t: np.array([drift(t, x, PARAMS)]),
                lambda x, t: np.array([[diffusion(t, x, PARAMS)]]),
                np.array([0.25]),
                times,
                generator=rng,
            )

    return run


def run_diffrax(n_paths, n_steps):
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    mu, sigma = jnp.array(MU), jnp.array(SIGMA)

    def region(x):
        return (x > -1.0).astype(int) + (x > 0.0) + (x > 0.2)

    @jax.jit
    @jax.vmap
    def solve(key):
        path = diffrax.UnsafeBrownianPath(shape=(), key=key)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, x, args: mu[region(x)]),
            diffrax.ControlTerm(lambda t, x, args: sigma[region(x)], path),
        )
        return diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            0.0,
            n_steps * H,
            H,
            0.25,
            saveat=diffrax.SaveAt(t1=True),
            max_steps=n_steps + 1,
            adjoint=diffrax.ForwardMode(),
        ).ys

    keys = jax.random.split(jax.random.key(0), n_paths)
    return lambda: solve(keys).block_until_ready()


def run_torchsde(n_paths, n_steps):
    import torch
    import torchsde

    torch.set_num_threads(1)
    mu, sigma = torch.tensor(MU), torch.tensor(SIGMA)

    class System(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t, x):
            return mu[(x > -1.0).long() + (x > 0.0) + (x > 0.2)]

        def g(self, t, x):
            return sigma[(x > -1.0).long() + (x > 0.0) + (x > 0.2)]

    start = torch.full((n_paths, 1), 0.25, dtype=torch.float64)
    times = torch.tensor([0.0, n_steps * H], dtype=torch.float64)

    def run():
        with torch.no_grad():
            return torchsde.sdeint(System(), start, times, method="euler", dt=H)

    return run


# name: (maker, paths, steps); each takes a fraction of a second to a few seconds a round
CONTESTANTS = {
    "dynsim, own SDE": (run_dynsim, 10_000, 2_000),
    "dynsim, sde_limit": (run_dynsim_limit, 10_000, 2_000),
    "Numba + Generator": (run_numba, 10_000, 500),
    "NumPy": (run_numpy, 10_000, 500),
    "diffrax": (run_diffrax, 10_000, 200),
    "torchsde": (run_torchsde, 10_000, 100),
    "sdeint, itoEuler": (run_sdeint, 10, 2_000),
}


def ensemble(rounds):
    """ns per path-step of everyone, and the ratio to dynsim."""
    runs = {}
    for name, (make, n_paths, n_steps) in CONTESTANTS.items():
        module = name.split(",")[0]
        if module in {"diffrax", "torchsde", "sdeint"} and importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, skipped")
            continue
        runs[name] = (make(n_paths, n_steps), n_paths * n_steps)
        runs[name][0]()  # compiles
    best = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, (run, path_steps) in runs.items():
            began = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - began) / path_steps * 1e9)
    describe_machine()
    print(f"{'Euler–Maruyama, 1-D piecewise linear, one core':48}{'ns per path-step':>18}{'times dynsim':>14}")
    for name, cost in best.items():
        print(f"{name:48}{cost:18.1f}{cost / best['dynsim, own SDE']:14.1f}")


def describe_machine():
    """One line on what this ran on."""
    import llvmlite.binding

    print(
        f"{llvmlite.binding.get_host_cpu_name()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=["ensemble"])
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts (default: 5)")
    arguments = parser.parse_args()
    ensemble(arguments.rounds)


if __name__ == "__main__":
    main()
