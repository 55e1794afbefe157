"""Sharpness: the largest curvature at points, by eigenvalues of the Hessian or by Lanczos steps with its products."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.problems import LinearModel, Problem
from dynsim.problems.user import UserProblem

_FORMED = 64  # columns up to which Hessians are formed even by differences
_NUMBERS = 2**22  # float64 values that are held at a time
_LARGEST_HESSIANS = 2**24  # n_terms · dim² up to which Hessians of closed form are formed
_DIFFERENCE = 1e-3  # of a scheme of fourth order, per size of θ
_MOST_STEPS = 200  # of Lanczos
_EPS = float(np.finfo(float).eps)
_KINDS = ("norm", "largest", "smallest")


def sharpness(
    problem: Problem, theta: ArrayLike, *, kind: str = "norm", tol: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """Largest curvature of L at points, and how far off it may be: ‖∇²L(θ)‖_op of Z (6.2).

    Up to 64 coordinates, and beyond where the problem has a formula for its Hessians of moderate size, by their
    eigenvalues. Else by Lanczos steps from a random start, with products ∇²L·v by differences of gradients of the
    fourth order; the error is then the residual ‖∇²L u − λu‖, within which there is an eigenvalue of ∇²L, and the
    difference between products for two widths. That the eigenvalue is the outermost one is likely, not certain.

    Where the gradient jumps there is no Hessian. Curvature is that of the pieces, 0 for piecewise linear losses; by
    differences that reach over a kink it is wrong, and the error says so.

    Parameters
    ----------
    problem : Problem
    theta : array_like, shape (..., dim)
        Where a point is not finite the result is NaN.
    kind : {"norm", "largest", "smallest"}, optional
        The operator norm max|λ_j|; or λ_max with its sign, which is what step sizes are compared with (η λ_max < 2) and
        the norm only where no curvature is more negative; or λ_min.
    tol : float, optional
        Lanczos steps end where the residual is below this share of the norm, or after 200.

    Returns
    -------
    value, error : ndarray, each of shape (...)

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.quadratic([1.0, -3.0])
    >>> for kind in ("norm", "largest", "smallest"):
    ...     print(ds.landscape.sharpness(problem, [0.5, 0.5], kind=kind)[0])
    3.0
    1.0
    -3.0
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    theta = _check.points("theta", theta, problem.dim)
    _check.choice("kind", kind, _KINDS)
    tol = _check.between("tol", tol, 0, 1)
    flat = theta.reshape(-1, problem.dim)
    found = np.full((2, len(flat)), np.nan)
    by_eigenvalues = _forms_hessians(problem)
    each = problem.n_terms * problem.dim**2 if by_eigenvalues else _MOST_STEPS * problem.dim
    size = max(1, _NUMBERS // each)
    numbers = np.flatnonzero(np.isfinite(flat).all(axis=1))
    for first in range(0, numbers.size, size):
        part = numbers[first : first + size]
        found[:, part] = (
            _of_hessians(problem, flat[part], kind) if by_eigenvalues else _by_lanczos(problem, flat[part], kind, tol)
        )
    value, error = found.reshape(2, *theta.shape[:-1])
    return value, error


def hessian_products(problem, theta, v):
    """∇²L(θ) v for theta and v of shape (..., dim)."""
    if isinstance(problem, LinearModel):  # Σ a_n l''_n ⟨x_n, v⟩ x_n
        return (problem.weights * problem.curvatures(theta) * (v @ problem.X.T)) @ problem.X
    if _forms_hessians(problem) and not _by_differences(problem):
        return (problem.hessian(theta) @ v[..., None])[..., 0]
    return _difference(problem, theta, v, 1.0)


def _by_differences(problem):
    own = type(problem).term_hessians not in (Problem.term_hessians, UserProblem.term_hessians)
    return not own and problem._term_hessians is None and getattr(problem, "_hessian_given", None) is None


def _forms_hessians(problem):
    """Whether Hessians are formed, of a formula where there is one."""
    small = problem.n_terms * problem.dim**2 <= _LARGEST_HESSIANS
    return problem.dim <= _FORMED or (small and not _by_differences(problem))


def _difference(problem, theta, v, width):
    """∇²L(θ) v by a difference of fourth order along v/‖v‖, ``width`` times as wide as usual."""
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    unit = np.divide(v, length, out=np.zeros_like(v), where=length > 0)
    h = width * _DIFFERENCE * np.maximum(1.0, np.abs(theta).max(axis=-1, keepdims=True))
    near = problem.gradient(theta + h * unit) - problem.gradient(theta - h * unit)
    far = problem.gradient(theta + 2 * h * unit) - problem.gradient(theta - 2 * h * unit)
    return length * (8 * near - far) / (12 * h)


def _of_hessians(problem, theta, kind):
    """The eigenvalue at theta (P, dim), and its error: of rounding, or of the differences."""
    result = np.full((2, len(theta)), np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        hessians = problem.hessian(theta)
    finite = np.isfinite(hessians).all(axis=(1, 2))
    if not finite.any():
        return result
    values, vectors = np.linalg.eigh(hessians[finite])
    k = _outermost(values, kind)
    each = np.arange(k.size)
    value = values[each, k]
    error = problem.dim * _EPS * np.abs(values).max(axis=1)
    if _by_differences(problem):
        u = vectors[each, :, k]
        error += np.linalg.norm(_difference(problem, theta[finite], u, 0.5) - value[:, None] * u, axis=1)
    result[:, finite] = (np.abs(value) if kind == "norm" else value), error
    return result


def _outermost(values, kind):
    """Numbers (P,) of the eigenvalues meant, of (P, m) ascending ones."""
    if kind == "norm":
        return np.abs(values).argmax(axis=1)
    return np.full(len(values), values.shape[1] - 1 if kind == "largest" else 0)


def _by_lanczos(problem, theta, kind, tol):
    """The same by Lanczos steps with all vectors kept orthogonal, for all points (P, dim) at once."""
    n, d = theta.shape
    most = min(_MOST_STEPS, d)
    basis = np.zeros((n, most, d))
    main, beside = np.zeros((n, most)), np.zeros((n, most))  # diagonals of the tridiagonal matrix
    v = np.random.default_rng(0).standard_normal((n, d))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    u, going = np.full((n, d), np.nan), np.arange(n)
    for j in range(most):
        basis[:, j] = v
        w = _difference(problem, theta[going], v, 1.0)
        main[:, j] = (v * w).sum(axis=1)
        for _ in range(2):  # once more for what rounding has left
            w = w - np.einsum("pkd,pk->pd", basis[:, : j + 1], np.einsum("pkd,pd->pk", basis[:, : j + 1], w))
        beside[:, j] = np.linalg.norm(w, axis=1)
        finite = np.isfinite(beside[:, j]) & np.isfinite(main[:, j])
        values, vectors = _ritz(np.where(finite[:, None], main[:, : j + 1], 0.0), beside[:, :j])
        c = vectors[np.arange(going.size), :, _outermost(values, kind)]
        residual = beside[:, j] * np.abs(c[:, -1])
        ends = ~finite | (residual <= tol * np.abs(values).max(axis=1)) | (j == most - 1)
        u[going[ends & finite]] = np.einsum("pkd,pk->pd", basis[:, : j + 1], c)[ends & finite]
        if ends.all():
            break
        if ends.any():  # what has ended would go on in no direction, its last product being 0
            going, basis, main, beside, w = (part[~ends] for part in (going, basis, main, beside, w))
        v = w / beside[:, j, None]
    result, found = np.full((2, n), np.inf), np.isfinite(u).all(axis=1)
    u, theta = u[found] / np.linalg.norm(u[found], axis=1, keepdims=True), theta[found]
    image = _difference(problem, theta, u, 1.0)
    value = (u * image).sum(axis=1)
    unsure = np.linalg.norm(image - _difference(problem, theta, u, 0.5), axis=1)
    result[1, found] = np.linalg.norm(image - value[:, None] * u, axis=1) + unsure
    result[0, found] = np.abs(value) if kind == "norm" else value
    return result


def _ritz(main, beside):
    """Eigenvalues (P, m), ascending, and eigenvectors of the tridiagonal matrices."""
    m = main.shape[1]
    T = np.zeros((len(main), m, m))
    k = np.arange(m)
    T[:, k, k] = main
    T[:, k[1:], k[:-1]] = T[:, k[:-1], k[1:]] = beside
    return np.linalg.eigh(T)
