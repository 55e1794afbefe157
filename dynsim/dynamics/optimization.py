"""Optimization without noise as a map: full-batch methods, with what they remember in the state."""

import dataclasses

import numpy as np

from dynsim import _check
from dynsim._observation import Observation
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike
from dynsim.chain import _Chain
from dynsim.dynamics.system import Map
from dynsim.errors import NotApplicable
from dynsim.methods import INGD, SGD, HeavyBall, Method, Nesterov, StochasticINGD
from dynsim.methods.base import FULL
from dynsim.problems import Problem
from dynsim.sampling import Uniform
from dynsim.schedules import Schedule

_WIDTH = 256  # states that are advanced together: a block of them stays in the cache
_STEPS = (*range(16), 1000)  # at which a rule is looked at, for whether it knows the number of the step


def descent(problem: Problem, method: Method, *, modulo: ArrayLike = np.inf) -> Map:
    """The map θ ↦ F(θ) that a full-batch method iterates: gradient descent F(θ) = θ − η∇L(θ), and its relatives.

    What the method remembers is part of the state, below θ: the velocity of ``HeavyBall``, the point where
    ``Nesterov`` takes the gradient, the running squares of ``RMSProp``. F is the step of :func:`dynsim.iterate`
    itself, so that an orbit is the run. The Jacobian is exact for SGD, ``HeavyBall`` and ``Nesterov``, with
    ``problem.hessian``; for the others it is by central differences.

    Parameters
    ----------
    problem : Problem
    method : Method
        With ``batch_size="full"`` (a problem of one term needs none), a constant step size and no noise; its rule must
        not know the number of the step.
    modulo : array_like, scalar or shape (problem.dim,), optional
        Periods of coordinates that are angles, see :class:`Map`.

    Returns
    -------
    Map
        Of dimension ``problem.dim`` and what is remembered, whose ``observable`` is the loss.

    Raises
    ------
    ArgumentError
        If an argument is not what it should be, or the method does not fit the problem.
    NotApplicable
        If the step is drawn at random or is not always the same function of the state, as that of ``Adam``.

    Examples
    --------
    >>> import dynsim as ds
    >>> F = ds.dynamics.descent(ds.problems.egg_carton(), ds.SGD(0.025, batch_size="full"))
    >>> ds.dynamics.orbit(F, [1.0, -0.5], 2000).period().tolist()
    [2]
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.egg_carton()")
    method = _full_batch(problem, method)
    modulo = np.asarray(_check.points("modulo", np.broadcast_to(modulo, (problem.dim,)), problem.dim))
    steps = _Steps(problem, method)
    start = steps.start(np.full((1, problem.dim), 0.5))
    dim = start.shape[1]
    if not steps.autonomous():
        raise NotApplicable(
            f"descent needs a step that is always the same function of the state, but that of {method.name} depends on "
            "the number of the step; RMSProp or HeavyBall are close to it and have no such dependence"
        )
    return Map(
        steps.function,
        dim,
        _jacobian(problem, method),
        n_observed=problem.dim,
        name=f"{method.name} on {problem.name}",
        modulo=np.concatenate([modulo, np.full(dim - problem.dim, np.inf)]),
        start=steps.start,
        observable=problem.loss,
        _advance=steps.advance,
    )


def _full_batch(problem, method):
    """The method as one of full batches, or the refusal."""
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04, batch_size='full')")
    if isinstance(method, INGD | StochasticINGD):
        raise NotApplicable(f"descent needs steps without chance, but {method.name} looks at random points")
    if method.batch_size != FULL and problem.n_terms > 1:
        raise NotApplicable(
            f"descent needs steps without chance, but {method!r} draws one of {problem.n_terms} terms: "
            f"give it batch_size='full', or run it with dynsim.iterate"
        )
    if method.noise is not None:
        raise NotApplicable(f"descent needs steps without chance: take the noise off, got noise={method.noise!r}")
    for schedule in method.schedules():
        if isinstance(schedule, Schedule):
            raise NotApplicable(f"descent needs constants for step size and the like, got {schedule!r}")
    if method.batch_size != FULL:
        method = dataclasses.replace(method, batch_size=FULL, sampling=Uniform())
    method.check(problem)
    method.check_schedules(1)
    return method


class _Steps:
    """The compiled steps of a method, on states (m, dim of θ and memory)."""

    def __init__(self, problem, method):
        self.problem, self.dim = problem, problem.dim
        self.chain = _Chain(problem, method, seed_and_key(0)[1], 1)
        self.unobserved = Observation({}, dim=problem.dim, n_paths=1, n_steps=1).nothing()

    def start(self, theta):
        """The states in which runs from θ (..., d) begin."""
        flat = np.ascontiguousarray(theta, dtype=np.float64).reshape(-1, self.dim)
        return np.hstack([flat, self.chain.memory(flat)]).reshape(*np.shape(theta)[:-1], -1)

    def advance(self, x, n_steps, keep, first=0):
        """The states after n steps, and θ after each of them, if kept, (m, n_steps, d)."""
        ends, every = np.empty(x.shape), 1 if keep else first + n_steps + 1
        path = np.empty((x.shape[0], n_steps if keep else 0, self.dim))
        for k in range(0, x.shape[0], _WIDTH):
            block = np.array(x[k : k + _WIDTH].T, order="C")[None]  # a copy: it is advanced in place
            saves = np.empty((1, path.shape[1], self.dim, block.shape[2]))
            self.chain.advance(block, 0, first, first + n_steps, every, saves, self.unobserved)
            ends[k : k + _WIDTH], path[k : k + _WIDTH] = block[0].T, saves[0].transpose(2, 0, 1)
        return ends, path

    def function(self, x):
        """F(x) for x (..., dim)."""
        x = np.asarray(x, dtype=np.float64)
        return self.advance(x.reshape(-1, x.shape[-1]), 1, False)[0].reshape(x.shape)

    def autonomous(self):
        """Whether a step from the same states is the same whatever its number."""
        x = self.start(np.outer(_check.PROBES, np.linspace(1.0, 0.5, self.dim)))
        x[:, self.dim :] += np.linspace(0.1, 0.9, x[:, self.dim :].size).reshape(x.shape[0], -1)
        first, *others = (self.advance(x, 1, False, first=k)[0] for k in _STEPS)
        return all(np.array_equal(first, other, equal_nan=True) for other in others)


def _jacobian(problem, method):
    """DF where a formula is known, else None."""
    eta, eye, d = method.step_size, np.eye(problem.dim), problem.dim

    def gradient_descent(x):
        return eye - eta * problem.hessian(x)

    def heavy_ball(x):  # (θ, v) -> (θ − η v', v'), v' = μ v + ∇L(θ)
        H, mu = problem.hessian(x[..., :d]), method.momentum
        rest = np.broadcast_to(mu * eye, H.shape)
        return _blocks([[eye - eta * H, -eta * rest], [H, rest]])

    def nesterov(x):  # (θ, q) -> (θ', θ' + μ (θ' − θ)), θ' = q − η ∇L(q), Z (2.4)
        step, mu = gradient_descent(x[..., d:]), method.momentum
        rest = np.broadcast_to(eye, step.shape)
        return _blocks([[0 * rest, step], [-mu * rest, (1 + mu) * step]])

    return {SGD: gradient_descent, HeavyBall: heavy_ball, Nesterov: nesterov}.get(type(method))


def _blocks(rows):
    return np.concatenate([np.concatenate(row, axis=-1) for row in rows], axis=-2)
