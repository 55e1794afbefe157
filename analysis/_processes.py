"""Stationary processes whose mean, autocovariance and long-run variance are known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

import dynsim as ds


@dataclass(frozen=True, eq=False)
class Process:
    """A stationary process and what is known of it.

    ``draw(rng, n_paths, n)`` gives independent series (n_paths, n) that start in equilibrium, ``autocovariance(n)``
    γ(0) … γ(n − 1), and ``tau`` = 1 + 2 Σ γ(k)/γ(0) over all k ≥ 1 in closed form.
    """

    name: str
    mean: float
    tau: float
    autocovariance: Callable[[int], np.ndarray]
    draw: Callable[[np.random.Generator, int, int], np.ndarray]

    def stderr(self, n_paths: int, n: int) -> float:
        """Standard deviation of the average of n_paths series of length n: √(Σ_{|k|<n} (n − |k|) γ(k) / n_paths n²)."""
        gamma = self.autocovariance(n)
        weights = 2.0 * np.arange(n, 0, -1)
        weights[0] = n
        return float(np.sqrt(weights @ gamma / n_paths) / n)


def independent():
    """Independent standard normals."""
    return Process(
        "independent",
        0.0,
        1.0,
        lambda n: np.eye(1, n)[0],
        lambda rng, n_paths, n: rng.standard_normal((n_paths, n)),
    )


def autoregressive(phi):
    """x ← φ x + ξ with standard normal ξ: γ(k) = φ^k/(1 − φ²), long-run variance 1/(1 − φ)²."""
    deviation = 1 / np.sqrt(1 - phi**2)

    def draw(rng, n_paths, n):
        noise = rng.standard_normal((n_paths, n))
        noise[:, 0] *= deviation
        return lfilter([1.0], [1.0, -phi], noise, axis=-1)

    return Process(
        f"AR(1), φ = {phi:g}", 0.0, (1 + phi) / (1 - phi), lambda n: deviation**2 * phi ** np.arange(n), draw
    )


def rotating(damping=0.1, rate=1.0, dt=0.2):
    """First coordinate of dX = A X dt + √2 dW, A = [[−a, −ω], [ω, −a]], at times dt apart.

    With z = x + iy this is an AR(1), z ← c z + noise, c = exp((−a + iω) dt), and γ(k) = Re(c^k)/a.
    """
    c = np.exp((-damping + 1j * rate) * dt)
    variance = 1 / damping

    def draw(rng, n_paths, n):
        noise = np.sqrt(variance) * (rng.standard_normal((n_paths, n)) + 1j * rng.standard_normal((n_paths, n)))
        noise[:, 1:] *= np.sqrt(1 - abs(c) ** 2)
        return lfilter([1.0], [1.0, -c], noise, axis=-1).real

    tau = ((1 + c) / (1 - c)).real
    return Process("rotating OU", 0.0, tau, lambda n: variance * (c ** np.arange(n)).real, draw)


def two_states(up, down):
    """A chain on {0, 1} with P(0 → 1) = up, P(1 → 0) = down: p = up/(up + down), γ(k) = p(1 − p)(1 − up − down)^k."""
    p, factor = up / (up + down), 1 - up - down

    def draw(rng, n_paths, n):
        series = np.empty((n, n_paths))
        state = rng.random(n_paths) < p
        for k in range(n):
            series[k] = state
            state ^= rng.random(n_paths) < np.where(state, down, up)
        return series.T

    return Process(
        f"two states, {up:g}/{down:g}",
        p,
        (1 + factor) / (1 - factor),
        lambda n: p * (1 - p) * factor ** np.arange(n),
        draw,
    )


def student(degrees=5.0, dt=0.02, every=5):
    """Student diffusion dX = −X dt + √(2(ν + X²)/(ν − 1)) dW by Euler–Maruyama, every fifth step.

    The second moment of the scheme obeys v ← ((1 − h)² + 2h/(ν − 1)) v + 2hν/(ν − 1), so that series which start from
    the law of the diffusion, scaled to the fixed point v, have γ(k) = v (1 − h)^(5k) exactly, and mean 0 by symmetry.
    """
    sde = ds.sdes.student(degrees=degrees)
    law = sde.stationary()
    growth = (1 - dt) ** 2 + 2 * dt / (degrees - 1)
    variance = 2 * dt * degrees / (degrees - 1) / (1 - growth)
    factor = (1 - dt) ** every

    def draw(rng, n_paths, n):
        start = law.rvs((n_paths, 1), random_state=rng) * np.sqrt(variance / law.var())
        steps = (n - 1) * every
        seed = int(rng.integers(2**62))
        settings = {"n_paths": n_paths, "rng": seed, "save_every": every, "progress": False}
        return ds.integrate(sde, start, steps * dt, dt=dt, **settings).x[..., 0]

    tau = (1 + factor) / (1 - factor)
    return Process(f"Student diffusion, ν = {degrees:g}", 0.0, tau, lambda n: variance * factor ** np.arange(n), draw)


def valleys(step_size, *, share):
    """SGD in AY's two valleys, (a1, ε, K) = (0.4, 0.5, 2): x, or whether it is in the sharp one (``share``).

    Its law, on a coset without kinks, its autocovariances and its long-run variance are those of the exact chain.
    """
    problem = ds.problems.two_valleys(a1=0.4, eps=0.5, K=2.0)
    method = ds.SGD(step_size)
    chain = ds.markov_chain(problem, method, x0=0.25 + step_size / 7)
    law = chain.stationary()
    mass = np.exp(law.log_mass)
    values = (chain.states[:, 0] > 0).astype(float) if share else chain.states[:, 0]
    mean = float(mass @ values)
    centered = values - mean

    def autocovariance(n):
        gamma, later = np.empty(n), centered
        for k in range(n):
            gamma[k] = mass @ (centered * later)
            later = chain.transition @ later
        return gamma

    def draw(rng, n_paths, n):
        start = chain.states[rng.choice(len(mass), n_paths, p=mass / mass.sum())]
        seed = int(rng.integers(2**62))
        x = ds.iterate(problem, method, start, n_steps=n - 1, n_paths=n_paths, rng=seed, progress=False).x[..., 0]
        return (x > 0).astype(float) if share else x

    # Σ_{k≥0} P^k (f − Ef) is the fundamental matrix's (I − P + 1π)^(−1) applied to f − Ef
    fundamental = np.eye(len(mass)) - chain.transition.toarray() + mass
    variance = mass @ centered**2
    tau = float((2 * mass @ (centered * np.linalg.solve(fundamental, centered)) - variance) / variance)
    name = f"two valleys, η = {step_size:g}, {'share' if share else 'x'}"
    return Process(name, mean, tau, autocovariance, draw)


# in the order of the table; two_states("0.0005/0.001") switches once in 1500 steps: hardly ever in the short series
PROCESSES = {
    "independent": independent,
    "ar-0.95": lambda: autoregressive(0.95),
    "ar--0.9": lambda: autoregressive(-0.9),
    "rotating": rotating,
    "states-0.05": lambda: two_states(0.05, 0.1),
    "states-0.005": lambda: two_states(0.005, 0.01),
    "states-0.0005": lambda: two_states(0.0005, 0.001),
    "student": student,
    "valleys-x": lambda: valleys(0.24, share=False),
    "valleys-share": lambda: valleys(0.24, share=True),
    "valleys-rare": lambda: valleys(0.16, share=True),
}
