"""SDE paths by Euler–Maruyama, dynsim beside its peers on one core."""

import math
import subprocess
import tempfile
from pathlib import Path

import numba
import numpy as np
from costs import best_costs, table

import dynsim as ds
from dynsim._random import seed_and_key

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


def run_cpp(n_paths, n_steps):
    """The hand-tuned kernel of bench/ensemble.cpp, whose paths must be ours."""
    source = Path(__file__).with_name("ensemble.cpp")
    program = Path(tempfile.mkdtemp()) / "ensemble"
    subprocess.run(["g++", "-O3", "-march=native", source, "-o", program], check=True)
    key = [str(word) for word in seed_and_key(0)[1]]

    def run():
        command = [program, str(n_paths), str(n_steps), "1", *key]
        words = [
            line.split()
            for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        ]
        theirs = np.array([float(value) for name, value in words if name == "x"])
        np.testing.assert_allclose(theirs, ends[: theirs.size], rtol=0, atol=1e-9)
        return float(words[0][1]) * n_paths * n_steps * 1e-9

    ends = run_dynsim(n_paths, n_steps)().x[:, -1, 0]
    return run


# Müller–Brown: V = Σ A exp(a (x − x₀)² + b (x − x₀)(y − y₀) + c (y − y₀)²), here over 100
A = (-2.0, -1.0, -1.7, 0.15)
AX = (-1.0, -1.0, -6.5, 0.7)
AXY = (0.0, 0.0, 11.0, 0.6)
AY = (-10.0, -10.0, -6.5, 0.7)
X0 = (1.0, 0.0, -0.5, -1.0)
Y0 = (0.0, 0.5, 1.5, 1.0)


def muller_brown(t, x):
    gx, gy = 0.0, 0.0
    for k in range(4):
        u, v = x[0] - X0[k], x[1] - Y0[k]
        e = A[k] * math.exp(AX[k] * u * u + AXY[k] * u * v + AY[k] * v * v)
        gx += e * (2.0 * AX[k] * u + AXY[k] * v)
        gy += e * (AXY[k] * u + 2.0 * AY[k] * v)
    return (-gx, -gy)


def run_muller_brown(n_paths, n_steps):
    sde = ds.SDE(muller_brown, lambda t, x: (0.3, 0.3), dim=2)
    start = (-0.5, 1.4)
    return lambda: ds.integrate(sde, start, n_steps * 1e-3, dt=1e-3, n_paths=n_paths, rng=0, save_every=None, threads=1)


def run_muller_brown_numpy(n_paths, n_steps):
    rng = np.random.default_rng(0)
    constants = np.array([A, AX, AXY, AY, X0, Y0])[:, :, None]

    def run():
        x = np.repeat([[-0.5], [1.4]], n_paths, axis=1)
        a, ax, axy, ay, x0, y0 = constants
        for _ in range(n_steps):
            u, v = x[0] - x0, x[1] - y0
            e = a * np.exp(ax * u * u + axy * u * v + ay * v * v)
            gradient = np.stack([(e * (2 * ax * u + axy * v)).sum(axis=0), (e * (axy * u + 2 * ay * v)).sum(axis=0)])
            x = x - 1e-3 * gradient + 0.3 * math.sqrt(1e-3) * rng.standard_normal(x.shape)
        return x

    return run


def linear(dim):
    """A stable full matrix and a full σ."""
    rng = np.random.default_rng(dim)
    return -np.eye(dim) + 0.3 * rng.standard_normal((dim, dim)) / dim, rng.standard_normal((dim, dim)) / dim


def run_linear(dim):
    def make(n_paths, n_steps):
        sde = ds.sdes.ornstein_uhlenbeck(-linear(dim)[0], linear(dim)[1])
        return lambda: ds.integrate(sde, 0.1, n_steps * H, dt=H, n_paths=n_paths, rng=0, save_every=None, threads=1)

    return make


def run_linear_numpy(dim):
    def make(n_paths, n_steps):
        rng, (a, sigma) = np.random.default_rng(0), linear(dim)

        def run():
            x = np.full((n_paths, dim), 0.1)
            for _ in range(n_steps):
                x = x + H * (x @ a.T) + math.sqrt(H) * (rng.standard_normal((n_paths, dim)) @ sigma.T)
            return x

        return run

    return make


# name: (maker, paths, steps); each takes a fraction of a second to a few seconds a round
PIECEWISE = {
    "dynsim, own SDE": (run_dynsim, 10_000, 2_000),
    "dynsim, sde_limit": (run_dynsim_limit, 10_000, 2_000),
    "C++": (run_cpp, 10_000, 2_000),
    "Numba + Generator": (run_numba, 10_000, 500),
    "NumPy": (run_numpy, 10_000, 500),
    "diffrax": (run_diffrax, 10_000, 200),
    "torchsde": (run_torchsde, 10_000, 100),
    "sdeint, itoEuler": (run_sdeint, 10, 2_000),
}
SEVERAL_DIMENSIONS = {
    f"{name}, {what}": (make, n_paths, n_steps)
    for name, ours, theirs, n_paths, n_steps in (
        ("Müller–Brown", run_muller_brown, run_muller_brown_numpy, 10_000, 200),
        ("10 dimensions, full σ", run_linear(10), run_linear_numpy(10), 5_000, 100),
        ("100 dimensions, full σ", run_linear(100), run_linear_numpy(100), 1_000, 20),
    )
    for what, make in (("dynsim", ours), ("NumPy", theirs))
}


def ensemble(rounds):
    table("Euler–Maruyama, 1-D piecewise linear, one core", best_costs(PIECEWISE, rounds), "dynsim, own SDE", 2)
    costs = best_costs(SEVERAL_DIMENSIONS, rounds)
    for name in [name for name in costs if name.endswith("dynsim")]:
        pair = {key: costs[key] for key in (name, name.replace("dynsim", "NumPy"))}
        table("Euler–Maruyama, one core", pair, name)
