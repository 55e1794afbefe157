"""Schemes that draw no term twice in a batch, or in an epoch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.sampling.base import Estimator, Sampling

if TYPE_CHECKING:
    from dynsim.problems import Problem


class _AllSubsetsAlike(Sampling):
    """n a_n ∇l_n averaged over a uniformly drawn set of terms."""

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """1/n: the probability that a given member of the batch is term n."""
        theta = _check.points("theta", theta, problem.dim)
        return np.full((*theta.shape[:-1], problem.n_terms), 1 / problem.n_terms)

    def covariance(self, problem: "Problem", theta: ArrayLike, batch_size: int = 1) -> np.ndarray:
        """That of independent draws times (n − B)/(n − 1), theta (..., dim) -> (..., dim, dim)."""
        self.check(problem, batch_size)
        n = problem.n_terms
        finite = (n - batch_size) / (n - 1) if n > 1 else 0.0
        return finite * super().covariance(problem, theta, batch_size)

    def check(self, problem: "Problem", batch_size: int) -> None:
        """A batch must not be larger than the problem."""
        if batch_size > problem.n_terms:
            raise ArgumentError(
                f"batch_size must be at most the number of terms, {problem.n_terms}, without replacement, "
                f"got {batch_size}"
            )


@dataclass(frozen=True, repr=False)
class WithoutReplacement(_AllSubsetsAlike):
    """Batches of different terms, all sets of ``batch_size`` terms with the same probability; anew in each step."""

    def proportions(self, problem: "Problem") -> np.ndarray:
        """1/n: those of a single draw."""
        return np.full(problem.n_terms, 1 / problem.n_terms)

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.without_replacement import without_replacement

        work = problem.dim + 1 + problem.n_terms + batch_size
        table = problem.weights[None]
        return Estimator.make(without_replacement, batch_size, table=table, uniforms=batch_size, work=work)


@dataclass(frozen=True, repr=False)
class Reshuffled(_AllSubsetsAlike):
    """Random reshuffling: each term once in an epoch, in an order that is drawn anew for each epoch and path.

    The last batch of an epoch is short where ``batch_size`` does not divide the number of terms. Within an epoch steps
    are not independent: given the steps before, a step is not unbiased; over all orders it is.
    """

    independent = False
    memoryless = False

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.reshuffled import reshuffled

        return Estimator.make(
            reshuffled,
            batch_size,
            integers=[-(-problem.n_terms // batch_size)],
            table=problem.weights[None],
            uniforms=0,
            work=problem.dim + 4 + problem.n_terms,
        )


def whole(problem: "Problem") -> Estimator:
    """The estimator without error: all terms at each step."""
    from dynsim._kernels.estimators.full import full

    return Estimator.make(full, problem.n_terms, table=problem.weights[None], uniforms=0, work=problem.dim + 1)


def covariance_of_full(problem: "Problem", theta: ArrayLike) -> np.ndarray:
    """0, theta (..., dim) -> (..., dim, dim)."""
    theta = _check.points("theta", theta, problem.dim)
    return np.zeros((*theta.shape, problem.dim))
