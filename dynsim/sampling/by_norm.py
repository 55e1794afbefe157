"""Schemes that draw a term by the norm of its gradient, or by another function of θ."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.sampling.base import Estimator, Sampling, share

if TYPE_CHECKING:
    from dynsim.problems import Problem


class _ByField(Sampling):
    """p_n(θ) = t q_n(θ)/Σq + (1−t) a_n for a block field q."""

    _share = 1.0
    _strict = False  # whether Σq must be positive

    def _field(self, problem):
        return problem.gradient_norms_field

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """p_n(θ), shape (..., n_terms); the weights a_n where all q_n are 0."""
        theta = _check.points("theta", theta, problem.dim)
        lanes = np.ascontiguousarray(theta.reshape(-1, problem.dim).T)
        q = np.empty((problem.n_terms, lanes.shape[1]))
        self._field(problem)(lanes, problem.params, problem.weights.copy(), 0, q)
        q = q.T.reshape(*theta.shape[:-1], problem.n_terms)
        total = q.sum(axis=-1, keepdims=True)
        p = np.where(total == 0, problem.weights, q / np.where(total == 0, 1.0, total))
        return self._share * p + (1 - self._share) * problem.weights

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.draw import SCRATCH, TILE
        from dynsim._kernels.estimators.by_proportions import by_proportions

        return Estimator.make(
            by_proportions,
            batch_size,
            proportions=self._field(problem),
            integers=[self._strict],
            numbers=[self._share],
            table=problem.weights[None],
            uniforms=batch_size,
            work=problem.dim + 1 + SCRATCH + -(-problem.n_terms // TILE),
            promise="function was negative, not a number, or 0 for all terms in {} steps; give a floor above 0",
        )


@dataclass(frozen=True, repr=False)
class GradientNorm(_ByField):
    """Resampling and reweighting, AY (3.5): p_n(θ) = a_n‖∇l_n(θ)‖ / C(θ), reweighted by C(θ)/‖∇l_n(θ)‖.

    C(θ) = Σ a_n‖∇l_n(θ)‖; L's p^GN, which has the least variance of all. A term without gradient is never drawn; where
    no term has one, no step is made.
    """

    norm_share = 1.0


@dataclass(frozen=True, repr=False)
class Mixture(_ByField):
    """Between uniform and by gradient norm: p = t p^GN + (1−t) a. L's p^½ at t = ½, L §4.

    By L's theorem its variance lies between those of both, and a_n/p_n ≤ 1/(1−t) keeps the reweighting bounded.

    Parameters
    ----------
    t : float
        In [0, 1].
    """

    t: float = 0.5

    def __post_init__(self):
        object.__setattr__(self, "t", share("t", self.t))

    @property
    def _share(self):
        return self.t

    @property
    def norm_share(self) -> float:  # type: ignore[override]
        """Here t."""
        return self.t


@dataclass(frozen=True, repr=False)
class Custom(_ByField):
    """Probabilities by your own function: p_n(θ) = t q(θ, n)/Σ_m q(θ, m) + (1−t) a_n with t = 1 − floor.

    Parameters
    ----------
    function : callable
        ``q(theta, n) -> float`` or ``q(theta, n, params) -> float``, nonnegative, for one θ (an array of length dim)
        and one term n, with ``params`` the parameters of the problem. Plain Python with ``math`` or NumPy scalars;
        dynsim compiles it.
    floor : float, optional
        Share of the draws that are made by the weights a_n, in [0, 1]. A term that has a gradient but is never drawn
        biases the step: a floor above 0 makes that impossible.

    Examples
    --------
    >>> import dynsim as ds
    >>> scheme = ds.sampling.Custom(lambda theta, n: 1.0 + n)
    >>> scheme.probabilities(ds.problems.two_valleys(), [0.1]).round(3).tolist()
    [0.333, 0.667]
    """

    function: Callable
    floor: float = 0.0
    _strict = True
    _fields: dict = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self):
        if not callable(self.function):
            raise ArgumentError(f"function must be a function of (theta, n), got {type(self.function).__name__}")
        object.__setattr__(self, "floor", share("floor", self.floor))

    @property
    def _share(self):
        return 1.0 - self.floor

    def _field(self, problem):
        from dynsim._kernels.user_fields import DoesNotCompile
        from dynsim._kernels.user_sampling import proportions_field

        if "field" not in self._fields:
            try:
                self._fields["field"] = proportions_field(self.function)
            except DoesNotCompile as error:
                raise ArgumentError(f"function cannot be compiled: {error}") from None
        return self._fields["field"]

    def __repr__(self):
        name = getattr(self.function, "__name__", repr(self.function))
        return f"Custom({name}{f', floor={self.floor:g}' if self.floor else ''})"

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """p_n(θ), shape (..., n_terms)."""
        theta = _check.points("theta", theta, problem.dim)
        if theta.size:
            self._call(problem, theta.reshape(-1, problem.dim)[0])
        p = super().probabilities(problem, theta)
        if not np.isfinite(p[np.isfinite(theta).all(axis=-1)]).all():
            raise ArgumentError("function must return nonnegative numbers")
        return p

    def refuse_bias(self, problem: "Problem", theta: ArrayLike) -> None:
        """Raise where a term that has a gradient is never drawn."""
        missed = (self.probabilities(problem, theta) == 0) & (problem.term_gradients(theta) != 0).any(axis=-1)
        if missed.any():
            where = np.argwhere(missed)[0]
            raise ArgumentError(
                f"function is 0 for term {where[-1]} at θ = {np.asarray(theta)[tuple(where[:-1])].tolist()}, where it "
                "has a gradient: a term that is never drawn biases the step; give a floor above 0"
            )

    def _call(self, problem, point):
        """Call the function as it stands for the first and the last term, so that a mistake in it shows as such."""
        n_arguments = len(inspect.signature(getattr(self.function, "py_func", self.function)).parameters)
        if n_arguments not in (2, 3):
            raise ArgumentError(
                f"function must take (theta, n) or (theta, n, params), it takes {n_arguments} arguments"
            )
        for n in (0, problem.n_terms - 1):
            arguments = (point.copy(), n) if n_arguments == 2 else (point.copy(), n, problem.params)
            try:
                value = float(self.function(*arguments))
            except Exception as error:
                raise ArgumentError(
                    f"function fails at θ = {point.tolist()}, n = {n}: {type(error).__name__}: {error}"
                ) from None
            if value < 0:
                raise ArgumentError(f"function must be nonnegative, it is {value:g} at θ = {point.tolist()}, n = {n}")


@dataclass(frozen=True, repr=False)
class Stale(Sampling):
    """By the gradient norms that were last seen: p_n = (1−f) s_n/Σs + f a_n, f = floor.

    s_n = a_n‖∇l_n‖ at the θ where term n was last drawn. Every ``refresh``-th step all of them are looked at again.
    Each path remembers a number for each term.

    Parameters
    ----------
    refresh : int
        Steps between two looks at all terms.
    floor : float, optional
        Share of the draws that are made by the weights, in (0, 1]: a term whose gradient was 0 must come back.
    """

    refresh: int
    floor: float = 0.1
    independent = False
    memoryless = False

    def __post_init__(self):
        object.__setattr__(self, "refresh", _check.count("refresh", self.refresh))
        if share("floor", self.floor) == 0:
            raise ArgumentError("floor must be above 0: a term whose gradient was 0 would never be drawn again")

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Those just after all terms have been looked at: the mixture of p^GN and the weights."""
        return Mixture(1 - self.floor).probabilities(problem, theta)

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.stale import stale

        return Estimator.make(
            stale,
            batch_size,
            proportions=problem.gradient_norms_field,
            integers=[self.refresh],
            numbers=[1 - self.floor],
            table=problem.weights[None],
            memory=np.zeros(problem.n_terms),
            uniforms=batch_size,
            work=problem.dim + 3 + 2 * batch_size,
        )
