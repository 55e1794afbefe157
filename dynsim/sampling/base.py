"""What all sampling schemes have in common."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable

if TYPE_CHECKING:
    from dynsim.problems import Problem

UNIT = 1e-9  # probabilities that sum to 1 within this are meant to


@dataclass(frozen=True, eq=False)
class Estimator:
    """How kernels draw a batch: a compiled estimator, the field of its proportions, and what both are given.

    ``integers`` (batch size first, last the number of paths and a count), ``numbers`` and ``table`` (rows, n_terms) are
    the estimator's own; ``memory`` is what a path's rows of memory begin with; then how many uniforms it takes in a
    step, and how many rows of scratch; ``promise`` says what was not kept in so many draws, if any are counted.
    """

    kernel: object
    proportions: object
    integers: np.ndarray
    numbers: np.ndarray
    table: np.ndarray
    memory: np.ndarray
    n_uniforms: int
    n_work: int
    promise: str

    @classmethod
    def make(
        cls,
        kernel,
        batch_size,
        *,
        proportions=None,
        integers=(),
        numbers=(),
        table,
        memory=(),
        uniforms,
        work,
        promise="",
    ):
        """Fill in the types."""
        from dynsim._kernels.fields import no_proportions

        return cls(
            kernel,
            no_proportions if proportions is None else proportions,
            np.array([batch_size, *integers, 0, 0], dtype=np.int64),
            np.array(numbers, dtype=np.float64),
            np.array(table, dtype=np.float64, order="C"),
            np.array(memory, dtype=np.float64),
            uniforms,
            work,
            promise,
        )


class Sampling:
    """Base of the sampling schemes.

    Attributes
    ----------
    independent : bool
        Whether each draw is one term with probabilities p_n(θ) and weight a_n/p_n, whatever was drawn before.
    memoryless : bool
        Whether the draws of a step do not depend on those of the steps before.
    norm_share : float or None
        t where p = t p^GN + (1−t) a.
    """

    independent = True
    memoryless = True
    norm_share: float | None = None

    def proportions(self, problem: "Problem") -> np.ndarray | None:
        """The fixed probabilities p_n of independent draws, shape (n_terms,), or None where they depend on θ."""
        return None

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Probability p_n(θ) of drawing each term.

        Parameters
        ----------
        problem : Problem
        theta : array_like, shape (..., dim)

        Returns
        -------
        ndarray, shape (..., n_terms)
        """
        theta = _check.points("theta", theta, problem.dim)
        p = self.proportions(problem)
        if p is None:
            raise NotApplicable(f"{self.name} has no probabilities p_n(θ) in closed form")
        return np.broadcast_to(p, (*theta.shape[:-1], problem.n_terms)).copy()

    def reweighting(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Factor a_n/p_n(θ) on the gradient of a drawn term, shape (..., n_terms); 0 for one that is never drawn."""
        p = self.probabilities(problem, theta)
        return np.divide(problem.weights, p, out=np.zeros_like(p), where=p > 0)

    def second_moment(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """E[G Gᵀ] of the estimate G of ∇L(θ) from one draw: theta (..., dim) -> (..., dim, dim)."""
        self.refuse_bias(problem, theta)
        g = problem.term_gradients(theta)
        return np.einsum("...n,...nj,...nk->...jk", problem.weights * self.reweighting(problem, theta), g, g)

    def refuse_bias(self, problem: "Problem", theta: ArrayLike) -> None:
        """Raise where a term that has a gradient is never drawn; only probabilities of one's own can do that."""

    def covariance(self, problem: "Problem", theta: ArrayLike, batch_size: int = 1) -> np.ndarray:
        """Covariance of the estimate of ∇L(θ) from one batch: theta (..., dim) -> (..., dim, dim)."""
        g = problem.gradient(theta)
        return (self.second_moment(problem, theta) - g[..., :, None] * g[..., None, :]) / batch_size

    def check(self, problem: "Problem", batch_size: int) -> None:
        """Raise if the scheme does not fit the problem or cannot draw such a batch."""

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.independent import independent

        p = self.proportions(problem)
        assert p is not None
        return Estimator.make(
            independent,
            batch_size,
            integers=[np.ptp(p) == 0],
            table=draw_table(problem.weights, p),
            uniforms=batch_size,
            work=problem.dim + 1,
        )

    @property
    def name(self) -> str:
        """Short name for tables and legends."""
        return type(self).__name__

    def __repr__(self):
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        given = ", ".join(f"{name}={_short(value)}" for name, value in values.items() if value is not None)
        return f"{type(self).__name__}({given})"


def _short(value):
    if isinstance(value, tuple) and len(value) > 6:
        return f"<{len(value)} numbers>"
    return getattr(value, "__name__", repr(value))


def draw_table(weights, proportions):
    """Rows WEIGHTS, REWEIGHTING, CUMULATIVE and GUIDE of the kernels' table for fixed proportions."""
    n = weights.size
    cumulative = np.cumsum(proportions)
    cumulative[-1] = 1.0
    guide = np.searchsorted(cumulative, np.arange(n) / n, side="right")
    return np.stack([weights, weights / proportions, cumulative, guide.astype(np.float64)])


def share(name, value):
    """A float in [0, 1]."""
    value = _check.real(name, value)
    if not 0 <= value <= 1:
        raise ArgumentError(f"{name} must lie between 0 and 1, got {value:g}")
    return value
