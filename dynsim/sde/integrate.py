"""Paths of an SDE."""

import os

import numpy as np

from dynsim import _check
from dynsim._checkpoint import Checkpoint
from dynsim._ensemble import Plan, Run, run_ensemble
from dynsim._fingerprint import fingerprint
from dynsim._observation import Observation, named_observers
from dynsim._typing import ArrayLike, Average, Observe, Seed, Until
from dynsim.errors import ArgumentError
from dynsim.results import Trajectories
from dynsim.sde.increments import prime_factors
from dynsim.sde.model import SDE
from dynsim.sde.scheme import scheme_for

_STEP_TOLERANCE = 1e-9  # how far t_end / dt may be from a whole number, relatively


def integrate(
    sde: SDE,
    x0: ArrayLike,
    t_end: float,
    *,
    dt: float,
    scheme: str = "euler-maruyama",
    refine: int = 1,
    n_paths: int = 1,
    rng: Seed = None,
    save_every: int | None = 1,
    observe: Observe = None,
    average: Average = None,
    until: Until = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_seconds: float = 60.0,
    threads: int | None = None,
    block_width: int | None = None,
    chunk_steps: int | None = None,
    progress: bool = True,
) -> Trajectories:
    """Integrate an SDE from t = 0 to ``t_end``, by Euler–Maruyama, X ← X + μ(t, X) dt + σ(t, X) ΔW, or another scheme.

    The increments ΔW are a function of the seed, the path's number, the step and the component alone: all schemes see
    the same ones.

    Parameters
    ----------
    sde : SDE
    x0 : array_like
        Start: a scalar, (dim,) or (n_paths, dim).
    t_end : float
        End of the integration, a whole number of steps ``dt``.
    dt : float
        Step.
    scheme : str, optional
        One of :data:`dynsim.schemes`, which has their orders and the kinds of noise that they are for.
    refine : int, optional
        Take so many steps of dt/refine for each ``dt``, along the same Brownian path: to see what the step size does.
        Paths for refine = 2, 4, 8 … are refinements of each other too. All else still counts in ``dt``.
    n_paths, rng, save_every, observe, average, until, checkpoint, checkpoint_seconds, threads, block_width, \
    chunk_steps, progress
        As in :func:`dynsim.iterate`.

    Returns
    -------
    Trajectories
        ``x`` of shape (n_paths, n_saved, dim), ``t`` the times. Where ``until`` is met, or all paths have blown
        up where it is looked at, it ends there. After Ctrl-C it ends at the time that was reached, and ``complete`` is
        False.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, ``dt`` does not divide ``t_end``, or the checkpoint is of another run.
    NotApplicable
        If the scheme is not for the noise of this SDE; the message names those that are.
    DataError
        If the checkpoint is damaged.
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
    n_paths, refine = _check.count("n_paths", n_paths), _check.count("refine", refine)
    if save_every is not None:
        save_every = _check.count("save_every", save_every)
    start = _check.start("x0", x0, n_paths, sde.dim)
    stepper = scheme_for(scheme, sde, start, t_end)
    store = Checkpoint(checkpoint, checkpoint_seconds)
    seed, key = store.seed_and_key(rng)
    plan = Plan.make(
        n_paths,
        max(sde.dim, sde.noise_dim) * stepper.memory,
        threads=threads,
        block_width=block_width,
        chunk_steps=chunk_steps,
        progress=progress,
    )
    observers = named_observers(observe)
    observation = Observation(
        observers, dim=sde.dim, n_paths=n_paths, n_steps=n_steps, unit=refine, dt=dt, average=average, until=until
    )
    settings = {
        "sde": sde.name,
        "scheme": scheme,
        "t_end": t_end,
        "dt": dt,
        "refine": refine,
        "n_paths": n_paths,
        "save_every": save_every,
    }
    contents = {
        "content of the SDE": sde.fingerprint(),
        "x0": fingerprint(start),
        **observation.fingerprints(),
    }
    if observation.goal is not None:
        settings["until"] = observation.goal.until
    every = None if save_every is None else save_every * refine
    advance = _advance(sde, stepper, dt, refine, key)
    run = Run(advance, start, n_steps * refine, every, scheme, 2 * refine, goal=observation.goal)
    outcome = run_ensemble(run, plan, observation, store, settings | contents)
    diverged = dt / refine * outcome.diverged
    reached = int(outcome.steps[-1])
    return Trajectories(
        outcome.x,
        dt / refine * outcome.steps if reached % refine else dt * (outcome.steps // refine),
        diverged,
        settings | {"seed": seed},
        complete=outcome.complete,
        **observation.found(reached // refine, diverged, dt),
    )


def _advance(sde, stepper, dt, refine, key):
    """The kernel call of a run."""
    from dynsim._kernels.schemes.loop import addresses, advance

    code = addresses(stepper.step, stepper.drift, sde._diffusion_field)
    equation = (code, stepper.n_work, sde.params)
    noise = (key, prime_factors(refine), stepper.unit(dt / refine), stepper.kinds, sde.noise_dim)

    def advance_blocks(blocks, first_path, first, last, save_every, saves, observation):
        span = np.array([first_path, first, last, save_every])
        advance(equation, noise, dt, observation, span, blocks, saves)

    return advance_blocks
