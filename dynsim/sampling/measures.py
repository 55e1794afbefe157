"""How good a sampling scheme is at a point: the variance of its steps, and L's test of lying between."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sampling.base import UNIT, Sampling

if TYPE_CHECKING:
    from dynsim.problems import Problem

_ROUNDING = 1e-12  # relative: computed probabilities that differ by less are equal


@dataclass(frozen=True, eq=False)
class GradientVariance:
    """Spread of the estimate Ḡ of ∇L(θ) from one batch, from :func:`dynsim.sampling.variance`.

    Attributes
    ----------
    covariance : ndarray, shape (..., dim, dim)
        Covariance of Ḡ.
    trace : ndarray, shape (...)
        Its trace, E‖Ḡ − ∇L‖².
    mean_square : ndarray, shape (...)
        E‖Ḡ‖² = trace + ‖∇L‖².
    """

    covariance: np.ndarray
    trace: np.ndarray
    mean_square: np.ndarray


def variance(problem: "Problem", scheme: Sampling, theta: ArrayLike, *, batch_size: int = 1) -> GradientVariance:
    """Covariance of the gradient that a scheme estimates from one batch, its trace, and the mean square.

    Σ(θ) = Σ_n p_n v_n v_nᵀ, v_n = (a_n/p_n) ∇l_n(θ) − ∇L(θ): Σ¹ of AY (3.4) for ``Uniform``, Σ² of AY (3.6) for
    ``GradientNorm``. AY (3.45) orders the traces only, tr Σ² ≤ tr Σ¹: the difference Σ¹ − Σ² is in general indefinite.
    A batch of B independent draws has E‖Ḡ‖² = E‖G‖²/B + (1 − 1/B)‖E G‖²; L's formulas are for B = 1.

    Parameters
    ----------
    problem : Problem
    scheme : Sampling
    theta : array_like, shape (..., dim)
    batch_size : int, optional

    Returns
    -------
    GradientVariance

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    NotApplicable
        For a scheme without a covariance in closed form.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[3.0, 0.0], [0.0, 1.0]], [-1.0, -1.0])
    >>> uniform, by_norm = ds.sampling.Uniform(), ds.sampling.GradientNorm()
    >>> before, after = (ds.sampling.variance(problem, s, [0.0, 0.0]) for s in (uniform, by_norm))
    >>> float(before.trace), float(after.trace)
    (2.5, 1.5)
    >>> np.round(before.covariance - after.covariance, 12).diagonal().tolist()  # indefinite
    [1.5, -0.5]
    """
    theta = _point(problem, theta)
    _check.instance("scheme", scheme, Sampling, "a scheme, such as sampling.GradientNorm()")
    batch_size = _check.count("batch_size", batch_size)
    scheme.check(problem, batch_size)
    covariance = scheme.covariance(problem, theta, batch_size)
    trace = np.trace(covariance, axis1=-2, axis2=-1)
    return GradientVariance(covariance, trace, trace + (problem.gradient(theta) ** 2).sum(axis=-1))


def mean_square(problem: "Problem", p: Sampling | ArrayLike, theta: ArrayLike) -> np.ndarray:
    """L's H(p) up to a constant: E‖G‖² = Σ_n a_n²‖∇l_n(θ)‖²/p_n of one draw G = (a_n/p_n) ∇l_n with probability p_n.

    L's H(p) = Σ_n ‖∇l_n‖²/p_n, L Appendix B, is N² times this for N terms of equal weight. p^GN makes it least,
    (Σ a_n‖∇l_n‖)². A term without gradient adds nothing, even with p_n = 0; one that has a gradient and is never drawn
    makes it infinite. It differs from the trace of the covariance by ‖∇L‖², which is the same for all p.

    Parameters
    ----------
    problem : Problem
    p : Sampling or array_like, shape (n_terms,) or (..., n_terms)
        A scheme of independent draws, or the probabilities themselves.
    theta : array_like, shape (..., dim)

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ArgumentError
        If the probabilities do not sum to 1 or do not fit the problem.
    NotApplicable
        For a scheme whose estimate depends on more than p_n(θ); :func:`variance` may know it.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0], [1.0]], [-1.0, -1.0, -4.0])  # gradients 1, 1, 4 at 0
    >>> round(float(9 * ds.sampling.mean_square(problem, [1 / 3, 1 / 6, 1 / 2], [0.0])), 9)  # L's H(p)
    41.0
    """
    theta = _point(problem, theta)
    return _mean_square(weighted_norms(problem, theta), _probabilities(problem, p, theta))


@dataclass(frozen=True, eq=False)
class Betweenness:
    """Whether probabilities lie between uniform and by gradient norm, from :func:`dynsim.sampling.between`.

    Attributes
    ----------
    terms : ndarray of bool, shape (..., n_terms)
        Whether p_n lies between a_n and p_n^GN, ends included.
    between : ndarray of bool, shape (...)
        Whether all p_n do: then ``least`` ≤ ``mean_square`` ≤ ``uniform``.
    least, mean_square, uniform : ndarray, shape (...)
        E‖G‖² by p^GN, by p and by the weights a, see :func:`dynsim.sampling.mean_square`.
    """

    terms: np.ndarray
    between: np.ndarray
    least: np.ndarray
    mean_square: np.ndarray
    uniform: np.ndarray

    @property
    def no_worse_than_uniform(self) -> np.ndarray:
        """Whether E‖G‖² by p is at most that by the weights, up to rounding, shape (...): what the test is about."""
        return self.mean_square <= self.uniform * (1 + _ROUNDING)


def between(problem: "Problem", p: Sampling | ArrayLike, theta: ArrayLike) -> Betweenness:
    """L's test of a scheme: where every p_n lies between a_n and p_n^GN, its steps vary no more than uniform ones.

    Then H(p^GN) ≤ H(p) ≤ H(u), L's theorem of §3.1, here for any weights, u = a. The condition is sufficient and not
    necessary, and the last inequality of L's proof is false; this one holds. With q = p^GN and C = Σ a_n‖∇l_n‖,

        (H(p) − H(u))/C² = Σ q_n² (u_n − p_n)/(p_n u_n) ≤ Σ (u_n − p_n) = 0,

    since q_n²/(p_n u_n) ≥ 1 where u_n ≤ p_n ≤ q_n, and ≤ 1 where q_n ≤ p_n ≤ u_n.

    Parameters
    ----------
    problem : Problem
    p : Sampling or array_like, shape (n_terms,) or (..., n_terms)
        A scheme of independent draws, or the probabilities themselves.
    theta : array_like, shape (..., dim)

    Returns
    -------
    Betweenness

    Raises
    ------
    ArgumentError
        If the probabilities do not sum to 1 or do not fit the problem.
    NotApplicable
        For a scheme whose estimate depends on more than p_n(θ).

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys()
    >>> bool(ds.sampling.between(problem, ds.sampling.Mixture(0.5), [0.1]).between)
    True
    >>> test = ds.sampling.between(problem, [0.6, 0.4], [0.1])
    >>> test.terms.tolist(), bool(test.no_worse_than_uniform)
    ([False, False], False)
    """
    theta = _point(problem, theta)
    p = _probabilities(problem, p, theta)
    norms = weighted_norms(problem, theta)
    best, uniform = by_norm(norms, problem.weights), np.broadcast_to(problem.weights, p.shape)
    low, high = np.minimum(best, uniform), np.maximum(best, uniform)
    terms = (p >= low * (1 - _ROUNDING)) & (p <= high * (1 + _ROUNDING))
    values = (_mean_square(norms, probabilities) for probabilities in (best, p, uniform))
    return Betweenness(terms, terms.all(axis=-1), *values)


def weighted_norms(problem, theta):
    """a_n‖∇l_n(θ)‖: theta (..., dim) -> (..., n_terms)."""
    return problem.weights * np.linalg.norm(problem.term_gradients(theta), axis=-1)


def by_norm(norms, fallback):
    """Normalize over the last axis; ``fallback`` where all are 0."""
    total = norms.sum(axis=-1, keepdims=True)
    return np.where(total > 0, norms / np.where(total > 0, total, 1.0), fallback)


def _mean_square(norms, p):
    with np.errstate(divide="ignore"):
        return np.divide(norms**2, p, out=np.zeros_like(norms), where=norms > 0).sum(axis=-1)


def _point(problem, theta):
    check_problem(problem)
    return _check.points("theta", theta, problem.dim)


def check_problem(problem):
    """Refuse what is not a problem; the class itself lives in a layer above."""
    if not hasattr(problem, "term_gradients"):
        raise ArgumentError(f"problem must be a problem, such as problems.two_valleys(), got {type(problem).__name__}")


def _probabilities(problem, p, theta):
    """p_n(θ), shape (..., n_terms), of a scheme or as given."""
    if isinstance(p, Sampling):
        if not p.independent:
            raise NotApplicable(
                f"{p.name} is not determined by its probabilities p_n(θ); sampling.variance gives its mean square, "
                "where that is known"
            )
        p.check(problem, 1)
        return p.probabilities(problem, theta)
    shape = (*theta.shape[:-1], problem.n_terms)
    try:
        values = np.broadcast_to(np.asarray(p, dtype=np.float64), shape)
    except (TypeError, ValueError):
        got = f"shape {np.shape(p)}" if isinstance(p, np.ndarray | list | tuple) else type(p).__name__
        raise ArgumentError(
            f"p must be a scheme or probabilities of shape {shape[-1:]} or {shape}, got {got}"
        ) from None
    if np.ndim(p) == 0 or not (np.isfinite(values) & (values >= 0)).all():
        raise ArgumentError("p must be a scheme, or nonnegative finite probabilities, one for each term")
    worst = np.abs(values.sum(axis=-1) - 1).max(initial=0.0)
    if worst > UNIT:
        raise ArgumentError(f"p must sum to 1 over the terms, it misses that by {worst:.3g}")
    return values
