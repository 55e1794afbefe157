"""The discrete chain."""

import os

import numpy as np

from dynsim import _check
from dynsim._checkpoint import Checkpoint
from dynsim._ensemble import Plan, Run, run_ensemble
from dynsim._fingerprint import fingerprint
from dynsim._observation import Observation, named_observers
from dynsim._typing import ArrayLike, Average, Observe, Seed, Until
from dynsim.errors import ArgumentError, NotApplicable, TooLarge
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import Trajectories

_MOST_ROWS = 32  # rows of a block that scratch counts for at most: little of it is in use at once
_WORK_PER_ROW = 2**10  # but where there are very many, blocks get narrower, so that a thread's fits in 64 MiB
_MOST_LOOKED_AT = 10**7  # losses, and coordinates of gradients, that are looked at before a run


def iterate(
    problem: Problem,
    method: Method,
    x0: ArrayLike,
    *,
    n_steps: int,
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
    """Run a stochastic optimization method on an ensemble of paths.

    ``SGD`` is θ_{k+1} = θ_k − η (a_n/p_n) ∇l_n(θ_k), n drawn with probability p_n(θ_k): AY (3.2) for uniform sampling,
    AY (3.5) for ``RR``; the other methods say in their docstrings what a step of theirs is.

    Each path draws its terms from its own counter-based random numbers, a function of the seed, the path's number and
    the step alone: the first paths of a larger ensemble are those of a smaller one, and two methods given the same
    ``rng`` are driven by the same numbers.

    Parameters
    ----------
    problem : Problem
    method : Method
        Update rule, sampling scheme, batch size, step size and noise in one value, from :mod:`dynsim.methods`.
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
    average : function, mapping of str to functions, or observers.BatchMeans, optional
        φ(x) for x (..., dim), whose average over paths and time is to be told with its error, in ``result.average``;
        written as for :class:`dynsim.observers.Average`. ``problem.loss`` is one too, and the length of the gradient
        ``observers.AverageOf(problem, "gradient-norm")``. Several by name are estimated jointly.
    until : float or dict, optional
        Stop as soon as the standard error of the average is so small, relative to its value; ``n_steps`` is then the
        most that are made, and a warning says if they were too few. ``{"absolute": 1e-3}`` for values that may be 0;
        with both ``"relative"`` and ``"absolute"`` the larger error is allowed. Of several φ all must get there, by an
        estimate that can be trusted. It is looked at after 256 observations, and whenever they have grown by √2: at
        fixed steps, so that the result depends on nothing else. A φ that has had one value so far, such as an event
        not seen yet, is not taken for accurate: if it never varies, all ``n_steps`` are made. Have ``save_every=None``
        with it.
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
        ``x`` of shape (n_paths, n_saved, dim), ``t`` the step numbers. Where ``until`` is met, or all paths have
        blown up where it is looked at, it ends there. After Ctrl-C it ends at the step that was reached, and
        ``complete`` is False.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, the method does not fit the problem, the loss is not finite at ``x0``, or
        the checkpoint is of another run.
    NotApplicable
        If the problem lacks what the sampling scheme needs, or its draws turned out not to be what they should be.
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
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    n_steps, n_paths = _check.count("n_steps", n_steps), _check.count("n_paths", n_paths)
    if save_every is not None:
        save_every = _check.count("save_every", save_every)
    start = _check.start("x0", x0, n_paths, problem.dim)
    _check_fit(problem, method, start, n_steps)
    store = Checkpoint(checkpoint, checkpoint_seconds)
    seed, key = store.seed_and_key(rng)
    chain = _Chain(problem, method, key, n_paths)
    plan = Plan.make(
        n_paths, chain.rows, threads=threads, block_width=block_width, chunk_steps=chunk_steps, progress=progress
    )
    observers = named_observers(observe)
    observation = Observation(
        observers, dim=problem.dim, n_paths=n_paths, n_steps=n_steps, average=average, until=until
    )
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
        **observation.fingerprints(),
    }
    if observation.goal is not None:
        settings["until"] = observation.goal.until
    run = Run(
        chain.advance,
        start,
        n_steps,
        save_every,
        method.name,
        memory=chain.memory(start),
        check=chain.check,
        goal=observation.goal,
    )
    outcome = run_ensemble(run, plan, observation, store, settings | contents)
    return Trajectories(
        outcome.x,
        outcome.steps,
        outcome.diverged,
        settings | {"seed": seed},
        complete=outcome.complete,
        **observation.found(int(outcome.steps[-1]), outcome.diverged, 1),
    )


def _check_fit(problem, method, start, n_steps):
    """Refuse what would go wrong in the run: the method on this problem, its schedules, the loss where it starts."""
    method.check(problem)
    method.check_schedules(n_steps)
    points = np.unique(start[: max(1000, _MOST_LOOKED_AT // problem.n_terms)], axis=0)
    with np.errstate(all="ignore"):
        finite = problem._is_finite(points)
    if not finite.all():
        raise ArgumentError(f"x0 must be where the loss is finite, it is not at {points[~finite][0].tolist()}")
    method.sampling.refuse_bias(problem, points[: max(1, _MOST_LOOKED_AT // (problem.n_terms * problem.dim))])


class _Chain:
    """A method on a problem as the kernel is told of it."""

    def __init__(self, problem, method, key, n_paths):
        from dynsim._kernels import chain as kernels
        from dynsim._kernels.estimators.common import N_PATHS, NOISE_COMPONENTS, problem_addresses
        from dynsim._kernels.fields import no_losses, no_noise

        self.method, self.key, self.estimator = method, key, method.estimator(problem)
        self.update, noise = method.rule(problem), method.noise
        losses = problem.losses_field if method.compares_losses else no_losses  # which may not be compiled yet
        fields = (losses, problem.gradients_field, self.estimator.proportions)
        self.estimator.integers[N_PATHS] = n_paths
        self.fields = (*fields, self.estimator.kernel, self.update.kernel)  # kept alive
        n_uniforms = self.estimator.n_uniforms + self.update.n_uniforms
        if n_uniforms > NOISE_COMPONENTS:
            raise TooLarge(
                f"{method!r} takes {n_uniforms} random numbers a step, more than the {NOISE_COMPONENTS} there are"
            )
        self.n_memory = self.update.memory(np.zeros((1, problem.dim))).shape[1]
        layout = np.zeros(7, dtype=np.int64)
        layout[kernels.DIM], layout[kernels.QUERY] = problem.dim, self.update.query
        layout[kernels.MEMORY] = problem.dim + self.n_memory
        layout[kernels.DRAWN], layout[kernels.UNIFORMS] = self.estimator.n_uniforms, n_uniforms
        layout[kernels.WORK], layout[kernels.NOISY] = self.estimator.n_work, noise is not None
        noise_kernel, noise_params = (
            (no_noise, np.zeros(0)) if noise is None else (noise.kernel, noise.params(problem.dim))
        )
        addresses = kernels.addresses(self.estimator.kernel, noise_kernel, self.update.kernel)
        self.kernel = kernels.advance_chain
        self.problem = (problem_addresses(*fields), problem.params, problem.weights.copy())  # Numba wants it writeable
        self.sampling = (self.estimator.integers, self.estimator.numbers, self.estimator.table)
        self.layout = (addresses, layout, noise_params, self.update.params)
        self.rows_remembered = self.n_memory + self.estimator.memory.size
        state = problem.dim + self.rows_remembered
        work = 2 * n_uniforms + self.estimator.n_work
        self.rows = state + max(min(work, _MOST_ROWS), work // _WORK_PER_ROW)

    def memory(self, start):
        """What the rows of the state below θ begin with, (n_paths, rows)."""
        n_paths, own = start.shape[0], self.update.memory(start)
        remembered = (n_paths, self.rows_remembered, 4)
        _check.fits_in_memory("what the paths remember", remembered, instead="use fewer of them, or another scheme")
        return np.hstack([own, np.tile(self.estimator.memory, (n_paths, 1))])

    def advance(self, blocks, first_path, first, last, save_every, saves, observation):
        span = np.array([first_path, first, last, save_every])
        rates = self.method.rates(first, last)
        self.kernel(self.problem, self.sampling, self.layout, self.key, rates, observation, span, (blocks, saves))

    def check(self):
        """Raise if draws were not what they should be."""
        from dynsim._kernels.estimators.common import BROKEN

        if broken := int(self.estimator.integers[BROKEN]):
            raise NotApplicable(f"{self.method.sampling!r}: {self.estimator.promise.format(broken)}")
