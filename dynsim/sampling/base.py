"""Which term of the sum is drawn at a step, and how its gradient is reweighted so that the step stays unbiased.

A scheme draws term n with probability p_n(θ) and multiplies its gradient by a_n/p_n, a_n being the term's weight in
L(θ) = Σ a_n l_n(θ). Whatever p, the expected step is the full gradient.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable

if TYPE_CHECKING:
    from dynsim.problems import Problem


class Sampling:
    """Base of the sampling schemes."""

    def proportions(self, problem: "Problem") -> np.ndarray | None:
        """The fixed probabilities f_n, shape (n_terms,), or None where they depend on θ."""
        raise NotImplementedError

    def proportions_field(self, problem):
        """Block field of numbers proportional to p_n(θ), for kernels, where :meth:`proportions` is None."""
        raise NotImplementedError

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
        f = self.proportions(problem)
        if f is None:
            raise NotImplementedError
        return np.broadcast_to(f, (*theta.shape[:-1], problem.n_terms)).copy()

    def reweighting(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Factor a_n/p_n(θ) on the gradient of a drawn term, shape (..., n_terms); 0 for one that is never drawn."""
        p = self.probabilities(problem, theta)
        return np.divide(problem.weights, p, out=np.zeros_like(p), where=p > 0)


@dataclass(frozen=True)
class Uniform(Sampling):
    """Plain SGD, AY (3.2): a term is drawn as often as it stands in the sum, p_n = a_n, and not reweighted.

    With equal weights that is the uniform distribution 1/n; with weights it is uniform over the samples that the
    groups stand for, AY (2.1).
    """

    def proportions(self, problem: "Problem") -> np.ndarray:
        """The weights a_n."""
        return problem.weights


@dataclass(frozen=True)
class GradientNorm(Sampling):
    """Resampling and reweighting, AY (3.5): p_n(θ) = a_n‖∇l_n(θ)‖ / C(θ), reweighted by C(θ)/‖∇l_n(θ)‖.

    C(θ) = Σ a_n‖∇l_n(θ)‖. A term without gradient is never drawn; where no term has one, no step is made.
    """

    def proportions(self, problem: "Problem") -> None:
        """None: they depend on θ."""
        return None

    def proportions_field(self, problem):
        """The problem's field of a_n‖∇l_n(θ)‖."""
        return problem.gradient_norms_field

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """p_n(θ), shape (..., n_terms); the weights a_n where all gradients vanish."""
        p = problem.weights * np.linalg.norm(problem.term_gradients(theta), axis=-1)
        total = p.sum(axis=-1, keepdims=True)
        return np.where(total > 0, p / np.where(total > 0, total, 1.0), problem.weights)


@dataclass(frozen=True)
class Proportions(Sampling):
    """Fixed proportions f_n, AY (2.2): term n with probability f_n, reweighted by a_n/f_n.

    Parameters
    ----------
    f : sequence of float
        One positive number for each term; they are normalized to sum 1 if they do so to 1e-9, else refused.
    """

    f: tuple[float, ...]

    def __init__(self, f: ArrayLike):
        values = _check.array("f", f, ndim=1)
        if not (values > 0).all():
            raise ArgumentError(f"f must be positive, got {values.min():g}: a term that is never drawn biases the step")
        if abs(values.sum() - 1) > 1e-9:
            raise ArgumentError(f"f must sum to 1, got {values.sum():.12g}")
        object.__setattr__(self, "f", tuple((values / values.sum()).tolist()))

    def proportions(self, problem: "Problem") -> np.ndarray:
        """f, checked against the problem's number of terms."""
        if len(self.f) != problem.n_terms:
            raise ArgumentError(f"f has {len(self.f)} proportions, but {problem.name} has {problem.n_terms} terms")
        return np.array(self.f)


@dataclass(frozen=True)
class Balanced(Sampling):
    """AY §2.1's fixed proportions f_n ∝ a_n K_n, K_n the slope of term n in its own valley.

    They give the gradient the same variance at both minima as ε → 0, and weights a_n/f_n ∝ 1/K_n: each group is
    reweighted by the reciprocal of its Lipschitz constant.
    """

    def proportions(self, problem: "Problem") -> np.ndarray:
        """f_n = a_n K_n / Σ a_m K_m."""
        if problem.slopes is None:
            raise NotApplicable(
                f"Balanced needs the slope of each term in its valley, which {problem.name} does not have; "
                "give the proportions yourself: Proportions(f)"
            )
        f = problem.weights * problem.slopes
        return f / f.sum()
