"""Correlation dimension of an attractor, from pairs of points on it."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, TooShort
from dynsim.results.common import xarray_module

_PER_DECADE = 16  # radii
_FINEST = 1e-9  # smallest radius, in diameters of the set: far above rounding
_LEAST_EXTENT = 1e-4  # relative to coordinates: 1e-9 of it is above their rounding
_PAIRS = 1000  # pairs at the lower end of the scaling range: a standard error of 3 % if they were independent
_SHARE = 0.01  # of all pairs at its upper end, so that edges matter little
_LEAST_GAIN = 10  # the range must span such a factor in C
_LEAST_RADII = 4
_BLOCKS = 16  # of consecutive points, left out one at a time
_LEAST_POINTS = 100
_SAMPLE = 1000  # points that show how large radii need be


@dataclass(frozen=True, eq=False, repr=False)
class CorrelationDimension:
    """Correlation dimension D₂, from :func:`dynsim.dynamics.correlation_dimension`.

    Attributes
    ----------
    value : float
        Slope of log C(r) against log r over the scaling range, by least squares.
    stderr : float
        Its standard error, by leaving out one sixteenth of the points at a time. √2 times too large where few close
        pairs are what it hangs on, as for points drawn independently (Efron and Stein 1981, Ann. Statist. 9, 586-596).
    spread : float
        Largest difference from ``value`` of the slopes over the lower half, the middle half and the upper half of
        log r in the range: what edges, lacunarity and too few points do, beyond ``stderr``.
    takens, takens_stderr : float
        Takens' maximum-likelihood estimate −1/mean log(d/r_1) over all pairs with distance d below the upper end r_1.
    radii : ndarray, shape (n_radii,)
        r, ascending.
    correlation : ndarray, shape (n_radii,)
        C(r), the share of pairs no further apart than r.
    correlation_stderr : ndarray, shape (n_radii,)
        Its standard error.
    scaling_range : tuple of float
        Ends (r_0, r_1); both nan for a finite set.
    n_points : int
        On a finite set, such as a cycle, the number of different points, 1/C(0); 0 if the set is not finite.
    n_pairs : int
        All pairs that were counted.
    settings : dict
        What was asked for.
    """

    value: float
    stderr: float
    spread: float
    takens: float
    takens_stderr: float
    radii: np.ndarray = field(repr=False)
    correlation: np.ndarray = field(repr=False)
    correlation_stderr: np.ndarray = field(repr=False)
    scaling_range: tuple[float, float]
    n_points: int
    n_pairs: int
    settings: dict = field(repr=False)

    def plot(self, ax=None, **style):
        """Draw C(r) with the fitted slope, both axes logarithmic, and return the Axes."""
        from dynsim.plot import plot_correlation_dimension

        return plot_correlation_dimension(self, ax, **style)

    def to_xarray(self):
        """C(r) as an ``xarray.Dataset`` (needs the extra ``xarray``)."""
        names = ("value", "stderr", "spread", "takens", "takens_stderr")
        return xarray_module().Dataset(
            {name: ("r", getattr(self, name)) for name in ("correlation", "correlation_stderr")},
            coords={"r": self.radii},
            attrs={name: getattr(self, name) for name in names},
        )

    def __repr__(self):
        if self.n_points:
            return f"CorrelationDimension(0: a finite set of {self.n_points} points)"
        low, high = self.scaling_range
        return (
            f"CorrelationDimension({self.value:.4g} ± {self.stderr:.2g}, spread {self.spread:.2g}, "
            f"over r = {low:.2g} … {high:.2g}; Takens {self.takens:.4g} ± {self.takens_stderr:.2g})"
        )


def correlation_dimension(
    points: ArrayLike, *, theiler: int = 0, scaling_range: tuple[float, float] | None = None
) -> CorrelationDimension:
    """Correlation dimension D₂ = lim log C(r)/log r of the measure that an orbit fills: Grassberger and Procaccia.

    ``C(r)`` is the share of pairs of points at a distance of at most r. The scaling range goes from the radius that
    1000 pairs lie within to that of 1 % of all pairs, on a grid of 16 radii per decade: wide, as C(r) of a fractal
    oscillates about a power of r, but clear of the edges of the set. It must span a factor of 10 in C, which takes
    1415 points; D₂ beyond 2 log₁₀ n cannot show in n points, and much less than this can be told. With a singular
    density, such as 1/√x at the ends of an interval, slopes approach D₂ slowly: look at ``spread`` and ``plot``.

    Parameters
    ----------
    points : array_like, shape (n, dim) or (n_paths, n, dim)
        On the attractor, without what comes before, in the order of time. Pairs on different paths count. Distances are
        Euclidean: an angle must be given as the two coordinates cos and sin of it, as in the example.
    theiler : int, optional
        Pairs on one path up to so many steps apart do not count: those that are close because the orbit has not
        moved away yet. For a flow, take the time after which it has forgotten where it was; for maps 0 will do.
    scaling_range : pair of float, optional
        Ends r_0 < r_1 to use instead.

    Returns
    -------
    CorrelationDimension
        Where 1000 pairs coincide, within 1e-9 of the diameter, the set is finite and the dimension 0: a cycle.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    TooShort
        If the scaling range spans less than a factor of 10 in C, or fewer than 4 radii.

    Source: Grassberger and Procaccia (1983), Physica D 9, 189-208; Theiler (1986), Phys. Rev. A 34, 2427;
    Takens (1985), Lecture Notes in Mathematics 1125.

    See Also
    --------
    dynsim.invariant_measure : its ``details["verdict"]`` tells the same of a law on cells, in one or two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.dynamics import correlation_dimension
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 3000)
    >>> circle = correlation_dimension(np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    >>> round(circle.value, 2)
    1.0
    """
    points, theiler = _points(points), _check.count("theiler", theiler, least=0)
    if theiler >= points.shape[1] - 1:
        raise ArgumentError(f"theiler must leave pairs on paths of {points.shape[1]} points, got {theiler}")
    if scaling_range is not None:
        scaling_range = _check.interval("scaling_range", scaling_range)
        if not scaling_range[0] > 0:
            raise ArgumentError(f"scaling_range must be positive, got {scaling_range}")
    extent = float(np.linalg.norm(np.ptp(points.reshape(-1, points.shape[-1]), axis=0)))
    size = max(extent, _LEAST_EXTENT * float(np.abs(points).max()))
    radii = _radii(points, size, scaling_range)
    counts = _leaving_out(*_pair_counts(points, np.append(radii, np.inf), theiler))
    settings = {"shape": points.shape, "theiler": theiler, "scaling_range": scaling_range}
    return _result(radii, counts, settings)


def _points(points):
    """Paths of points (n_paths, n, dim)."""
    points = _check.array("points", points, ndim=np.ndim(points) if np.ndim(points) in (2, 3) else 2)
    points = points if points.ndim == 3 else points[None]
    n = points.shape[0] * points.shape[1]
    if n < _LEAST_POINTS or points.shape[2] == 0:
        raise ArgumentError(f"points must be at least {_LEAST_POINTS} of shape (n, dim), got {n} of {points.shape[2]}")
    return points


def _radii(points, size, scaling_range):
    """The grid of radii, up to where a few percent of the pairs lie within: beyond, counts cost most, to no use."""
    if size == 0:  # all points are 0
        size = 1.0
    radii = size * np.geomspace(_FINEST, 1, round(-np.log10(_FINEST)) * _PER_DECADE + 1)
    some = points.reshape(-1, points.shape[-1])
    top = np.quantile(pdist(some[:: -(-len(some) // _SAMPLE)]), 3 * _SHARE)
    if scaling_range is not None:
        top = max(top, scaling_range[1])
    elif top < 10 * radii[0]:  # a finite set
        top = size
    return radii[: np.searchsorted(radii, top) + 1]


def _pair_counts(points, radii, theiler):
    """Ordered pairs within each radius whose first point lies in a block, and those with both in it, (b, r) each."""
    m, n, dim = points.shape
    x = points.reshape(m * n, dim)
    block = np.arange(m * n) * _BLOCKS // (m * n)
    finite = np.isfinite(radii)
    tree = cKDTree(x)
    touching, inside = np.empty((2, _BLOCKS, radii.size))
    for b in range(_BLOCKS):
        own = cKDTree(x[block == b])
        touching[b, finite], inside[b, finite] = (own.count_neighbors(t, radii[finite]) for t in (tree, own))
        touching[b, ~finite], inside[b, ~finite] = own.n * tree.n, own.n**2
        touching[b] -= own.n  # each point with itself
        inside[b] -= own.n
    block = block.reshape(m, n)
    for lag in range(1, theiler + 1):
        first, second = block[:, :-lag].ravel(), block[:, lag:].ravel()
        distance = np.linalg.norm(points[:, lag:] - points[:, :-lag], axis=-1).ravel()
        place = np.searchsorted(radii, distance)
        both = first == second
        touching -= _tally(first, place, radii.size) + _tally(second, place, radii.size)
        inside -= 2 * _tally(first[both], place[both], radii.size)
    return touching, inside


def _tally(block, place, n_radii):
    """How many pairs of each block are within each radius."""
    each = np.bincount(block * n_radii + place, minlength=_BLOCKS * n_radii)
    return np.cumsum(each.reshape(_BLOCKS, n_radii), axis=1)


def _leaving_out(touching, inside):
    """Unordered pairs within each radius: all of them first, then those left without each block, (1 + b, r)."""
    total = touching.sum(axis=0)
    return np.concatenate([total[None], total - 2 * touching + inside]) / 2


def _result(radii, counts, settings):
    """Slopes and errors from the counts."""
    C = counts[:, :-1] / counts[:, -1:]
    n_pairs = int(counts[0, -1])
    common = {"radii": radii, "correlation": C[0], "correlation_stderr": _jackknife(C[1:]), "n_pairs": n_pairs}
    chosen = settings["scaling_range"]
    if chosen is None and counts[0, 0] >= _PAIRS:
        zeros = dict.fromkeys(("value", "stderr", "spread", "takens", "takens_stderr"), 0.0)
        distinct = max(round(1 / C[0, 0]), 1)
        return CorrelationDimension(
            **zeros, **common, scaling_range=(np.nan, np.nan), n_points=distinct, settings=settings
        )
    low, high = chosen if chosen is not None else _scaling_range(radii, counts[0, :-1], n_pairs)
    inside = np.flatnonzero((radii >= low) & (radii <= high) & (C.min(axis=0) > 0))
    _refuse_narrow(radii[inside], n_pairs, (low, high), settings)
    log_r, log_C = np.log(radii[inside]), np.log(C[:, inside])
    slopes = _slopes(log_r, log_C)
    quarter = max(inside.size // 4, 1)
    parts = [slice(0, 2 * quarter + 1), slice(quarter, 3 * quarter + 1), slice(-2 * quarter - 1, None)]
    spread = max(abs(_slopes(log_r[part], log_C[:1, part])[0] - slopes[0]) for part in parts)
    takens = _takens(radii[: inside[-1] + 1], C[:, : inside[-1] + 1])
    return CorrelationDimension(
        value=float(slopes[0]),
        stderr=float(_jackknife(slopes[1:])),
        spread=float(spread),
        takens=float(takens[0]),
        takens_stderr=float(_jackknife(takens[1:])),
        **common,
        scaling_range=(float(radii[inside[0]]), float(radii[inside[-1]])),
        n_points=0,
        settings=settings,
    )


def _refuse_narrow(radii, n_pairs, ends, settings):
    """Refuse a scaling range that tells no slope."""
    n = settings["shape"][0] * settings["shape"][1]
    if settings["scaling_range"] is None and (radii.size < _LEAST_RADII or _SHARE * n_pairs < _LEAST_GAIN * _PAIRS):
        raise TooShort(
            f"{n} points do not resolve a scaling range: {_PAIRS} pairs lie within {ends[0]:.3g} and {_SHARE:.0%} of "
            f"all within {ends[1]:.3g}; take more points, or choose scaling_range yourself"
        )
    if radii.size < _LEAST_RADII:
        raise TooShort(
            f"scaling_range must hold at least {_LEAST_RADII} radii, {_PER_DECADE} to the decade, with pairs of "
            f"the {n} points within each, got {radii.size} in ({ends[0]:g}, {ends[1]:g})"
        )


def _scaling_range(radii, counts, n_pairs):
    """The first radius with enough pairs, and the last with few enough."""
    first = min(int(np.searchsorted(counts, _PAIRS)), radii.size - 1)
    last = max(int(np.searchsorted(counts, _SHARE * n_pairs, side="right")) - 1, 0)
    return radii[first], radii[last]


def _slopes(x, y):
    """Least-squares slopes of rows y (k, n) against x (n,)."""
    x = x - x.mean()
    return y @ x / (x @ x)


def _takens(radii, C):
    """C(r_1)/∫ C d(log r) up to r_1, with C a power of r between the radii, for rows C (k, n)."""
    log_ratio = np.log(radii[1:] / radii[:-1])
    low, high = C[:, :-1], C[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.log(high / low)
        area = np.where(growth > 0, (high - low) / growth, low) * log_ratio  # low where both agree, 0 where low is 0
    return C[:, -1] / area.sum(axis=1)


def _jackknife(left_out):
    """Standard error from the values without each block."""
    b = left_out.shape[0]
    return np.sqrt((b - 1) / b * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
