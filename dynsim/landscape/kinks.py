"""Minima where the gradient jumps: gradients are sampled in a ball, and the point is found where the pieces meet.

Near a kink x* of a piecewise smooth L all pieces have the same value at x*. Along the *jump space*, spanned by the
differences of their gradients, that determines x*; along its complement L is smooth and Newton's method does.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from dynsim.landscape.smooth import length

_RADII = 10.0 ** -np.arange(1.0, 7.0)  # of the balls, relative to the box
_TURNS = 60  # descent steps with a ball of one size
_FLAT = 1e-3  # a sampled gradient below it, relative to the box's slope, makes the ball smaller
_LENGTHS = 2.0 ** np.arange(6, -5, -1)  # of steps, relative to the ball
_POLISHES = 12
_LAST_RADIUS = 1e-9  # of a polish, relative to the box
_FARTHEST = 10.0  # step of a polish, relative to the ball: what is farther off the ball says nothing about
_DIFFERENCE = 1e-6  # in differences of gradients along the smooth directions, relative to the box
_FLAT_ALONG = 1e-6  # curvature along a kink that counts as 0, relative to the largest, or to the box's
_JUMP = 1e-6  # smallest jump of the gradient, relative to the box's slope


@dataclass(frozen=True, eq=False)
class Kink:
    """A point, the distance of 0 from Clarke's subdifferential there, and L along the directions in which it is smooth.

    ``flat`` (dim, m) are these directions, ``curvatures`` (m,) the eigenvalues of the Hessian along them.
    """

    x: np.ndarray
    distance: float
    flat: np.ndarray
    curvatures: np.ndarray

    def level(self, box):
        """Which curvatures are 0, so that the kink may go on at the same height."""
        sizes = np.abs(self.curvatures)
        return sizes <= _FLAT_ALONG * max(sizes.max(initial=0.0), box.slope / box.diagonal)


def nearest_to_zero(gradients):
    """Weights and point of the convex hull of gradients (m, dim) that is nearest to 0.

    min ‖Gᵀu‖² + (Σu − 1)² over u ≥ 0 has its minimum on the ray of the weights wanted.
    """
    scale = np.abs(gradients).max()
    if scale == 0:
        return np.full(gradients.shape[0], 1 / gradients.shape[0]), np.zeros(gradients.shape[1])
    rows = np.vstack([gradients.T / scale, np.ones(gradients.shape[0])])
    u = nnls(rows, np.append(np.zeros(gradients.shape[1]), 1.0))[0]
    weights = u / u.sum()
    return weights, weights @ gradients


def directions(dim, generator):
    """Opposite pairs of unit vectors at random (m, dim), four for each coordinate and four more."""
    half = generator.standard_normal((2 * dim + 2, dim))
    half /= length(half)[:, None]
    return np.concatenate([half, -half])


def descend(problem, x, box, ball):
    """Where x (P, dim) run to downhill along the shortest convex combination of gradients in balls of falling radius.

    Returns the kinks found on the way and polished, a list.
    """
    x = x.copy()
    losses = problem.loss(x)
    active = np.arange(x.shape[0])
    found = []
    for radius in _RADII * box.diagonal:
        running = active
        for _ in range(_TURNS):
            if running.size == 0:
                break
            here = x[running]
            around = np.concatenate([here[None], here + radius * ball[:, None]])
            gradients = problem.gradient(around)
            v = np.array([nearest_to_zero(gradients[:, p])[1] for p in range(running.size)])
            slope = length(v)
            steps = -v / np.maximum(slope, 1e-300)[:, None] * radius
            trials = here + _LENGTHS[:, None, None] * steps
            values = np.nan_to_num(problem.loss(trials), nan=np.inf)
            best, each = values.argmin(axis=0), np.arange(running.size)
            better = (values[best, each] < losses[running]) & (slope > _FLAT * box.slope)
            running = running[better]
            x[running], losses[running] = trials[best, each][better], values[best, each][better]
            running = running[box.near(x[running])]
        active = active[box.near(x[active])]
        active = _apart(x, active[np.argsort(losses[active])], [kink.x for kink in found], 0.1 * radius)
        polished = [polish(problem, point, radius, box, ball) for point in x[active]]
        found += [kink for kink in polished if kink is not None and box.holds(kink.x)]
        active = active[np.array([kink is None for kink in polished], dtype=bool)]
    return found


def at_kinks(problem, x, box, ball):
    """Which of the points x (P, dim) lie at a kink: the gradient varies as much in a ball of a hundredth the radius."""
    spreads = []
    for radius in (1e-4 * box.diagonal, 1e-6 * box.diagonal):
        gradients = problem.gradient(x + radius * ball[:, None])
        spreads.append(length(gradients - gradients.mean(axis=0)).max(axis=0, initial=0.0))
    return spreads[1] > np.maximum(0.1 * spreads[0], _JUMP * box.slope)


def _apart(x, indices, taken, distance):
    """Those of the indices whose points x are no nearer than a distance to an earlier one, or to those taken."""
    kept, points = [], list(taken)
    for p in indices:
        if not points or length(np.array(points) - x[p]).min() > distance:
            kept.append(p)
            points.append(x[p])
    return np.array(kept, dtype=int)


def polish(problem, x, radius, box, ball):
    """The kink near x, to rounding, or None if there is none within the radius that is stationary.

    In turns: across the kink to where the pieces meet, then a Newton step along it.
    """
    top = float(problem.loss(x)) + 1e-9 * box.spread
    least = _LAST_RADIUS * box.diagonal
    for _ in range(_POLISHES):
        x, pieces = _meeting(problem, x, radius, box, ball)
        if pieces is None:
            return None
        kink, step = _along(problem, x, pieces, box)
        size = float(length(step))
        if size <= least:
            stationary = kink.distance <= _JUMP * box.slope
            return kink if stationary and float(problem.loss(x)) <= top else None
        x = x + step
        radius = max(min(_bent(size, box), size), 2 * least)
    return None


def _bent(size, box):
    """How far a kink may be from its tangent plane, so far off the point where it touches: a generous curvature."""
    return 16 * size**2 / box.diagonal


def _meeting(problem, x, radius, box, ball):
    """From x to where the pieces in a ball meet, by Newton's method; the gradients there and the jump space.

    The points that the nearest convex combination is made of are looked at again, from the new x at the new radius:
    a piece whose region is a narrow cone would else be missed. (x, None) if the gradient jumps nowhere in the ball.
    """
    least = _LAST_RADIUS * box.diagonal
    rays = ball
    while True:
        points = x + radius * rays
        gradients, losses = problem.gradient(points), problem.loss(points)
        if not (np.isfinite(gradients).all() and np.isfinite(losses).all()):
            return x, None
        vectors, n_jumps = jumps(gradients, radius, box)
        if n_jumps == 0:
            return x, None
        if radius <= least:
            return x, (points, gradients, vectors[n_jumps:].T)
        # All tangent planes f_i + g_i·(x + s − x_i) have the same height at x + s.
        across = vectors[:n_jumps].T
        heights = losses - (gradients * (points - x)).sum(axis=1)
        rows = (gradients - gradients.mean(axis=0)) @ across
        step = across @ np.linalg.lstsq(rows, heights.mean() - heights, rcond=None)[0]
        if length(step) > _FARTHEST * radius:
            return x, None
        x = x + step
        away = points[nearest_to_zero(gradients)[0] > 0] - x
        rays = np.concatenate([ball, away / np.maximum(length(away), 1e-300)[:, None]])
        radius = max(min(0.3 * radius, _bent(radius, box)), least)


def _along(problem, x, pieces, box):
    """The kink at x, and a Newton step along it."""
    points, gradients, flat = pieces
    weights, nearest = nearest_to_zero(gradients)
    curvatures, turned = np.linalg.eigh(_hessian_along(problem, points, weights, flat, box))
    kink = Kink(x, float(length(nearest)), flat @ turned, curvatures)
    inverse = np.divide(1.0, curvatures, out=np.zeros_like(curvatures), where=~kink.level(box))
    step = -kink.flat @ (inverse * (kink.flat.T @ problem.gradient(x)))  # along the kink all pieces have one slope
    return kink, step * min(1.0, 0.1 * box.diagonal / max(length(step), 1e-300))


def jumps(gradients, radius, box):
    """Right singular vectors of the differences between gradients (m, dim), and how many of them are jumps.

    Those before the largest gap between the singular values: in a small ball what is smooth varies little.
    """
    centered = (gradients - gradients.mean(axis=0)) / np.sqrt(gradients.shape[0])
    values, vectors = np.linalg.svd(centered, full_matrices=True)[1:]
    floor = max(radius / box.diagonal, 1e-10) * box.slope
    padded = np.maximum(np.append(values, 0.0), floor)
    n = 0 if values[0] < _JUMP * box.slope else int((padded[:-1] / padded[1:]).argmax()) + 1
    return vectors, n


def _hessian_along(problem, points, weights, flat, box):
    """The weighted mean over pieces of the Hessian along directions flat (dim, m): differences that cross no kink."""
    used = weights > 0
    h = _DIFFERENCE * box.diagonal
    steps = h * flat.T[:, None]
    difference = problem.gradient(points[used] + steps) - problem.gradient(points[used] - steps)
    hessian = np.einsum("p,apj,jb->ab", weights[used], difference, flat) / (2 * h)
    return 0.5 * (hessian + hessian.T)
