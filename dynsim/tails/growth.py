"""The empirical variance against the sample size: whether it settles."""

from dataclasses import dataclass, field

import numpy as np

from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.tails.values import real_array

_GROUPS = 20  # independent parts of the sample, from whose scatter the slope has its error
_LEAST = 32  # values in the smallest subsample by default
_SIZES = 12
_FEWEST = _GROUPS * 2 * _LEAST
_RUNNING = 200  # sample sizes at which the variance of the first values is kept
_LARGE = 0.2  # variance of the logarithm: that of exponential values in the smallest default subsample
_CHANCE = 2  # standard errors by which slopes over all sizes and the larger half may differ
_SPREAD = (0.1, 0.5, 0.9)


@dataclass(frozen=True, eq=False)
class VarianceGrowth:
    """How the empirical variance depends on the sample size, from :func:`dynsim.tails.variance_growth`.

    Attributes
    ----------
    sizes : ndarray of int, shape (m,)
        Values in a subsample.
    low, median, high : ndarray, shape (m,)
        The 10, 50 and 90 % points of the variance over disjoint subsamples of that size.
    slope, slope_stderr : float
        Of the typical logarithm of the variance against that of the size, with its standard error by leaving out
        each of 20 parts of the sample, widened by what the slope over the upper half of the sizes differs beyond two
        errors of that: in large samples 0 if the variance is finite, 2/α − 1 for a tail index α < 2.
    running_sizes, running : ndarray, shape (r,)
        Variance of the first values, in a random order, up to all.
    settings : dict
        What was asked for, and the seed.
    """

    sizes: np.ndarray
    low: np.ndarray = field(repr=False)
    median: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    slope: float
    slope_stderr: float
    running_sizes: np.ndarray = field(repr=False)
    running: np.ndarray = field(repr=False)
    settings: dict = field(repr=False)

    @property
    def tail_index(self) -> float:
        """The α < 2 that the slope stands for, 2/(1 + slope); for a slope of 0 or less, 2, which says "2 or more"."""
        return 2 / (1 + max(self.slope, 0.0))

    def plot(self, ax=None, **style):
        """Draw the median and its band against the size, the fitted slope and the running variance; return the Axes."""
        from dynsim.plot import plot_variance_growth

        return plot_variance_growth(self, ax, **style)


def variance_growth(values: ArrayLike, *, sizes: ArrayLike | None = None, rng: Seed = 0) -> VarianceGrowth:
    r"""The empirical variance of subsamples against their size, with the slope on logarithmic axes (Z Fig. 4-1 d, h).

    For a tail P(\|X\| > x) ~ x^{−α} with α < 2, X² has the index α/2 < 1, so that the sum of n squares grows as n^{2/α}
    and the empirical variance as n^{2/α − 1} S, with S positive and stable of index α/2: its mean is infinite, but its
    median is finite, as is E log of it, and both grow with slope

        2/α − 1:  1 for Cauchy, 1/3 for α = 1.5, 0 for finite variance.

    The whole sample in one order, as in Z's figure, shows jumps instead.

    A finite variance gives 0 only where subsamples show it. As long as their variances scatter by more than some ten
    percent they are mostly below it, and the slope is above 0: with 2 < α < 4 at any usual size, and for other skewed
    or heavy laws in small samples. Measured means of slope and of its stated error, at the default sizes:

    ==================================== =============== ===============
    law                                  n = 2 000       n = 20 000
    ==================================== =============== ===============
    normal, uniform                      0.000 ± 0.008   0.000 ± 0.001
    exponential, product of two normals  0.01 ± 0.03     0.002 ± 0.003
    Student, 3 degrees of freedom        0.06 ± 0.05     0.03 ± 0.02
    lognormal, σ = 1                     0.20 ± 0.06     0.09 ± 0.05
    stable, 1.8 (slope 0.11)             0.12 ± 0.08     0.11 ± 0.05
    ==================================== =============== ===============

    Parameters
    ----------
    values : array_like, shape (n,) or (n, dim)
        At least 1 280; of vectors, the trace of the covariance matrix, E‖X − EX‖². They are put into a random order:
        the result is about their law, not about their dependence.
    sizes : array_like of int, shape (m,), optional
        Increasing, from 2 to n/20; by default from 32 on, evenly spaced on a logarithmic axis.
    rng : int, SeedSequence, Generator or None, optional
        For the order (SPEC 7).

    Returns
    -------
    VarianceGrowth

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or a subsample has no variance, so that its logarithm has no slope.

    Examples
    --------
    >>> import dynsim as ds
    >>> growth = ds.tails.variance_growth(ds.noise.StudentT(df=1.0).sample(20_000, rng=0))
    >>> abs(growth.slope - 1) < 2 * growth.slope_stderr
    True
    """
    values = real_array("values", values, ndim=2 if np.ndim(values) == 2 else 1)
    if len(values) < _FEWEST:
        raise ArgumentError(f"values must be at least {_FEWEST} for a slope with an error, got {len(values)}")
    sizes = _sizes(sizes, len(values) // _GROUPS)
    seed, key = seed_and_key(rng)
    order = np.random.default_rng(key).permutation(len(values))
    x = values.reshape(len(values), -1)[order]
    x, largest = _scaled(x)  # so that no square overflows
    x, scale = _scaled(x - np.median(x, axis=0))
    scale *= largest
    per_group = len(x) // _GROUPS
    groups = x[: _GROUPS * per_group].reshape(_GROUPS, per_group, -1)
    quantiles, levels = np.empty((sizes.size, 3)), np.empty((sizes.size, _GROUPS + 1))
    for k, size in enumerate(sizes.tolist()):
        parts = groups[:, : per_group // size * size].reshape(_GROUPS, -1, size, x.shape[1])
        variances = parts.var(axis=2, ddof=1).sum(axis=2)
        if not variances.all():
            raise ArgumentError(
                f"values must vary within each subsample, but all {size} of one are equal: "
                + ("they are all the same" if not x.any() else "give larger sizes")
            )
        quantiles[k], levels[k] = np.quantile(variances, _SPREAD), _levels(np.log(variances))
    slope, slope_stderr = _slope(np.log(sizes), levels)
    running_sizes = np.unique(np.geomspace(2, len(x), _RUNNING).round().astype(np.int64))
    count = running_sizes[:, None]
    squares = np.cumsum(x**2, axis=0)[running_sizes - 1] - np.cumsum(x, axis=0)[running_sizes - 1] ** 2 / count
    running = (np.maximum(squares, 0.0) / (count - 1)).sum(axis=1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        low, median, high, running = (x * scale * scale for x in (*quantiles.T, running))
    if not (np.isfinite(high).all() and np.isfinite(running).all() and low.all()):
        raise ArgumentError(
            f"values must have squares between 1e-308 and 1e308 for a variance, but are up to {scale:.3g} from their "
            "median: divide them by that"
        )
    return VarianceGrowth(
        sizes=sizes,
        low=low,
        median=median,
        high=high,
        slope=slope,
        slope_stderr=slope_stderr,
        running_sizes=running_sizes,
        running=running,
        settings={"n": len(values), "dim": x.shape[1], "seed": seed},
    )


def _scaled(x):
    """The same divided by the largest, which is 1 then, and that."""
    largest = float(np.abs(x).max()) or 1.0
    return x / largest, largest


def _slope(logs, levels):
    """The slope of levels (m, groups + 1) against the log of the sizes (m,), with its error."""
    upper = slice(min(logs.size // 2, logs.size - 2), None)
    slopes = []
    for part in (slice(None), upper):
        x = logs[part] - logs[part].mean()
        slopes.append(x @ levels[part] / (x @ x))
    whole, bend = slopes[0], slopes[1] - slopes[0]
    error, chance = (np.std(x[1:]) * np.sqrt(_GROUPS - 1) for x in (whole, bend))
    return float(whole[0]), float(np.hypot(error, max(abs(bend[0]) - _CHANCE * chance, 0.0)))


def _levels(logs):
    """Mean + ½ variance of the logarithms (groups, c), of all and with each group left out, (groups + 1,).

    That is log E of the variance, which does not depend on the size, up to third cumulants: for normal values it takes
    away the −1/size that the mean of log χ² has. Where the variance is large, tails are heavy, and it does not depend
    on the size: it would only add noise.
    """
    center = logs.mean()
    sums = np.stack(
        [np.full(len(logs), logs.shape[1]), (logs - center).sum(axis=1), ((logs - center) ** 2).sum(axis=1)]
    )
    total = sums.sum(axis=1, keepdims=True)
    count, first, second = np.hstack([total, total - sums])
    return center + first / count + 0.5 * np.minimum((second - first**2 / count) / (count - 1), _LARGE)


def _sizes(sizes, most):
    if sizes is None:
        return np.unique(np.geomspace(_LEAST, most, _SIZES).round().astype(np.int64))
    given = real_array("sizes", sizes, ndim=1)
    whole = np.clip(given, 0, most + 1).astype(np.int64)
    if whole.size < 2 or (whole != given).any() or whole[0] < 2 or whole[-1] > most or (np.diff(whole) <= 0).any():
        raise ArgumentError(
            f"sizes must be at least two increasing whole numbers from 2 to {most}, the number of values / {_GROUPS}"
        )
    return whole
