"""Whether a problem's gradient is that of its losses."""

from dataclasses import dataclass
from functools import partial

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
_AROUND, _BESIDE = 0.1, 1e-6  # distances to a minimum, relative: of its neighborhood, of the other side of a kink
_SMALL = 0.01  # a gradient beside those around: three digits of a minimum are enough


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
        theta = np.array2string(self.theta, precision=6, separator=", ")
        where = f"the gradient of term {self.term} at theta = {theta}"
        if np.isnan(self.gradient):
            return f"{where} is nan in coordinate {self.coordinate}, where the loss is finite and smooth"
        return (
            f"{where} has {self.gradient:.9g} in coordinate {self.coordinate}, "
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
    try:
        rng = np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise ArgumentError(f"rng must be a nonnegative int or a Generator, got {rng!r}") from None
    return compared(problem, partial(Problem._few_losses, problem), theta, rng, tol)


def compared(problem, losses_of, theta=None, rng=None, tol=1e-6):
    """What :func:`check_gradient` does, with the losses that ``losses_of(lanes, terms)`` gives."""
    rng = np.random.default_rng(0) if rng is None else rng
    terms = _some(problem.n_terms, _MOST_TERMS, rng)
    coordinates = _some(problem.dim, _MOST_COORDINATES, rng)
    if theta is None:
        thetas = _finite(problem, losses_of, _candidates(problem, rng), terms, enough=_POINTS)
    else:
        thetas = _check.points("theta", theta, problem.dim).reshape(-1, problem.dim)
        thetas = _finite(problem, losses_of, thetas, terms, enough=len(thetas))
    worst, n_compared = None, 0
    for point in thetas:
        gradients = _gradients(problem, point, terms)
        for n, gradient in zip(terms, gradients.T[:, coordinates], strict=True):
            difference, uncertainty, slope = _derivatives(problem, losses_of, point, n, coordinates)
            scale = np.max(np.abs(difference), where=np.isfinite(difference), initial=0.0)
            sure = uncertainty <= _INCONCLUSIVE * max(scale, slope)
            n_compared += int(np.count_nonzero(sure))
            tolerance = tol * scale + _SAFETY * uncertainty
            with np.errstate(all="ignore"):
                error = np.abs(gradient - difference)
                excess = np.where(np.isnan(error), np.inf, np.where(error > 0.0, error / tolerance, 0.0))
            excess = np.where(sure, excess, -1.0)
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


def check_minima(problem):
    """Refuse known minima at which the loss is smooth and its gradient is not small beside the gradients around it."""
    for point in () if problem.minima is None else problem.minima:
        size = _AROUND * np.maximum(1.0, np.abs(point))
        ways = np.concatenate([np.eye(problem.dim), -np.eye(problem.dim)]) * size
        here = np.linalg.norm(problem.gradient(point))
        around = np.linalg.norm(problem.gradient(point + ways), axis=1)
        beside = np.linalg.norm(problem.gradient(point + _BESIDE * ways) - problem.gradient(point), axis=1)
        if np.isfinite(here) and here > _SMALL * np.fmax.reduce(around) and not (beside > 0.5 * here).any():
            raise ArgumentError(
                f"minima has {point.tolist()}, but the gradient of {problem.name} is "
                f"{problem.gradient(point).tolist()} there. dynsim.minima(problem) finds those of a problem without"
            )


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


def _finite(problem, losses_of, thetas, terms, *, enough):
    """So many points where all losses are finite, or else those where some are."""
    all_finite, some_finite = [], []
    for theta in thetas:
        values = losses_of(np.repeat(theta[:, None], terms.size, axis=1), terms)
        if np.isfinite(values).all():
            all_finite.append(theta)
        elif np.isfinite(values).any():
            some_finite.append(theta)
        if len(all_finite) == enough:
            break
    if all_finite or some_finite:
        return (all_finite or some_finite)[:enough]
    first = losses_of(np.repeat(thetas[0][:, None], terms.size, axis=1), terms)[0]
    raise ArgumentError(
        f"the loss of {problem.name} is not finite at any of the {len(thetas)} points looked at, such as "
        f"theta = {thetas[0].tolist()}, where term {terms[0]} is {first}; give bounds, a box in which it is"
    )


def _gradients(problem, point, terms):
    """∇l_n at a point, (dim, terms)."""
    lanes = np.repeat(point[:, None], terms.size, axis=1)
    out = np.empty_like(lanes)
    problem.gradients_field(lanes, problem.params, np.ascontiguousarray(terms, dtype=np.int64), out)
    return out


def _derivatives(problem, losses_of, point, n, coordinates):
    """∂l_n/∂θ_j for some j, their estimated errors, and the greatest slope in the neighborhood.

    By Richardson's table, the entry in it that is surest.
    """
    h = _FIRST_STEP * np.maximum(1.0, np.abs(point[coordinates]))
    h = np.minimum(h, 0.5 * _distances_to_kinks(problem, point)[coordinates])
    steps = h * 0.5 ** np.arange(_STEPS)[:, None]  # (steps, coordinates)
    lanes = np.repeat(point[:, None], 2 * steps.size + 1, axis=1)
    ahead, behind = (lanes[:, first : first + steps.size].reshape(-1, *steps.shape) for first in (0, steps.size))
    for c, j in enumerate(coordinates):
        ahead[j, :, c] += steps[:, c]
        behind[j, :, c] -= steps[:, c]
    widths = np.stack([ahead[j, :, c] - behind[j, :, c] for c, j in enumerate(coordinates)], axis=1)
    lanes[:, :-1] = np.concatenate([part.reshape(problem.dim, -1) for part in (ahead, behind)], axis=1)
    values = losses_of(lanes, np.full(lanes.shape[1], n))
    here, losses = values[-1], values[:-1].reshape(2, *steps.shape)
    with np.errstate(all="ignore"):
        rises = np.abs(losses - here).max(axis=0) / steps  # the greatest slopes within a step
        around = _ROUNDING * np.abs(point).sum() * np.fmax.reduce(rises, axis=1, keepdims=True)  # as θ is rounded
        noise = (_ROUNDING * np.abs(losses).max(axis=0) + around) / steps
        best, uncertainty = _surest((losses[0] - losses[1]) / widths, noise)
        bends = np.abs(losses[0] - 2.0 * here + losses[1]) / steps  # where there is no kink they vanish with the steps
        uncertainty[bends[-1] > 0.5 * bends[-4] + _SAFETY * noise[-1]] = np.inf
    finite = np.isfinite(rises)
    return best, uncertainty, np.max(rises + noise, where=finite & np.isfinite(noise), initial=0.0)


def _surest(table, noise):
    """Limits for steps to 0 of each column of differences, and their errors, as Richardson's table has them."""
    columns = np.arange(table.shape[1])
    best, uncertainty = table[-1].copy(), np.full(columns.size, np.inf)
    for order in range(1, _STEPS):
        finer = (4.0**order * table[1:] - table[:-1]) / (4.0**order - 1.0)
        gap = np.maximum(np.abs(finer - table[1:]), np.abs(finer - table[:-1])) + noise[order:]
        row = np.argmin(np.where(np.isnan(gap), np.inf, gap), axis=0)
        smallest = gap[row, columns]
        better = smallest < uncertainty
        best = np.where(better, finer[row, columns], best)
        uncertainty = np.where(better, smallest, uncertainty)
        table = finer
    return best, uncertainty


def _distances_to_kinks(problem, point):
    """How far one may go from a point in each coordinate before a known kink; inf without."""
    normals, offsets = problem.kink_planes[:, :-1], problem.kink_planes[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.abs((normals @ point - offsets)[:, None] / normals)
    return np.min(np.where(normals != 0.0, distances, np.inf), axis=0, initial=np.inf)
