"""The terms near a minimum θ* as what decides stability: θ' − θ* = (I − η (a_n/p_n) H_n)(θ − θ*), H_n = ∇²l_n(θ*)."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.problems import LinearModel, Problem

_SYMMETRIC = 1e-8  # of the largest entry: what rounding of Hessians that were computed elsewhere is allowed
_RANK_ONE = 1e-12  # of λ₁: second eigenvalues below are rounding
_DIFFERENCES = 1e-7  # the same for Hessians by differences
_AT_KINK = 1e-9  # distance to a kink below which a point is on it
_NEAR, _OF_LENGTH = 1e-5, 1e-8  # Newton's step from θ*, absolute and as a share of ‖θ*‖, below which it is a minimum
_FITTED = 1e-9  # gradients that are left after it, as a share of λ_max(H_n) max(1, ‖θ*‖), below which they are rounding
_LEAST, _MOST = 1e-305, 1e305  # of λ_max(H_n): their inverses are finite


@dataclass(frozen=True, eq=False, repr=False)
class Terms:
    """Hessians H_n of the terms at a minimum, from :func:`dynsim.stability.terms`.

    Attributes
    ----------
    weights : ndarray, shape (n_terms,)
        The weights a_n.
    features : ndarray or sparse array of shape (n_terms, dim), or None
        The x_n where all H_n = x_n x_nᵀ.
    hessians : ndarray of shape (n_terms, dim, dim), or None
        The H_n where they are not.
    gradients : ndarray of shape (n_terms, dim), or None
        The ∇l_n(θ*) where they are not zero: then θ* does not fit all terms.
    problem : Problem or None
        What they are the terms of.
    at : ndarray of shape (dim,), or None
        θ*.
    """

    weights: np.ndarray
    features: Any = None  # one of these two is not None
    hessians: Any = None
    gradients: np.ndarray | None = None
    problem: Problem | None = None
    at: np.ndarray | None = None
    name: str = "terms"
    slopes: None = field(default=None, init=False)
    gradient_bounds: None = field(default=None, init=False)
    groups: None = field(default=None, init=False)

    @property
    def n_terms(self) -> int:
        """Number of terms."""
        return self.weights.size

    @property
    def dim(self) -> int:
        """Dimension of θ."""
        return (self.hessians if self.features is None else self.features).shape[-1]

    @property
    def is_sparse(self) -> bool:
        """Whether the features are a sparse array."""
        return sparse.issparse(self.features)

    @cached_property
    def sizes(self) -> np.ndarray:
        """λ_max(H_n), shape (n_terms,): ‖x_n‖²."""
        if self.features is None:
            return np.abs(np.linalg.eigvalsh(self.hessians)).max(axis=1)
        if self.is_sparse:
            return np.asarray(self.features.multiply(self.features).sum(axis=1)).ravel()
        return (self.features**2).sum(axis=1)

    @property
    def lipschitz(self) -> np.ndarray:
        """The same under the name that ``sampling.Lipschitz`` looks for."""
        return self.sizes

    @cached_property
    def hessian(self) -> np.ndarray:
        """H = Σ a_n H_n, shape (dim, dim)."""
        if self.features is None:
            return np.einsum("n,njk->jk", self.weights, self.hessians)
        x = self.features.multiply(np.sqrt(self.weights)[:, None]).tocsr() if self.is_sparse else None
        if x is not None:
            return (x.T @ x).toarray()
        x = self.features * np.sqrt(self.weights)[:, None]
        return x.T @ x

    def times(self, u: np.ndarray) -> np.ndarray:
        """H_n u for all terms: (dim,) -> (n_terms, dim)."""
        if self.features is None:
            return self.hessians @ u
        return (self.features @ u)[:, None] * self.features

    def __repr__(self):
        kind = "H_n" if self.features is None else "x_n x_nᵀ"
        return f"<Terms {self.name}: {self.n_terms} of {kind}, dim {self.dim}>"


def terms(
    problem: Problem | None = None,
    at: ArrayLike | None = None,
    *,
    hessians: ArrayLike | None = None,
    gradients: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Terms:
    """The Hessians H_n at a minimum, which decide the stability of every scheme there: of a problem, or given.

    A term l_n = (f(x_n, θ) − y_n)²/2 that is fitted has H_n = ∇f(x_n, θ*) ∇f(x_n, θ*)ᵀ, AY (3.9): give the ∇f as
    ``gradients``. Hessians of a problem that all have rank one are brought to that form.

    Parameters
    ----------
    problem : Problem, optional
        Its ``term_hessians`` at ``at`` are taken, its weights, and its gradients there where they are not zero.
    at : array_like, shape (dim,), optional
        The minimum θ*, where ``problem`` is given.
    hessians : array_like, shape (n, dim, dim), optional
        The H_n, symmetric and positive semidefinite.
    gradients : array_like or sparse array, shape (n, dim), optional
        The ∇f(x_n, θ*): for a linear model the rows x_n themselves.
    weights : array_like, shape (n,), optional
        The a_n > 0 of given Hessians or gradients, normalized to sum 1; 1/n by default.

    Returns
    -------
    Terms
        To be given to :func:`dynsim.step_size_range` in place of a problem.

    Raises
    ------
    ArgumentError
        If not exactly one of ``problem``, ``hessians`` and ``gradients`` is given, an H_n is not symmetric or not
        positive semidefinite, all of them are zero, θ* is not stationary, or shapes do not match.

    Examples
    --------
    >>> import dynsim as ds
    >>> rows = ds.stability.terms(gradients=[[1.0, 0.0], [0.0, 2.0]])
    >>> round(ds.step_size_range(rows, ds.SGD(0.1)).max, 12)
    0.5
    """
    if sum(given is not None for given in (problem, hessians, gradients)) != 1:
        raise ArgumentError("give exactly one of problem, hessians and gradients")
    if problem is not None:
        _check.instance("problem", problem, Problem, "a problem, such as problems.linear_model(X, y)")
        if weights is not None:
            raise ArgumentError(f"weights go with hessians or gradients; {problem.name} has its own")
        return _of_problem(problem, at)
    if at is not None:
        raise ArgumentError("at goes with a problem; hessians and gradients are those at the minimum already")
    if hessians is not None:
        H = _numbers("hessians", hessians, 3)
        if H.shape[1] != H.shape[2] or 0 in H.shape:
            raise ArgumentError(f"hessians must have shape (n, dim, dim), got {H.shape}")
        a = _check.weights("weights", weights, len(H), each="each Hessian")
        found = _with_hessians(_positive_semidefinite("hessians", H), _RANK_ONE, weights=a)
        return _in_range("hessians", found)
    X = _rows(gradients)
    a = _check.weights("weights", weights, X.shape[0], each="each row of gradients")
    return _in_range("gradients", Terms(a, features=X))


def terms_at(problem: Problem | Terms, at: ArrayLike | None, name: str = "problem") -> Terms:
    """The terms of a problem at a minimum, or those given."""
    if not isinstance(problem, Terms):
        _check.instance(name, problem, Problem, "a problem or Terms, such as problems.linear_model(X, y)")
        return terms(problem, at)
    if at is not None:
        raise ArgumentError("at goes with a problem; Terms are those at the minimum already")
    return problem


def _numbers(name, value, ndim):
    """A finite array whose first axis is over terms; the message names the term that is wrong."""
    try:
        values = np.asarray(value)
        values = values if np.iscomplexobj(values) else values.astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be an array of numbers, all terms of one shape{_shapes(value)}") from None
    if np.iscomplexobj(values):
        raise ArgumentError(f"{name} must be real, got complex numbers")
    bad = np.argwhere(~np.isfinite(values))
    if values.ndim == ndim and bad.size:
        raise ArgumentError(f"{name}[{bad[0][0]}] must be finite, it is {values[tuple(bad[0])]}")
    return _check.array(name, values, ndim=ndim)


def _rows(gradients):
    if sparse.issparse(gradients):
        X = sparse.csr_array(gradients, dtype=np.float64)
        values = X.data
    else:
        X = values = _numbers("gradients", gradients, 2)
    if 0 in X.shape:
        raise ArgumentError(f"gradients must have shape (n, dim), got {X.shape}")
    if not np.isfinite(values).all():
        raise ArgumentError(f"gradients must be finite, but {np.count_nonzero(~np.isfinite(values))} entries are not")
    _some_nonzero("gradients", values)
    return X


def _shapes(value):
    """The end of a message about terms of several shapes."""
    try:
        shapes = dict.fromkeys(np.shape(term) for term in value)
    except (TypeError, ValueError):
        return ""
    return f", got {' and '.join(map(str, shapes))}" if len(shapes) > 1 else ""


def _some_nonzero(name, values):
    if not values.any():
        raise ArgumentError(f"{name} must not all be zero: no step size is unstable then")


def _positive_semidefinite(name, H):
    """The symmetric parts of H (n, d, d), if they are all but symmetric and positive semidefinite."""
    _some_nonzero(name, H)
    size = np.abs(H).max(axis=(1, 2))
    skew = np.abs(H - H.transpose(0, 2, 1)).max(axis=(1, 2))
    if (skew > _SYMMETRIC * size).any():
        n = int((skew - _SYMMETRIC * size).argmax())
        raise ArgumentError(f"{name}[{n}] must be symmetric, it differs from its transpose by up to {skew[n]:.3g}")
    H = 0.5 * (H + H.transpose(0, 2, 1))
    least = np.linalg.eigvalsh(H)[:, 0]
    if (least < -_SYMMETRIC * size).any():
        n = int((least / np.maximum(size, 1e-300)).argmin())
        raise ArgumentError(f"{name}[{n}] must be positive semidefinite, it has the eigenvalue {least[n]:.3g}")
    return H


def _with_hessians(H, rank_one, **known):
    """Terms of H (n, d, d), as features where all have rank one."""
    values, vectors = np.linalg.eigh(H)
    top = np.maximum(values[:, -1], 0)
    rest = np.abs(values[:, :-1]).max(axis=1, initial=0)
    if (rest <= rank_one * max(top.max(), 0)).all() and (values[:, -1] >= 0).all():
        return Terms(features=np.sqrt(top)[:, None] * vectors[:, :, -1], **known)
    return Terms(hessians=H, **known)


def _of_problem(problem, at):
    if at is None:
        known = "" if problem.minima is None else f"; {problem.name} knows problem.minima"
        raise ArgumentError(f"at must be the minimum θ* of {problem.name}, shape ({problem.dim},), got None{known}")
    at = _check.start("at", at, 1, problem.dim)[0]
    if (
        problem.kink_planes.size
        and (np.abs(problem.kink_planes[:, :-1] @ at - problem.kink_planes[:, -1]) < 1e-9).any()
    ):
        raise NotApplicable(f"{problem.name} has a kink at {at.tolist()}, where there are no Hessians")
    known = {"weights": problem.weights, "problem": problem, "at": at, "name": problem.name}
    if isinstance(problem, LinearModel) and (problem.curvatures(at) >= 0).all():
        found = Terms(features=np.sqrt(problem.curvatures(at))[:, None] * problem.X, **known)
        _some_nonzero("the Hessians at θ*", found.features)
    else:
        _check.fits_in_memory(
            "the Hessians of all terms", (problem.n_terms, problem.dim, problem.dim, 3), instead="give gradients="
        )
        found = _with_hessians(_finite(problem.term_hessians(at), at), _DIFFERENCES, **known)
    _in_range("at: the Hessians there", found)
    length = float(np.linalg.norm(at))
    slope = problem.gradient(at)
    step = np.linalg.lstsq(found.hessian, -slope, rcond=_FITTED)[0]
    off, left = np.linalg.norm(step), np.linalg.norm(slope + found.hessian @ step)
    if off > _NEAR + _OF_LENGTH * length or left > _FITTED * found.sizes.max() * max(1.0, length):
        raise ArgumentError(
            f"at must be a stationary point of {problem.name}: the gradient there has norm "
            f"{np.linalg.norm(slope):.3g}, and Newton's step from it length {off:.3g}"
        )
    gradients = problem.term_gradients(at) + found.times(step)  # to first order, those at the minimum itself
    rounding = _FITTED * found.sizes * max(1.0, length)
    if isinstance(problem, LinearModel):
        rounding = rounding + _FITTED * np.abs(problem.y) * np.linalg.norm(problem.X, axis=1)
    if (np.linalg.norm(gradients, axis=1) > rounding).any():
        return replace(found, gradients=gradients)
    if found.features is None:
        _positive_semidefinite("the Hessians of the terms at θ*: H", found.hessians)
    return found


def _in_range(name, found):
    """Refuse what overflows or underflows where step sizes are computed."""
    with np.errstate(over="ignore", under="ignore"):
        largest = float(found.sizes.max())
    if not _LEAST < largest < _MOST:
        raise ArgumentError(f"{name} must have eigenvalues that are neither huge nor tiny, got {largest:g}: rescale")
    return found


def _finite(H, at):
    if not np.isfinite(H).all():
        n = int(np.argwhere(~np.isfinite(H))[0][0])
        raise ArgumentError(f"at must be where all Hessians are finite, that of term {n} is not at {at.tolist()}")
    return H
