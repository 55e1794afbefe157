"""Observers of a problem's loss, or of the length of its gradient, along a run."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.observed import Averages, Extreme, Passages
from dynsim.observers.base import Observer

if TYPE_CHECKING:
    from dynsim.problems import Problem

QUANTITIES = ("loss", "gradient-norm")


@dataclass(frozen=True, eq=False)
class _OfProblem(Observer):
    """``problem`` and ``quantity``, and what their kernels are given."""

    problem: "Problem"
    quantity: str = "loss"
    _content: str = field(init=False, repr=False, default="")  # by which a checkpoint knows the problem again

    def __post_init__(self):
        super().__post_init__()
        if not hasattr(self.problem, "losses_field"):
            raise ArgumentError(f"problem must be a problem, got {type(self.problem).__name__}")
        _check.choice("quantity", self.quantity, QUANTITIES)
        object.__setattr__(self, "_content", self.problem.fingerprint())

    def _refuse_another(self, dim, called="problem"):
        if dim != self.problem.dim:
            raise ArgumentError(
                f"{called} must have the dim of the run, {dim}, but {self.problem.name} has dim {self.problem.dim}"
            )

    def _kernel_of(self, make, dim):
        from dynsim._kernels import problem_observers as kernels

        self._refuse_another(dim)
        return getattr(kernels, make)(kernels.FILLS[self.quantity])

    def _params(self, dim, n_paths, n_steps):
        from dynsim._kernels.fields import GRADIENTS, LOSSES
        from dynsim._kernels.problem_observers import params_of

        problem, level = self.problem, getattr(self, "level", math.nan)
        loss = self.quantity == "loss"
        of, arguments = (problem.losses_field, LOSSES) if loss else (problem.gradients_field, GRADIENTS)
        return params_of(of, arguments, problem.weights, problem.params, level)

    def _at(self, x):
        """The quantity at x (..., dim), (...)."""
        return self.problem.loss(x) if self.quantity == "loss" else np.linalg.norm(self.problem.gradient(x), axis=-1)


@dataclass(frozen=True, eq=False)
class FirstBelow(_OfProblem):
    """The first step k with L(θ_k) ≤ ε, or ‖∇L(θ_k)‖ ≤ ε. Result: :class:`~dynsim.observed.Passages`.

    What Z's chapters 2 and 3 count iterations by: ε-optimal points of a convex L, whose minimum is 0 or added to ε, and
    ε-stationary points of a nonconvex one. Of L itself, not of the terms that were drawn: each observation costs
    ``n_terms`` evaluations for each path, which ``every`` makes fewer.

    Parameters
    ----------
    problem : Problem
    quantity : {"loss", "gradient-norm"}
        At a kink the gradient is the one that ``problem.gradient`` gives.
    level : float
        ε.
    burn_in, every : int, optional
        As in :class:`Observer`. What happens between two observed steps goes unseen.

    Examples
    --------
    Gradient descent on θ²/2 with step size 1/2 halves θ in each step:

    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0]], [0.0])
    >>> small = ds.observers.FirstBelow(problem, "gradient-norm", 1e-3)
    >>> ds.iterate(problem, ds.SGD(0.5), x0=1.0, n_steps=20, observe=small).observed["first_below"].time.tolist()
    [10.0]
    """

    level: float = math.nan

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "level", _check.real("level", self.level))

    def _kernel(self, dim):
        return self._kernel_of("first_below", dim)

    def _start(self, dim):
        return [math.inf]

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Passages(n, lanes[:, 0].copy(), np.minimum(diverged, end))


@dataclass(frozen=True, eq=False)
class AverageOf(_OfProblem):
    """Time average of L or ‖∇L‖ along each path. Result: :class:`~dynsim.observed.Averages`, with q = 1.

    Parameters
    ----------
    problem : Problem
    quantity : {"loss", "gradient-norm"}, optional
    burn_in, every : int, optional
        As in :class:`Observer`.

    Notes
    -----
    Where the average is wanted with an error that knows of correlation in time, it stands for φ:
    ``iterate(..., average=AverageOf(problem, "gradient-norm"))``; there ``problem.loss`` says the same as
    ``AverageOf(problem)``.
    """

    def _kernel(self, dim):
        return self._kernel_of("average", dim)

    def _start(self, dim):
        return [0.0]

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Averages(n, lanes / max(n, 1), np.isinf(diverged))


def of_problem(function):
    """``AverageOf(problem)`` for ``problem.loss``; any other φ as it is, if it leaves out no steps of its own."""
    if hasattr(getattr(function, "__self__", None), "losses_field") and function.__qualname__ == "Problem.loss":
        return AverageOf(function.__self__)
    if isinstance(function, AverageOf) and (function.burn_in, function.every) != (0, 1):
        raise ArgumentError(
            "an AverageOf that stands for φ must leave burn_in and every to the average, such as observers.BatchMeans, "
            f"got burn_in={function.burn_in}, every={function.every}"
        )
    return function


@dataclass(frozen=True, eq=False)
class ExtremesOf(_OfProblem):
    """Smallest and largest L or ‖∇L‖ along each path. Result: :class:`~dynsim.observed.Extreme`, with dim 1.

    The smallest one is what bounds on min_k ‖∇L(θ_k)‖ are about.

    Parameters
    ----------
    problem : Problem
    quantity : {"loss", "gradient-norm"}, optional
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    def _kernel(self, dim):
        return self._kernel_of("extremes", dim)

    def _start(self, dim):
        return [math.inf, -math.inf]

    def _result(self, lanes, tally, n, diverged, end, unit):
        low, high = np.split(lanes, 2, axis=1)
        return Extreme(n, low.copy(), high.copy(), np.isinf(diverged))
