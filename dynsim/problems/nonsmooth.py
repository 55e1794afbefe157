"""Piecewise linear losses. At a kink their gradient is the limit from the left."""

from itertools import pairwise

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem


def _flat_hessians(theta):
    return np.zeros((*theta.shape[:-1], 1, theta.shape[-1], theta.shape[-1]))


def ramp(n: int) -> Problem:
    """A steep and a gentle slope, on which gradient descent with step size 1 has period n + 1. Z (6.11).

    L(θ) = −θ/(n+1) for θ ≤ 0, nθ/(n+1) for θ > 0.

    From θ_0 = 0.2/(n+1) the iterates are θ_k = −1 + (k + 0.2)/(n+1) for k = 1, …, n+1, the last being θ_0. The mean M_t
    of the loss over a window of n iterates therefore never settles: ``|M_t − M_(t−1)|`` comes back forever to
    (0.8n − 0.2)/(n (n+1)²). That is of the order n^(−2), and not, as Z Lemma 6.4.2 says, of the order 1/n.

    Parameters
    ----------
    n : int
        Ratio of the slopes, at least 1.

    Examples
    --------
    >>> import dynsim as ds
    >>> path = ds.iterate(ds.problems.ramp(3), ds.SGD(step_size=1.0), x0=0.05, n_steps=5)
    >>> path.x[0, :, 0].round(9).tolist()
    [0.05, -0.7, -0.45, -0.2, 0.05, -0.7]
    """
    from dynsim._kernels.problems.nonsmooth import ramp_gradient, ramp_loss

    n = _check.count("n", n)
    return Problem(
        ramp_loss,
        ramp_gradient,
        params=[1 / (n + 1), n / (n + 1)],
        weights=[1.0],
        dim=1,
        name=f"ramp({n})",
        term_hessians=_flat_hessians,
        minima=[0.0],
        kinks=[0.0],
        bounds=(-1.5, 0.5),
        gradient_bounds=n / (n + 1),
    )


def abs_well() -> Problem:
    """Two kinked valleys at ±1 with a kinked top between: ``L(θ) = ||θ| − 1|``.

    At the top 0, the simplest kink that points upwards, no convex surrogate helps. It stands for Z §5.4's example
    ``−|θ|``, which is unbounded below.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.problems.abs_well().gradient([[-1.0], [0.0], [1.0], [2.0]]).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    from dynsim._kernels.problems.nonsmooth import abs_well_gradient, abs_well_loss

    return Problem(
        abs_well_loss,
        abs_well_gradient,
        params=[],
        weights=[1.0],
        dim=1,
        name="abs_well",
        term_hessians=_flat_hessians,
        minima=[-1.0, 1.0],
        kinks=(-1.0, 0.0, 1.0),
        bounds=(-2.0, 2.0),
        gradient_bounds=1.0,
    )


def resisting_zigzag(queries: ArrayLike, shift: float, *, slope: float = 1.0) -> Problem:
    """A zigzag that has value 0 and derivative L at every query, with its valleys a little to the left of them.

    ``L(θ) = L (min_k |θ − v_k| − s)``, v_k = x_k − s.

    Two zigzags with different shifts s answer all queries x_k alike and have no stationary point in common, so no
    method that asks finitely often finds one within ε < L: Z Theorem 5.3.1, Lemma 5.7.1 (whose last piece
    begins at x_K − θδ; it is printed with the other sign; s = θδ).

    Parameters
    ----------
    queries : array_like, shape (K,)
        The points x_k, all different.
    shift : float
        s > 0, less than half the least distance of two queries.
    slope : float, optional
        The Lipschitz constant L of the loss, positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.resisting_zigzag([0.0, 1.0], shift=0.25)
    >>> problem.loss([[0.0], [1.0]]).tolist(), problem.gradient([[0.0], [1.0]]).ravel().tolist()
    ([0.0, 0.0], [1.0, 1.0])
    >>> problem.kinks
    (-0.25, 0.25, 0.75)
    """
    from dynsim._kernels.problems.nonsmooth import zigzag_gradient, zigzag_loss

    points = np.sort(_check.array("queries", queries, ndim=1))
    shift, slope = _check.positive("shift", shift), _check.positive("slope", slope)
    if points.size == 0:
        raise ArgumentError("queries must be at least one number, got none")
    gap = np.diff(points).min(initial=np.inf)
    if shift >= gap / 2:
        raise ArgumentError(f"shift must be below half the least distance of two queries, {gap / 2:g}, got {shift:g}")
    valleys = points - shift
    return Problem(
        zigzag_loss,
        zigzag_gradient,
        params=[slope, shift, *valleys],
        weights=[1.0],
        dim=1,
        name=f"resisting_zigzag({points.size} queries, shift={shift:g})",
        term_hessians=_flat_hessians,
        minima=valleys,
        kinks=np.sort([*valleys, *(0.5 * (left + right) for left, right in pairwise(valleys))]),
        bounds=(valleys[0] - 3 * shift, valleys[-1] + 3 * shift),
        gradient_bounds=slope,
    )


def max_of_linears(A: ArrayLike, b: ArrayLike | None = None) -> Problem:
    """The convex piecewise linear loss L(θ) = max_j (a_j·θ + b_j).

    Among them are the absolute value, the norms ``max |θ_j|`` and ``Σ |θ_j|``, and Nesterov's worst case max_j θ_j for
    methods that use subgradients.

    Where pieces tie, as far as rounding lets them, the gradient is that of the first in lexicographic order of the a_j:
    the limit from the left in the first coordinate, then in the second, … For dim = 1 ``kinks`` are the points where
    the largest piece changes; for dim > 1 ``kink_planes`` are the hyperplanes where two pieces are equal, also where a
    third one is larger. The minimum is found by linear programming; None if the loss is unbounded below or constant.

    Parameters
    ----------
    A : array_like, shape (m, dim)
        The slopes a_j of the m pieces.
    b : array_like, shape (m,), optional
        Their values at 0; zeros by default.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.max_of_linears([[-1.0], [0.5], [3.0]], [0.0, 0.0, -5.0])
    >>> problem.kinks, problem.minima.tolist()
    ((0.0, 2.0), [[0.0]])
    >>> problem.gradient([[-1.0], [0.0], [1.0], [3.0]]).ravel().tolist()
    [-1.0, -1.0, 0.5, 3.0]
    """
    from dynsim._kernels.problems.nonsmooth import max_gradient, max_loss

    A = _check.array("A", A, ndim=2)
    m, dim = A.shape
    if m == 0 or dim == 0:
        raise ArgumentError(f"A must have a row for each piece and a column for each coordinate, got shape {A.shape}")
    b = np.zeros(m) if b is None else _check.array("b", b, ndim=1)
    if b.shape != (m,):
        raise ArgumentError(f"b must have one number for each of the {m} rows of A, got {b.size}")
    order = np.lexsort(np.column_stack([-b[:, None], A[:, ::-1]]).T)
    A, b = A[order], b[order]
    kinks = _upper_kinks(A[:, 0], b) if dim == 1 else ()
    minima = _lowest(A, b, kinks)
    center = np.zeros(dim) if minima is None else minima
    reach = 1.5 * max((abs(kink - center[0]) for kink in kinks), default=0.0) or 2.0
    return Problem(
        max_loss,
        max_gradient,
        params=np.column_stack([A, b]),
        weights=[1.0],
        dim=dim,
        name=f"max_of_linears({m} pieces, dim {dim})",
        term_hessians=_flat_hessians,
        minima=minima,
        kinks=kinks,
        kink_planes=None if dim == 1 else _planes_of_ties(A, b),
        bounds=np.column_stack([center - reach, center + reach]),
        gradient_bounds=np.linalg.norm(A, axis=1).max(),
    )


def _upper_kinks(slopes, intercepts):
    """Where the largest of the lines changes, in ascending order; the lines ordered by slope, then from the highest."""
    kinks, now = [], 0
    while (steeper := np.flatnonzero(slopes > slopes[now])).size:
        crossings = (intercepts[now] - intercepts[steeper]) / (slopes[steeper] - slopes[now])
        kinks.append(crossings.min())
        steepest = slopes[steeper[crossings == kinks[-1]]].max()
        now = np.flatnonzero(slopes == steepest)[0]
    return tuple(kinks)


def _planes_of_ties(A, b):
    first, second = np.triu_indices(b.size, 1)
    _check.fits_in_memory("the kink planes", (first.size, A.shape[1] + 1, 3), instead="use fewer pieces")
    planes = np.column_stack([A[second] - A[first], b[first] - b[second]])
    return planes[planes[:, :-1].any(axis=1)]


def _lowest(A, b, kinks):
    """A minimum, or None."""
    if A.shape[1] == 1:
        exists = kinks and A.min() <= 0 <= A.max()
        return np.array([min(kinks, key=lambda kink: (A[:, 0] * kink + b).max())]) if exists else None
    from scipy.optimize import linprog

    size, height = np.abs(A).max() or 1.0, np.abs(b).max() or 1.0  # the solver's tolerances are absolute
    m, dim = A.shape
    rows = np.column_stack([A / size, -np.ones(m)])
    solution = linprog(np.eye(dim + 1)[dim], A_ub=rows, b_ub=-b / height, bounds=(None, None))
    return solution.x[:dim] * height / size + 0.0 if solution.status == 0 and A.any() else None  # + 0: no −0
