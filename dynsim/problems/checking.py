"""Whether a problem's gradient is that of its losses."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem

_POINTS = 8  # random ones, each somewhere else
_CANDIDATES = 64  # of which some may lie where the loss is not defined
_MOST_TERMS = _MOST_COORDINATES = 32
_STEPS = 10
_FIRST_STEP = 2.0**-4  # the last is 2⁻¹³, where rounding errors of the loss are multiplied by 8 000
_ROUNDING = 8 * np.finfo(float).eps  # of a loss, relative
_INCONCLUSIVE = 1e-3  # differences that are less sure than this, relative, are next to a kink
_SAFETY = 10.0


@dataclass(frozen=True)
class GradientCheck:
    """What :func:`check_gradient` found, where gradient and loss are furthest apart; true if they agree everywhere.

    Attributes
    ----------
    ok : bool
        Whether each ``|gradient − difference|`` is within its tolerance.
    error : float
        The ``|gradient − difference|`` that is largest beside its tolerance.
    tolerance : float
        What it may be: ``tol`` times the gradient of that term, plus ten times the error estimated for the difference.
    theta : ndarray, shape (dim,)
        Where.
    term, coordinate : int
        Of which term, and in which direction.
    gradient, difference : float
        The derivative that the gradient gives, and the one found from the loss.
    n_compared : int
        How many derivatives were compared.
    """

    ok: bool
    error: float
    tolerance: float
    theta: np.ndarray
    term: int
    coordinate: int
    gradient: float
    difference: float
    n_compared: int

    def __bool__(self):
        return self.ok

    def __str__(self):
        return (
            f"the gradient of term {self.term} at theta = {np.array2string(self.theta, precision=6, separator=', ')} "
            f"has {self.gradient:.9g} in coordinate {self.coordinate}, "
            f"the loss changes there at the rate {self.difference:.9g} (± {self.tolerance:.1g})"
        )


def check_gradient(
    problem: Problem, theta: ArrayLike | None = None, *, rng: int | np.random.Generator = 0, tol: float = 1e-6
) -> GradientCheck:
    """Compare the gradients of a problem's terms with differences of their losses.

    The differences are central ones of ten steps h, h/2, h/4, …, extrapolated to h → 0 (Richardson), where they are
    stable; their error is estimated from how the extrapolations differ and from the rounding of the loss. Derivatives
    next to a kink, where the differences do not settle, are left out. At most 32 terms and 32 coordinates are looked
    at, drawn at random where there are more.

    Parameters
    ----------
    problem : Problem
    theta : array_like, shape (..., dim), optional
        Where to look. By default at eight random points where the losses are finite: in ``problem.bounds`` if it has
        them, else of order one.
    rng : int or Generator, optional
        Source of the random points and terms.
    tol : float, optional
        Relative tolerance, on top of the estimated error of the differences.

    Returns
    -------
    GradientCheck
        True where all agree; printed, it says where they are furthest apart.

    Raises
    ------
    ArgumentError
        If the losses are finite at none of the points, or no derivative can be found from them there.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.problems import check_gradient
    >>> bool(check_gradient(ds.problems.two_valleys()))
    True
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    tol = _check.positive("tol", tol)
    rng = np.random.default_rng(rng)
    terms = _some(problem.n_terms, _MOST_TERMS, rng)
    coordinates = _some(problem.dim, _MOST_COORDINATES, rng)
    if theta is None:
        thetas = _finite(problem, _candidates(problem, rng), terms)[:_POINTS]
    else:
        thetas = _finite(problem, _check.points("theta", theta, problem.dim).reshape(-1, problem.dim), terms)
    worst, n_compared = None, 0
    for point in thetas:
        gradients = _evaluated(problem.gradients_field, problem, np.repeat(point[:, None], terms.size, axis=1), terms)
        for n, gradient in zip(terms, gradients.T[:, coordinates], strict=True):
            difference, uncertainty = _derivatives(problem, point, n, coordinates)
            scale = np.max(np.abs(difference), where=np.isfinite(difference), initial=0.0)
            sure = uncertainty <= _INCONCLUSIVE * scale + _rounding_floor(problem, point, n)
            n_compared += int(np.count_nonzero(sure))
            tolerance = tol * scale + _SAFETY * uncertainty
            with np.errstate(all="ignore"):
                error = np.abs(gradient - difference)
                excess = np.where(sure, np.where(np.isnan(error), np.inf, error / tolerance), -1.0)
            c = int(np.argmax(excess))
            if sure[c] and (worst is None or excess[c] > worst[0]):
                found = (float(error[c]), float(tolerance[c]), point.copy(), int(n), int(coordinates[c]))
                worst = (excess[c], *found, float(gradient[c]), float(difference[c]))
    if worst is None:
        raise ArgumentError(
            f"the derivatives of {problem.name} cannot be found from its losses at the points looked at, such as "
            f"theta = {thetas[0].tolist()}: they have kinks or jumps there"
        )
    return GradientCheck(bool(worst[0] <= 1.0), *worst[1:], n_compared)


def _some(size, most, rng):
    """The first, the last and random ones between, in order."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.concatenate([[0, size - 1], 1 + rng.choice(size - 2, most - 2, replace=False)]))


def _candidates(problem, rng):
    if problem.bounds is not None:
        low, high = problem.bounds.T
        return rng.uniform(low, high, size=(_CANDIDATES, problem.dim))
    points = rng.normal(size=(_CANDIDATES, problem.dim))
    points[_CANDIDATES // 2 :] = np.abs(points[_CANDIDATES // 2 :])  # in the domain of logarithms and roots
    return points


def _finite(problem, thetas, terms):
    """The points where all losses are finite, or else those where some are."""
    values = np.stack(
        [
            _evaluated(problem.losses_field, problem, np.repeat(theta[:, None], terms.size, axis=1), terms)
            for theta in thetas
        ]
    )
    for chosen in (np.isfinite(values).all(axis=1), np.isfinite(values).any(axis=1)):
        if chosen.any():
            return thetas[chosen]
    raise ArgumentError(
        f"the loss of {problem.name} is not finite at any of the {len(thetas)} points looked at, such as "
        f"theta = {thetas[0].tolist()}, where term {terms[0]} is {values[0, 0]}; "
        "give bounds, a box in which it is"
    )


def _evaluated(field, problem, lanes, terms):
    """What a block field gives for the columns of ``lanes`` and the term of each."""
    losses = field is problem.losses_field
    out = np.empty(lanes.shape[1]) if losses else np.empty_like(lanes)
    field(np.ascontiguousarray(lanes), problem.params, np.ascontiguousarray(terms, dtype=np.int64), out)
    return out


def _rounding_floor(problem, point, n):
    """What differences of the largest step cannot resolve."""
    loss = _evaluated(problem.losses_field, problem, point[:, None], [n])
    return _ROUNDING * abs(loss[0]) / _FIRST_STEP * 2**_STEPS


def _derivatives(problem, point, n, coordinates):
    """∂l_n/∂θ_j for some j, and their estimated errors: Richardson's table, and the entry in it that is surest."""
    h = _FIRST_STEP * np.maximum(1.0, np.abs(point[coordinates]))
    h = np.minimum(h, 0.5 * _distances_to_kinks(problem, point)[coordinates])
    steps = h * 0.5 ** np.arange(_STEPS)[:, None]  # (steps, coordinates)
    lanes = np.repeat(point[:, None], 2 * steps.size, axis=1).reshape(problem.dim, 2, *steps.shape)
    for c, j in enumerate(coordinates):
        lanes[j, 0, :, c] += steps[:, c]
        lanes[j, 1, :, c] -= steps[:, c]
    widths = np.stack([lanes[j, 0, :, c] - lanes[j, 1, :, c] for c, j in enumerate(coordinates)], axis=1)
    lanes = lanes.reshape(problem.dim, -1)
    losses = _evaluated(problem.losses_field, problem, lanes, np.full(lanes.shape[1], n)).reshape(2, *steps.shape)
    with np.errstate(all="ignore"):
        table = (losses[0] - losses[1]) / widths
        noise = _ROUNDING * np.abs(losses).max(axis=0) / steps
        best, uncertainty = table[-1].copy(), np.full(coordinates.size, np.inf)
        for order in range(1, _STEPS):
            finer = (4.0**order * table[1:] - table[:-1]) / (4.0**order - 1.0)
            gap = np.maximum(np.abs(finer - table[1:]), np.abs(finer - table[:-1])) + noise[order:]
            row = np.argmin(np.where(np.isnan(gap), np.inf, gap), axis=0)
            smallest = gap[row, np.arange(coordinates.size)]
            better = smallest < uncertainty
            best = np.where(better, finer[row, np.arange(coordinates.size)], best)
            uncertainty = np.where(better, smallest, uncertainty)
            table = finer
    return best, uncertainty


def _distances_to_kinks(problem, point):
    """How far one may go from a point in each coordinate before a known kink; inf without."""
    normals, offsets = problem.kink_planes[:, :-1], problem.kink_planes[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.abs((normals @ point - offsets)[:, None] / normals)
    return np.min(np.where(normals != 0.0, distances, np.inf), axis=0, initial=np.inf)
