"""Schemes whose probabilities do not depend on θ: independent draws, O(1) each by an indexed search."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sampling.base import UNIT, Sampling

if TYPE_CHECKING:
    from dynsim.problems import Problem


@dataclass(frozen=True, repr=False)
class Uniform(Sampling):
    """Plain SGD, AY (3.2): a term is drawn as often as it stands in the sum, p_n = a_n, and not reweighted.

    With equal weights that is the uniform distribution 1/n; with weights it is uniform over the samples that the
    groups stand for, AY (2.1).
    """

    def proportions(self, problem: "Problem") -> np.ndarray:
        """The weights a_n."""
        return problem.weights


@dataclass(frozen=True, repr=False)
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
        if abs(values.sum() - 1) > UNIT:
            raise ArgumentError(f"f must sum to 1, got {values.sum():.12g}")
        object.__setattr__(self, "f", tuple((values / values.sum()).tolist()))

    def proportions(self, problem: "Problem") -> np.ndarray:
        """f, checked against the problem's number of terms."""
        if len(self.f) != problem.n_terms:
            raise ArgumentError(f"f has {len(self.f)} proportions, but {problem.name} has {problem.n_terms} terms")
        return np.array(self.f)


@dataclass(frozen=True, repr=False)
class Balanced(Sampling):
    """Fixed proportions that give the gradient the same variance at given minima.

    Without ``at``, AY §2.1's f_n ∝ a_n K_n, K_n the slope of term n in its own valley: they give the gradient the same
    variance at both minima as ε → 0, and weights a_n/f_n ∝ 1/K_n, so that each group is reweighted by the reciprocal
    of its Lipschitz constant.

    With ``at``, minima θ_1 … θ_m of any problem: of all proportions, those that minimize the largest trace of the
    covariance of the reweighted gradient over the θ_j, max_j Σ_n a_n²‖∇l_n(θ_j)‖²/f_n − ‖∇L(θ_j)‖². It is a convex
    problem; at its solution the trace is the same at every θ_j that matters (where λ_j > 0), f_n² ∝ Σ_j λ_j
    a_n²‖∇l_n(θ_j)‖². At a kink the gradient from each side counts, which is why two_valleys' own minima give AY's
    proportions up to O(ε²).

    Parameters
    ----------
    at : array_like, shape (m, dim), optional
    """

    at: tuple[tuple[float, ...], ...] | None = None

    def __init__(self, at: ArrayLike | None = None):
        if at is not None:
            at = tuple(map(tuple, _check.array("at", at, ndim=2).tolist()))
        object.__setattr__(self, "at", at)

    def proportions(self, problem: "Problem") -> np.ndarray:
        """f_n."""
        if self.at is not None:
            return _least_largest_trace(problem, np.array(self.at))
        if problem.slopes is None:
            raise NotApplicable(
                f"Balanced needs the slope of each term in its valley, which {problem.name} does not have; "
                "give the minima to balance: Balanced(at=minima), or the proportions yourself: Proportions(f)"
            )
        f = problem.weights * problem.slopes
        return f / f.sum()


@dataclass(frozen=True, repr=False)
class Lipschitz(Sampling):
    """Fixed proportions p_n ∝ a_n L_n, L_n the Lipschitz constant of ∇l_n: Needell, Srebro & Ward (2014).

    Parameters
    ----------
    constants : sequence of float, optional
        The L_n > 0; those of the problem (``problem.lipschitz``) by default. A term with L_n = 0 has a constant
        gradient, and must still be drawn: such constants are raised to a hundredth of the mean.
    """

    constants: tuple[float, ...] | None = None

    def __init__(self, constants: ArrayLike | None = None):
        if constants is not None:
            values = _check.array("constants", constants, ndim=1)
            if not (values > 0).all():
                raise ArgumentError(f"constants must be positive, got {values.min():g}")
            constants = tuple(values.tolist())
        object.__setattr__(self, "constants", constants)

    def proportions(self, problem: "Problem") -> np.ndarray:
        """a_n L_n / Σ a_m L_m."""
        constants = problem.lipschitz if self.constants is None else np.array(self.constants)
        if constants is None:
            raise NotApplicable(
                f"Lipschitz needs the Lipschitz constant of each gradient, which {problem.name} does not have; "
                "give them: Lipschitz(constants)"
            )
        if constants.shape != (problem.n_terms,):
            raise ArgumentError(
                f"constants has {constants.size} numbers, but {problem.name} has {problem.n_terms} terms"
            )
        if not (np.isfinite(constants).all() and constants.max() > 0):
            raise NotApplicable(f"the gradients of {problem.name} are not Lipschitz, or all constant")
        p = problem.weights * np.maximum(constants, 0.01 * constants.mean())
        return p / p.sum()


_MOST_GAP = 1e-3
_FLOOR = 1e-6  # the smallest proportion, as a share of the mean one: a term must be drawn where its gradient is not 0


def _least_largest_trace(problem, at):
    """Minimize max_j Σ_n c_jn/f_n − s_j over proportions f, by its dual: concave in λ on the simplex.

    For given λ the best f has f_n² ∝ Σ_j λ_j c_jn, and the dual value is (Σ_n √(Σ_j λ_j c_jn))² − λ·s.
    """
    from scipy.optimize import minimize

    at = _check.points("at", at, problem.dim)
    sides = np.concatenate([np.nextafter(at, np.inf), np.nextafter(at, -np.inf)]) if problem.kink_planes.size else at
    c = problem.weights**2 * (problem.term_gradients(sides) ** 2).sum(axis=-1)
    unit = c.max()
    if not unit > 0:
        raise NotApplicable(
            f"all gradients of {problem.name} vanish at all of the minima: any proportions balance them"
        )
    c, s = c / unit, (problem.gradient(sides) ** 2).sum(axis=-1) / unit

    def proportions(multipliers):
        f = np.sqrt(np.maximum(multipliers, 0) @ c)
        f = np.maximum(f / f.sum(), _FLOOR / f.size)
        return f / f.sum()

    def dual(multipliers):
        f = proportions(multipliers)
        traces = (c / f).sum(axis=1) - s
        return -float(multipliers @ traces), -traces

    solution = minimize(
        dual,
        np.full(len(c), 1 / len(c)),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(c),
        constraints={"type": "eq", "fun": lambda m: m.sum() - 1, "jac": lambda m: np.ones_like(m)},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    f = proportions(solution.x)
    largest = ((c / f).sum(axis=1) - s).max()
    if not largest + dual(solution.x)[0] <= _MOST_GAP * largest:  # the dual value is a lower bound
        raise NotApplicable("the proportions that balance these minima could not be found; give fewer of them")
    return f
