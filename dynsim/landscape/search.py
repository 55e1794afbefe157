"""The search for stationary points: starts, zeros of the gradient, kinks, and what is left of them once merged."""

import numpy as np

from dynsim import _check, _random
from dynsim._typing import ArrayLike, Seed
from dynsim.landscape import kinks, line, smooth
from dynsim.landscape.box import Box, checked_bounds, measured
from dynsim.landscape.points import KINDS, Found, StationaryPoints
from dynsim.problems import Problem

_STARTS = (32, 256)
_CELLS = (512, 4096)  # of the grid in one dimension
_WORK = (2**22, 2**19)  # cells × terms, and starts × terms × dim², are to be at most so many by default
_PROBE = 1e-2  # how far a flat direction is followed, relative to the box


def minima(
    problem: Problem,
    bounds: ArrayLike | None = None,
    *,
    n_starts: int | None = None,
    rng: Seed = 0,
    tol: float = 1e-8,
) -> StationaryPoints:
    """Find and classify the stationary points of a problem in a box: minima first, the lowest at the top.

    In one dimension every change of sign of L' between neighbors of a grid is bisected down to the last bit: none is
    missed but pairs in one cell. In more dimensions, from starts spread
    evenly over the box: a Newton descent for minima, Levenberg–Marquardt on ‖∇L‖² for saddles and maxima as well, and,
    where the descent ends at a kink, sampled gradients and Newton's method for the point at which the pieces meet (of
    the kinks in more than one dimension only minima are looked for). That all have been found is not certain: see
    whether more starts find more.

    Parameters
    ----------
    problem : Problem
    bounds : array_like, shape (dim, 2) or (2,), optional
        The box, low and high for each coordinate or for all; ``problem.bounds`` by default. Minima of L on its
        boundary that are not stationary are not reported.
    n_starts : int, optional
        Number of starts, 256 by default, and fewer, down to 32, where terms and dimensions are many; in one dimension
        the number of cells of the grid, 4096 by default, and down to 512 where terms are many.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7) for the starts.
    tol : float, optional
        A point is reported if ‖∇L‖, or at a kink the distance of 0 from the subdifferential, is at most ``tol`` times
        the median of ‖∇L‖ over the starts, and Newton's step from there at most 1e-6 of the box.

    Returns
    -------
    StationaryPoints

    Raises
    ------
    ArgumentError
        If the bounds have the wrong shape, low ≥ high, or loss or gradient are not finite in the box.
    NotApplicable
        If the problem has no bounds and none are given.

    Examples
    --------
    >>> import dynsim as ds
    >>> found = ds.minima(ds.problems.two_valleys())
    >>> found.x[:, 0].tolist(), found.kind
    ([0.2, -1.0, 0.0], ('kink minimum', 'kink minimum', 'kink'))
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    box = checked_bounds(problem, bounds)
    if n_starts is None:
        n_starts = _default_starts(problem)
    n_starts, tol = _check.count("n_starts", n_starts), _check.positive("tol", tol)
    seed, key = _random.seed_and_key(rng)
    generator = np.random.Generator(np.random.Philox(key=key))
    if problem.dim == 1:
        found, box = line.search(problem, box, n_starts, tol)
    else:
        found, box = _search(problem, box, n_starts, tol, generator)
    found.sort(key=lambda point: (KINDS.index(point.kind) >= KINDS.index("saddle"), point.loss))
    settings = {"problem": problem.name, "n_starts": n_starts, "seed": seed, "tol": tol}
    return StationaryPoints.of(problem, box, found, settings)


def _default_starts(problem):
    line = problem.dim == 1
    (least, most), work = (_CELLS, _WORK[0]) if line else (_STARTS, _WORK[1])
    affordable = max(work / (problem.n_terms * problem.dim**2), 1)
    return int(np.clip(2 ** int(np.log2(affordable)), least, most))


def _search(problem, bounds, n_starts, tol, generator):
    starts = Box(bounds).points(n_starts, generator)
    box = measured(problem, bounds, starts)
    ball = kinks.directions(problem.dim, generator)
    with np.errstate(all="ignore"):
        low = smooth.descend(problem, starts, box)
        ends = np.unique(np.round(low / (1e-6 * box.diagonal)), axis=0) * (1e-6 * box.diagonal)
        x = smooth.solve(problem, np.concatenate([ends, starts]), box)
        candidates = _stationary(problem, x, box, tol)
        tips = kinks.at_kinks(problem, candidates, box, ball)  # the gradient may be called 0 where it jumps
        candidates, tips = candidates[~tips], candidates[tips]
        reached = _reached(low, candidates, box)
        stuck = low[~reached & box.near(low)]
        stuck = np.concatenate([tips, stuck[kinks.at_kinks(problem, stuck, box, ball)]])
        met = kinks.descend(problem, stuck, box, ball)
        found = _smooth_points(problem, candidates, box, ball)
        found += _kink_points(problem, met, box, ball)
    return found, box


def _stationary(problem, x, box, tol):
    """Of the points x (P, dim), those that are stationary and inside, each once."""
    x = x[box.holds(x)]
    g = problem.gradient(x)
    kept = smooth.length(g) <= tol * box.slope
    x, g = x[kept], g[kept]
    values, vectors = smooth.spectra(problem, x)
    error = smooth.length(smooth.newton_step(values, vectors, g))
    kept = error <= 1e-6 * box.diagonal
    return _merged(x[kept], error[kept], box)


def _merged(x, error, box):
    """The points x (P, dim) without those that another one, of smaller error, may be."""
    order = np.argsort(error, kind="stable")
    kept = []
    for p in order:
        near = 1e-7 * box.diagonal + 10 * error[p]
        if all(smooth.length(x[p] - x[q]) > near + 10 * error[q] for q in kept):
            kept.append(p)
    return x[kept]


def _reached(low, candidates, box):
    """Which ends of the descent lie at one of the candidates."""
    if not candidates.size:
        return np.zeros(low.shape[0], dtype=bool)
    return (smooth.length(low[:, None] - candidates) < 1e-5 * box.diagonal).any(axis=1)


def _smooth_points(problem, x, box, ball):
    """Classified points. Of a continuum of stationary points at one level, the one nearest the middle of the box."""
    values, vectors = smooth.spectra(problem, x)
    losses, norms = problem.loss(x), smooth.length(problem.gradient(x))
    scale = np.maximum(np.abs(values).max(axis=1, initial=0.0), 1e-3 * box.slope / box.diagonal)
    singular = (np.abs(values) <= smooth.SINGULAR * scale[:, None]).any(axis=1)
    found = []
    for p in np.flatnonzero(~singular):
        kind = "minimum" if values[p, 0] > 0 else "maximum" if values[p, -1] < 0 else "saddle"
        found.append(Found(x[p], float(losses[p]), kind, float(norms[p]), values[p]))
    rest = np.flatnonzero(singular)
    rest = rest[np.argsort(smooth.length(x[rest] - box.bounds.mean(axis=1)), kind="stable")]
    while rest.size:
        p, rest = rest[0], rest[1:]
        flat = vectors[p][:, np.abs(values[p]) <= smooth.SINGULAR * scale[p]]
        if _goes_on(problem, x[p], flat, box, ball):
            kind, same = "degenerate", np.abs(losses[rest] - losses[p]) <= 1e-9 * box.spread
        else:
            kind = _kind_by_values(problem, x[p], box, _all_around(vectors[p], ball))
            same = smooth.length(x[rest] - x[p]) < 0.1 * _PROBE * box.diagonal
        found.append(Found(x[p], float(losses[p]), kind, float(norms[p]), values[p]))
        rest = rest[~same]
    return found


def _all_around(vectors, ball):
    """Directions at random, of the axes, and of the columns of ``vectors`` (dim, m), each with its opposite."""
    axes = np.eye(ball.shape[1])
    return np.concatenate([ball, axes, -axes, vectors.T, -vectors.T])


def _goes_on(problem, x, flat, box, ball):
    """Whether there are stationary points beside x in a direction in the span of ``flat`` (dim, m) too.

    Zeros of the gradient from there, and from where a descent from there ends: a floor that meets another at x lies in
    few of the directions, which the Hessian, 0 at x, does not tell.
    """
    away = _PROBE * box.diagonal
    within = _all_around(flat, ball) @ flat
    sizes = smooth.length(within)
    within = within[sizes > 0.1] / sizes[sizes > 0.1, None]
    beside = x + away * within @ flat.T
    ends = smooth.solve(problem, np.concatenate([beside, smooth.descend(problem, beside, box)]), box)
    g = problem.gradient(ends)
    step = smooth.newton_step(*smooth.spectra(problem, ends), g)
    far = smooth.length(ends - x)
    near = (far > 0.5 * away) & (far < 3 * away)
    still = (smooth.length(g) <= 1e-8 * box.slope) & (smooth.length(step) <= 1e-6 * box.diagonal)
    level = np.abs(problem.loss(ends) - problem.loss(x)) <= 1e-9 * box.spread
    return bool((near & still & level).any())


def _kind_by_values(problem, x, box, ball):
    """The kind of an isolated point from the values of L around it."""
    around = problem.loss(x + 0.1 * _PROBE * box.diagonal * ball) - problem.loss(x)
    return "minimum" if (around > 0).all() else "maximum" if (around < 0).all() else "saddle"


def _kink_points(problem, met, box, ball):
    """Classified kinks, each once."""
    found = []
    for kink in sorted(met, key=lambda kink: kink.distance):
        loss = float(problem.loss(kink.x))
        if kink.level(box).any():
            floors = [other.loss for other in found if other.kind == "degenerate"]
            if any(abs(floor - loss) <= 1e-9 * box.spread for floor in floors):
                continue
            kind = "degenerate"
        else:
            if any(smooth.length(other.x - kink.x) < 1e-7 * box.diagonal for other in found):
                continue
            around = problem.loss(kink.x + 1e-4 * box.diagonal * ball)
            kind = "kink minimum" if around.min() >= loss and (kink.curvatures > 0).all() else "kink"
        values = np.append(kink.curvatures, np.full(problem.dim - kink.curvatures.size, np.nan))
        found.append(Found(kink.x, loss, kind, kink.distance, values))
    return found
