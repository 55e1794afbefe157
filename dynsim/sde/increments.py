"""The Brownian increments behind a run."""

import math

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import Seed


def noise_increments(
    n_paths: int, n_steps: int, *, dt: float, noise_dim: int = 1, refine: int = 1, rng: Seed = None
) -> np.ndarray:
    """Return the increments ΔW ~ N(0, dt/refine) that :func:`dynsim.integrate` uses for the same ``rng``.

    With them any path can be handed to another integrator and compared, or checked against an exact solution.

    Parameters
    ----------
    n_paths, n_steps : int
    dt : float
        Step.
    noise_dim : int, optional
        Components of W.
    refine : int, optional
        Split each step in so many: the increments of a step add up to that step's increment, to rounding.
    rng : int, SeedSequence, Generator or None, optional
        As in :func:`dynsim.integrate`; ``result.settings["seed"]`` of a run gives that run's increments.

    Returns
    -------
    ndarray, shape (n_paths, n_steps * refine, noise_dim)

    Examples
    --------
    >>> import dynsim as ds
    >>> brownian_motion = ds.SDE(lambda t, x: 0.0, lambda t, x: 1.0)
    >>> run = ds.integrate(brownian_motion, 0.0, 1.0, dt=0.1, n_paths=3, rng=7)
    >>> dw = ds.noise_increments(3, 10, dt=0.1, rng=7)
    >>> bool(abs(run.x[:, -1] - dw.sum(axis=1)).max() < 1e-15)
    True
    """
    from dynsim._kernels.increments import fill_increments

    n_paths, n_steps = _check.count("n_paths", n_paths), _check.count("n_steps", n_steps)
    noise_dim, dt = _check.count("noise_dim", noise_dim), _check.positive("dt", dt)
    factors = prime_factors(_check.count("refine", refine))
    shape = ((n_steps + n_steps % 2) * refine, noise_dim, n_paths)
    _check.fits_in_memory("the increments", shape, instead="ask for fewer paths or steps")
    dw = np.empty(shape)
    fill_increments(seed_and_key(rng)[1], math.sqrt(dt / refine), factors, dw)
    return np.ascontiguousarray(dw[: n_steps * refine].transpose(2, 0, 1))


def prime_factors(number) -> np.ndarray:
    """Prime factors in increasing order; none for 1."""
    factors, p = [], 2
    while number > 1:
        while number % p == 0:
            factors.append(p)
            number //= p
        p += 1
    return np.array(factors, dtype=np.int64)
