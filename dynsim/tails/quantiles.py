"""Quantiles of a sample against those of a law."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.tails.values import real_array

_FEWEST = 10
_ALL, _EACH_END = 300, 100  # up to so many values all are shown; of more, so many farthest out and as many within
_QUARTILES = np.array([0.25, 0.5, 0.75])


@dataclass(frozen=True, eq=False)
class QuantileQuantile:
    """Order statistics of a sample beside the quantiles of a law, from :func:`dynsim.tails.qq`.

    Attributes
    ----------
    probabilities : ndarray, shape (m,)
        (i − ½)/n of the order statistics shown: all of up to 300, else the outermost 100 of each end and 100 between.
    law_quantiles : ndarray, shape (m,)
        The law's at these.
    values : ndarray, shape (m,)
        The order statistics, in the law's units.
    low, high : ndarray, shape (m,)
        Between which each of them lies with the given confidence, if the law is the right one: pointwise, not jointly.
    location, scale : float
        ``values`` are (sample − location)/scale.
    n : int
        Size of the sample.
    name : str
        The law.
    confidence : float
    """

    probabilities: np.ndarray = field(repr=False)
    law_quantiles: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    location: float
    scale: float
    n: int
    name: str
    confidence: float

    @property
    def outside(self) -> np.ndarray:
        """Which of the values lie outside their band, (m,)."""
        return (self.values < self.low) | (self.values > self.high)

    def plot(self, ax=None, **style):
        """Draw the values against the law's quantiles, with the band; return the Axes."""
        from dynsim.plot import plot_quantiles

        return plot_quantiles(self, ax, **style)


def qq(
    values: ArrayLike,
    law: Any = "gaussian",
    *,
    location: float | None = None,
    scale: float | None = None,
    confidence: float = 0.95,
) -> QuantileQuantile:
    """The quantiles of a sample against those of a law, with pointwise bands.

    Of n independent values with distribution function F the i-th smallest is F⁻¹(U), U ~ Beta(i, n + 1 − i): the band
    is F⁻¹ of the beta quantiles. By default the sample is shifted and scaled so that its median and the distance of its
    quartiles are those of the law, which heavy tails cannot disturb; bands are then a little too wide in the middle.

    Parameters
    ----------
    values : array_like, shape (n,)
        At least 10.
    law : "gaussian" or an object with a method ``quantile``, optional
        The standard normal law, or one of :mod:`dynsim.noise`, such as ``noise.AlphaStable(1.5)``.
    location, scale : float, optional
        Compare (values − location)/scale with the law instead: 0 and 1 to take both as they are.
    confidence : float, optional
        Of the bands, between 0 and 1.

    Returns
    -------
    QuantileQuantile

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or the sample or the law has no distance between its quartiles.

    Examples
    --------
    >>> import dynsim as ds
    >>> noise = ds.noise.StudentT(df=2.0)
    >>> sample = noise.sample(1000, rng=2)
    >>> against = [ds.tails.qq(sample, law) for law in ("gaussian", noise)]
    >>> [round(float(found.outside.mean()), 2) for found in against]
    [0.73, 0.0]
    """
    from scipy.special import betaincinv, ndtri

    sample = np.sort(real_array("values", values, ndim=1))
    n = sample.size
    if n < _FEWEST:
        raise ArgumentError(f"values must be at least {_FEWEST}, got {n}")
    name, quantile = _law(law, ndtri)
    location, scale = _standard(sample, quantile, location, scale)
    tail = 0.5 - 0.5 * _check.between("confidence", confidence, 0, 1)
    rank = np.arange(1, n + 1)
    if n > _ALL:
        middle = np.linspace(_EACH_END + 1, n - _EACH_END, _EACH_END).round().astype(np.int64)
        rank = np.concatenate([rank[:_EACH_END], middle, rank[-_EACH_END:]])
    p = (rank - 0.5) / n
    low, high = (quantile(betaincinv(rank, n + 1 - rank, q)) for q in (tail, 1 - tail))
    shown = (sample[rank - 1] - location) / scale
    return QuantileQuantile(p, quantile(p), shown, low, high, location, scale, n, name, float(confidence))


def _law(law, ndtri):
    """The name of a law, and its quantiles."""
    if isinstance(law, str):
        _check.choice("law", law, ("gaussian",))
        return "Gaussian", ndtri
    if not callable(getattr(law, "quantile", None)):
        raise ArgumentError(
            f"law must be 'gaussian' or have a method quantile, as those of dynsim.noise, got {type(law).__name__}"
        )

    def quantile(p):
        found = np.asarray(law.quantile(p), dtype=np.float64)
        if found.shape != p.shape or np.isnan(found).any():
            raise ArgumentError(f"law must have a quantile for each probability, {law!r} has not")
        return found

    if np.ndim(getattr(law, "scale", 0.0)):
        raise ArgumentError(f"law must be that of one number, got {law!r} with a scale for each coordinate")
    return repr(law), quantile


def _standard(sample, quantile, location, scale):
    """Location and scale, given or by the quartiles."""
    low, middle, high = quantile(_QUARTILES)
    first, median, third = np.quantile(sample, _QUARTILES)
    if scale is None:
        if not (third > first and high > low):
            whose = "values" if third == first else "law"
            raise ArgumentError(f"{whose} must have distinct quartiles to be scaled by, or give scale=1")
        scale = (third - first) / (high - low)
    scale = _check.positive("scale", float(scale))
    location = median - scale * middle if location is None else _check.real("location", location)
    return float(location), scale
