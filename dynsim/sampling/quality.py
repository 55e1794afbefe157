"""How near a scheme is to drawing by gradient norm along a run: L's Algorithm 1."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.sampling.base import Sampling
from dynsim.sampling.measures import by_norm, check_problem, weighted_norms

if TYPE_CHECKING:
    from dynsim.problems import Problem
    from dynsim.results import Trajectories

_FLOOR = 1e-12  # probability that a term without gradient is taken to have, so that KL is finite
_AT_ONCE = 2**20  # numbers: gradients that are looked at together


def _kl(p, q):
    return np.maximum((p * np.log(p / q)).sum(axis=-1), 0.0)


def _tv(p, q):
    return 0.5 * np.abs(p - q).sum(axis=-1)


_DISTANCES = {"kl": _kl, "tv": _tv}


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances to p̃^GN at each point, and their means over the points.

    The standard error of a mean over several paths comes from the scatter between them. For the points of one path it
    is their standard deviation over √k, which covers the drawing of the items, on the safe side, and not what other
    runs would give.

    Attributes
    ----------
    scheme, uniform : ndarray, shape (...)
        D(p̃, p̃^GN) and D(ũ, p̃^GN) at each point; NaN where a path has diverged.
    scheme_mean, scheme_stderr, uniform_mean, uniform_stderr : float
        Their means over the points that are not NaN, with standard errors.
    nearer, nearer_stderr : float
        Fraction of these points where the scheme is nearer than uniform, with its standard error.
    """

    scheme: np.ndarray = field(repr=False)
    uniform: np.ndarray = field(repr=False)
    scheme_mean: float = field(init=False)
    scheme_stderr: float = field(init=False)
    uniform_mean: float = field(init=False)
    uniform_stderr: float = field(init=False)
    nearer: float = field(init=False)
    nearer_stderr: float = field(init=False)

    def __post_init__(self):
        nearer = np.where(np.isnan(self.scheme), np.nan, self.scheme < self.uniform)
        for name, values in (("scheme", self.scheme), ("uniform", self.uniform)):
            mean, stderr = _mean(values)
            object.__setattr__(self, f"{name}_mean", mean)
            object.__setattr__(self, f"{name}_stderr", stderr)
        mean, stderr = _mean(nearer)
        object.__setattr__(self, "nearer", mean)
        object.__setattr__(self, "nearer_stderr", stderr)


@dataclass(frozen=True, eq=False)
class SamplingQuality:
    """How near a scheme is to p^GN along a run, compared with uniform sampling; from :func:`dynsim.sampling_quality`.

    Attributes
    ----------
    distances : dict of str to Distances
        By name: "kl", "tv".
    settings : dict
        What made it, ``"seed"`` included.
    """

    distances: dict[str, Distances]
    settings: dict = field(repr=False)

    def plot(self, ax=None, *, distance: str | None = None, **style):
        """Draw the histograms of D(p̃, p̃^GN) and D(ũ, p̃^GN) over the points and return the Axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        distance : {"kl", "tv"}, optional
            The first of ``distances`` by default.
        **style
            Passed on to ``Axes.hist``.
        """
        from dynsim.plot import plot_sampling_quality

        distance = next(iter(self.distances)) if distance is None else distance
        return plot_sampling_quality(self, _check.choice("distance", distance, tuple(self.distances)), ax, **style)


def sampling_quality(
    problem: "Problem",
    scheme: Sampling,
    theta: "ArrayLike | Trajectories",
    *,
    n_items: int,
    rng: Seed = None,
    distance: str | Sequence[str] = ("kl", "tv"),
) -> SamplingQuality:
    """L's Algorithm 1: distances from p^GN of a scheme's and of uniform probabilities, on drawn items along a run.

    At each point θ, M of the terms are drawn, all sets of M with the same probability. On them p(θ), the weights a
    (L's uniform u) and p^GN ∝ a_n‖∇l_n(θ)‖ are normalized to p̃, ũ and p̃^GN; probabilities below 1e-12 are raised to
    it, since a gradient may be 0. The distances are KL(p̃‖p̃^GN) = Σ p̃ log(p̃/p̃^GN) and TV = ½ Σ|p̃ − p̃^GN|.

    Nearer is not better: it neither implies a smaller variance nor follows from one. With gradients of sizes 9 and 1,
    p = (0.999, 0.001) is much nearer to p^GN = (0.9, 0.1) than u is, and yet has over six times the E‖G‖² of u.
    :func:`dynsim.sampling.mean_square` compares the variances themselves.

    Parameters
    ----------
    problem : Problem
    scheme : Sampling
        One with probabilities p_n(θ).
    theta : Trajectories or array_like, shape (k, dim) or (n_paths, k, dim)
        The points: the run itself, a path of it, or several.
    n_items : int
        M, from 2 to the number of terms.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7). The seed that was used is in ``result.settings["seed"]``.
    distance : {"kl", "tv"} or several of them, optional

    Returns
    -------
    SamplingQuality
        Its distances have the shape of ``theta`` without the last axis.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    NotApplicable
        For a scheme without probabilities in closed form.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [2.0], [3.0], [4.0]], [1.0, 1.0, 2.0, 0.0])
    >>> run = ds.iterate(problem, ds.SGD(0.02), x0=3.0, n_steps=50, n_paths=8, rng=0)
    >>> quality = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), run, n_items=3, rng=0)
    >>> quality.distances["kl"].scheme.shape, quality.distances["kl"].nearer
    ((8, 51), 1.0)
    """
    check_problem(problem)
    _check.instance("scheme", scheme, Sampling, "a scheme, such as sampling.GradientNorm()")
    points, alive = _points(problem, theta)
    n_items = _check.count("n_items", n_items, least=2)
    if n_items > problem.n_terms:
        raise ArgumentError(f"n_items must be at most the number of terms, {problem.n_terms}, got {n_items}")
    names = _names(distance)
    seed, key = seed_and_key(rng)
    found = _distances(problem, scheme, points[alive], n_items, names, np.random.Generator(np.random.Philox(key=key)))
    values = np.full((len(names), 2, *alive.shape), np.nan)
    values[:, :, alive] = found
    settings = {"problem": problem.name, "scheme": repr(scheme), "n_items": n_items, "seed": seed}
    return SamplingQuality({name: Distances(*pair) for name, pair in zip(names, values, strict=True)}, settings)


def _names(distance):
    names = (distance,) if isinstance(distance, str) else distance
    if not isinstance(names, Sequence) or not names:
        allowed = " or ".join(map(repr, _DISTANCES))
        raise ArgumentError(f"distance must be {allowed}, or a sequence of these, got {distance!r}")
    return [_check.choice("distance", name, tuple(_DISTANCES)) for name in names]


def _points(problem, theta):
    """The points (..., k, dim), and which of them (..., k) are to be looked at."""
    diverged = getattr(theta, "diverged", None)
    points = _check.points("theta", getattr(theta, "x", theta), problem.dim)
    if points.ndim not in (2, 3):
        raise ArgumentError(
            f"theta must be Trajectories or have shape (k, {problem.dim}) or (n_paths, k, {problem.dim}), "
            f"got {points.shape}"
        )
    alive = np.isfinite(points).all(axis=-1)
    if diverged is not None:
        alive &= theta.t < diverged[:, None]
    if not alive.any():
        raise ArgumentError(f"theta must have at least one finite point, got shape {points.shape}")
    return points, alive


def _distances(problem, scheme, points, n_items, names, generator):
    """Distances of p̃ and ũ at points (k, dim), shape (names, 2, k)."""
    result = np.empty((len(names), 2, len(points)))
    size = max(1, _AT_ONCE // (problem.n_terms * problem.dim))
    for first in range(0, len(points), size):
        part = slice(first, first + size)
        theta = points[part]
        # the places of the least of n uniform numbers are a set without replacement
        chosen = generator.random((len(theta), problem.n_terms)).argpartition(n_items - 1, axis=1)[:, :n_items]
        weights = problem.weights[chosen]
        uniform = _normalized(weights, weights)
        best = _normalized(np.take_along_axis(weighted_norms(problem, theta), chosen, axis=1), uniform)
        p = _normalized(np.take_along_axis(scheme.probabilities(problem, theta), chosen, axis=1), uniform)
        for name, values in zip(names, result, strict=True):
            values[0, part] = _DISTANCES[name](p, best)
            values[1, part] = _DISTANCES[name](uniform, best)
    return result


def _normalized(values, fallback):
    """Values over their sum, floored; ``fallback`` where all are 0."""
    p = np.maximum(by_norm(values, fallback), _FLOOR)
    return p / p.sum(axis=-1, keepdims=True)


def _mean(values):
    """Mean of what is not NaN, each path (first axis of two) counting alike, and its standard error."""
    if values.ndim == 2:
        values = values[~np.isnan(values).all(axis=1)]
    means = np.nanmean(values, axis=1) if len(values) > 1 and values.ndim == 2 else values[~np.isnan(values)]
    stderr = means.std(ddof=1) / np.sqrt(means.size) if means.size > 1 else np.nan
    return float(means.mean()), float(stderr)
