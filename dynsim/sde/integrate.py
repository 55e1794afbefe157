"""Paths of an SDE."""

import numpy as np

from dynsim import _check
from dynsim._ensemble import Plan, run_ensemble, saved_steps
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.results import Trajectories
from dynsim.sde.increments import prime_factors
from dynsim.sde.model import SDE

_STEP_TOLERANCE = 1e-9  # how far t_end / dt may be from a whole number, relatively


def integrate(
    sde: SDE,
    x0: ArrayLike,
    t_end: float,
    *,
    dt: float,
    refine: int = 1,
    n_paths: int = 1,
    rng: Seed = None,
    save_every: int | None = 1,
    threads: int | None = None,
    block_width: int | None = None,
    chunk_steps: int | None = None,
    progress: bool = False,
) -> Trajectories:
    """Integrate an Itô SDE by Euler–Maruyama, X ← X + μ(t, X) dt + σ(t, X) ΔW, from t = 0 to ``t_end``.

    The increments ΔW are a function of the seed, the path's number, the step and the component alone.

    Parameters
    ----------
    sde : SDE
    x0 : array_like
        Start: a scalar, (dim,) or (n_paths, dim).
    t_end : float
        End of the integration, a whole number of steps ``dt``.
    dt : float
        Step.
    refine : int, optional
        Take so many steps of dt/refine for each ``dt``, along the same Brownian path: to see what the step size does.
        Paths for refine = 2, 4, 8 … are refinements of each other too. ``save_every`` still counts in ``dt``.
    n_paths, rng, save_every, threads, block_width, chunk_steps, progress
        As in :func:`dynsim.iterate`.

    Returns
    -------
    Trajectories
        ``x`` of shape (n_paths, n_saved, dim), ``t`` the times.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or ``dt`` does not divide ``t_end``.
    TooLarge
        If the result would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> ds.integrate(sde, x0=0.0, t_end=1.0, dt=0.01, n_paths=5, rng=0).x.shape
    (5, 101, 1)
    """
    _check.instance("sde", sde, SDE, "an SDE, such as sde_limit(problem, method)")
    t_end, dt = _check.positive("t_end", t_end), _check.positive("dt", dt)
    n_steps = round(t_end / dt)
    if n_steps < 1 or abs(n_steps * dt - t_end) > _STEP_TOLERANCE * t_end:
        raise ArgumentError(
            f"dt must divide t_end = {t_end:g} into whole steps, got {dt:g}; the nearest that does is "
            f"{t_end / max(n_steps, 1)!r}"
        )
    n_paths = _check.count("n_paths", n_paths)
    if save_every is not None:
        save_every = _check.count("save_every", save_every)
    start = _check.start("x0", x0, n_paths, sde.dim)
    seed, key = seed_and_key(rng)
    plan = Plan.make(
        n_paths,
        max(sde.dim, sde.noise_dim),
        threads=threads,
        block_width=block_width,
        chunk_steps=chunk_steps,
        progress=progress,
    )
    refine = _check.count("refine", refine)
    every = None if save_every is None else save_every * refine
    advance = _euler_maruyama(sde, dt / refine, refine, key)
    x, diverged = run_ensemble(advance, start, n_steps * refine, every, plan, "Euler-Maruyama")
    settings = {
        "sde": sde.name,
        "scheme": "Euler-Maruyama",
        "t_end": t_end,
        "dt": dt,
        "refine": refine,
        "n_paths": n_paths,
        "save_every": save_every,
        "seed": seed,
    }
    times = dt * saved_steps(n_steps, save_every)
    return Trajectories(x, times, np.where(diverged < 0, np.inf, dt / refine * diverged), settings)


def _euler_maruyama(sde, h, refine, key):
    from dynsim._kernels.euler_maruyama import advance_euler_maruyama

    factors = prime_factors(refine)

    def advance(blocks, first_path, first, last, save_every, saves):
        span = np.array([first_path, first, last, save_every])
        advance_euler_maruyama(
            sde._drift_field, sde._diffusion_field, sde.params, h, sde.noise_dim, factors, blocks, span, key, saves
        )

    return advance
