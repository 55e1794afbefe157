"""To which minimum the gradient flow runs."""

import numpy as np

from dynsim.landscape.smooth import length

_STEPS = (1e-4, 5e-3)  # shortest and longest, relative to the box
_TURNS = 20_000
_SPHERE = 64  # points on it for each dimension
_GROWTH = 2.5  # of a step that succeeded; one that failed is halved, so that by turns they grow
_OPPOSITE = 1e-3
_REFRESH = 16  # turns between two looks at who has arrived …
_NOWHERE = 1.0  # … and at who has moved less than so many of the shortest steps meanwhile: it never will


def labels(problem, box, x, n_minima, theta):
    """Index of the minimum, among the first n_minima of x (k, dim), that each point theta (P, dim) runs to, or −1."""
    result = np.full(theta.shape[0], -1)
    if n_minima == 0:
        return result
    radii, rims = _captures(problem, box, x, n_minima)
    shortest = min(_STEPS[0] * box.diagonal, radii.min() / 8)
    longest = max(_STEPS[1] * box.diagonal, shortest)
    here = theta.copy()
    active = np.arange(here.shape[0])
    steps = np.full(here.shape[0], longest)
    with np.errstate(all="ignore"):
        losses, g = problem.loss(here), problem.gradient(here)
        other, before = g.copy(), np.full_like(here, np.inf)
        for turn in range(_TURNS):
            if turn % _REFRESH == 0:
                arrived = _arrived(here, losses, x[:n_minima], radii, rims)
                result[active[arrived >= 0]] = arrived[arrived >= 0]
                moved = length(here - before) > _NOWHERE * shortest  # a minimum elsewhere holds on to points
                going = (arrived < 0) & box.near(here) & (length(g) > 0) & moved
                here, losses, g, other, steps, active = (
                    values[going] for values in (here, losses, g, other, steps, active)
                )
                before = here.copy()
            if active.size == 0:
                break
            v = _between(g, other)
            slope = length(v)
            trial = here - (steps / slope)[:, None] * v
            found, beyond = problem.loss(trial), problem.gradient(trial)
            good = (found <= losses - 0.25 * steps * slope) | (steps <= shortest)
            here[good], losses[good], g[good] = trial[good], found[good], beyond[good]
            other = beyond  # after a step that failed, the gradient on the other side of a kink or a valley
            steps = np.clip(steps * np.where(good, _GROWTH, 0.5), shortest, longest)
    return result


def _between(g, other):
    """The shortest convex combination of two gradients, along which a flow slides at a kink; g if that is about 0."""
    difference = g - other
    share = np.einsum("pj,pj->p", difference, g) / np.maximum(np.einsum("pj,pj->p", difference, difference), 1e-300)
    v = g - np.clip(share, 0.0, 1.0)[:, None] * difference
    return np.where((length(v) > _OPPOSITE * length(g))[:, None], v, g)


def _captures(problem, box, x, n_minima):
    """Radii of balls around the minima with no other stationary point in them, and the least L on their spheres."""
    gaps = length(x[:n_minima, None] - x)
    gaps[np.arange(n_minima), np.arange(n_minima)] = np.inf
    radii = np.minimum(0.5 * gaps.min(axis=1, initial=np.inf), 0.05 * box.diagonal)
    sphere = np.random.default_rng(0).standard_normal((_SPHERE * x.shape[1], x.shape[1]))
    sphere /= length(sphere)[:, None]
    rims = problem.loss(x[:n_minima, None] + radii[:, None, None] * sphere).min(axis=1)
    return radii, rims


def _arrived(here, losses, minima, radii, rims):
    """The minimum in whose ball, and below whose rim, each point is; −1 for none."""
    inside = (length(here[:, None] - minima) < radii) & (losses[:, None] < rims)
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
