"""The discrete chain."""

import os

import numpy as np

from dynsim import _check
from dynsim._checkpoint import Checkpoint
from dynsim._ensemble import Plan, Run, run_ensemble
from dynsim._fingerprint import fingerprint
from dynsim._observation import Observation, named_observers
from dynsim._typing import ArrayLike, Observe, Seed
from dynsim.methods import SGD
from dynsim.problems import Problem
from dynsim.results import Trajectories

_PROPORTIONS = 256  # rows of a block that those of many terms count for: only their sums over tiles are kept


def iterate(
    problem: Problem,
    method: SGD,
    x0: ArrayLike,
    *,
    n_steps: int,
    n_paths: int = 1,
    rng: Seed = None,
    save_every: int | None = 1,
    observe: Observe = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_seconds: float = 60.0,
    threads: int | None = None,
    block_width: int | None = None,
    chunk_steps: int | None = None,
    progress: bool = True,
) -> Trajectories:
    """Run a stochastic optimization method: θ_{k+1} = θ_k − η (a_n/p_n) ∇l_n(θ_k), n drawn with probability p_n(θ_k).

    AY (3.2) for ``SGD``, AY (3.5) for ``RR``. Each path draws its terms from its own counter-based random numbers, a
    function of the seed, the path's number and the step alone: the first paths of a larger ensemble are those of a
    smaller one, and two methods given the same ``rng`` are driven by the same numbers.

    Parameters
    ----------
    problem : Problem
    method : SGD
    x0 : array_like
        Start: a scalar, (dim,) or (n_paths, dim).
    n_steps : int
        Number of steps.
    n_paths : int, optional
        Number of independent paths.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7). The seed that was used is in ``result.settings["seed"]``.
    save_every : int or None, optional
        Keep every so many-th step, and always the first and the last; None keeps these two only.
    observe : observer, sequence or dict of observers, optional
        Statistics to keep while the run goes on, from :mod:`dynsim.observers`; found in ``result.observed`` by name.
    checkpoint : path, optional
        A file (.npz) to keep the state of the run in. If it exists, the run goes on from there, and gives the numbers
        that it would have given uninterrupted, to the bit. With ``rng=None`` it keeps the seed that it began with.
    checkpoint_seconds : float, optional
        Time between two checkpoints; longer if writing one takes more than 2 % of it. One more is written at the end.
    threads : int, optional
        Threads to use, all cores by default.
    block_width, chunk_steps : int, optional
        Paths per block and steps per chunk, tuned by default. Like ``threads``, they change no result.
    progress : bool, optional
        Show a progress bar for a run of more than a second, if in a terminal or notebook.

    Returns
    -------
    Trajectories
        ``x`` of shape (n_paths, n_saved, dim), ``t`` the step numbers. After Ctrl-C it ends at the step that was
        reached, and ``complete`` is False.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or the checkpoint is of another run.
    DataError
        If the checkpoint is damaged.
    TooLarge
        If the result would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys()
    >>> ds.iterate(problem, ds.RR(step_size=0.04), x0=0.25, n_steps=100, n_paths=3, rng=0).x.shape
    (3, 101, 1)
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, SGD, "a method, such as SGD(step_size=0.04)")
    n_steps, n_paths = _check.count("n_steps", n_steps), _check.count("n_paths", n_paths)
    if save_every is not None:
        save_every = _check.count("save_every", save_every)
    start = _check.start("x0", x0, n_paths, problem.dim)
    store = Checkpoint(checkpoint, checkpoint_seconds)
    seed, key = store.seed_and_key(rng)
    proportions = method.sampling.proportions(problem)
    rows = problem.dim if proportions is not None else max(problem.dim, min(problem.n_terms, _PROPORTIONS))
    plan = Plan.make(
        n_paths, rows, threads=threads, block_width=block_width, chunk_steps=chunk_steps, progress=progress
    )
    observers = named_observers(observe)
    observation = Observation(observers, dim=problem.dim, n_paths=n_paths, n_steps=n_steps)
    settings = {
        "problem": problem.name,
        "method": repr(method),
        "n_steps": n_steps,
        "n_paths": n_paths,
        "save_every": save_every,
    }
    contents = {
        "content of the problem": problem.fingerprint(),
        "content of the method": fingerprint(method),
        "x0": fingerprint(start),
        "observe": fingerprint(observers),
    }
    run = Run(_chain(problem, method, proportions, key), start, n_steps, save_every, method.name)
    outcome = run_ensemble(run, plan, observation, store, settings | contents)
    diverged = np.where(outcome.diverged < 0, np.inf, outcome.diverged)
    return Trajectories(
        outcome.x,
        outcome.steps,
        diverged,
        settings | {"seed": seed},
        complete=bool(outcome.steps[-1] == n_steps),
        observed=observation.results(int(outcome.steps[-1]), diverged, 1),
    )


def _chain(problem, method, proportions, key):
    from dynsim._kernels.chain import addresses, advance_chain
    from dynsim._kernels.fields import no_proportions
    from dynsim._kernels.span import BY_FIELD, EQUAL, FIXED

    by_field = proportions is None
    field = method.sampling.proportions_field(problem) if by_field else no_proportions
    table = _draw_table(problem.weights, problem.weights if by_field else proportions)
    draw = BY_FIELD if by_field else EQUAL if np.ptp(proportions) == 0 else FIXED
    chain = (addresses(problem.gradients_field, field), problem.params, table)

    def advance(blocks, first_path, first, last, save_every, saves, observation):
        span = np.array([first_path, first, last, save_every, draw])
        advance_chain(chain, key, np.full(last - first, method.step_size), observation, span, blocks, saves)

    return advance


def _draw_table(weights, proportions):
    """Rows WEIGHTS, REWEIGHTING, CUMULATIVE and GUIDE of the kernels' table for fixed proportions."""
    n = weights.size
    cumulative = np.cumsum(proportions)
    cumulative[-1] = 1.0
    guide = np.searchsorted(cumulative, np.arange(n) / n, side="right")
    return np.stack([weights, weights / proportions, cumulative, guide.astype(np.float64)])
