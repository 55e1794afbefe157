"""Overdamped motion between two wells."""

import math

import numpy as np

from dynsim import _check
from dynsim.sdes.exact import NODES, ExactSDE, integral, positive

_NEGLIGIBLE = 700.0  # e^−700 is almost the smallest floating-point number
_PANELS = 256  # at least


def double_well(depth: float = 1.0, width: float = 1.0, noise: float = 1.0) -> ExactSDE:
    """Overdamped motion dX = −V'(X) dt + σ dW between the wells ±width of V(x) = depth ((x/width)² − 1)².

    The stationary density is proportional to exp(−2V/σ²); depth is the height of the barrier.

    Parameters
    ----------
    depth, width, noise : float
        Height of V(0) above the wells, their distance from 0, and σ, all positive.

    Returns
    -------
    ExactSDE
        With ``stationary``, by quadrature, and a ``mean_first_passage`` from well to well that grows like
        exp(2 depth/σ²).

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.sdes.double_well(depth=1.0, noise=0.7)
    >>> sde.stationary().std().round(4).item(), round(sde.mean_first_passage(x0=-1.0, target=1.0), 2)
    (0.9589, 74.93)
    """
    depth, width, noise = positive(depth=depth, width=width, noise=noise)
    return ExactSDE(
        "double well",
        _downhill,
        _constant_noise,
        (depth, width, noise),
        transition="the transition law of the double well is not known in closed form",
        stationary=lambda: _quartic_law(2 * depth / noise**2, width),
    )


def _downhill(t, x, params):
    depth, width, _ = params
    u = x[0] / width
    return -4 * depth / width * u * (u**2 - 1)


def _constant_noise(t, x, params):
    return params[2]


def _quartic_law(steepness, width):
    """The law with a density proportional to exp(−steepness ((x/width)² − 1)²), as a frozen SciPy distribution."""
    from scipy.stats import rv_continuous

    end = width * math.sqrt(1 + math.sqrt(_NEGLIGIBLE / steepness))
    n = max(_PANELS, math.ceil(2 * end / width * math.sqrt(8 * steepness)))  # one standard deviation or less
    _check.fits_in_memory("the quadrature", (n, NODES, 4), instead="use more noise")
    edges = np.linspace(-end, end, n + 1)

    def weight(x):
        return np.exp(-steepness * ((x / width) ** 2 - 1) ** 2)

    below = np.append(0.0, np.cumsum(integral(weight, edges[:-1], edges[1:])))
    total = below[-1]

    class Quartic(rv_continuous):
        def _logpdf(self, x):
            return -steepness * ((x / width) ** 2 - 1) ** 2 - math.log(total)

        def _pdf(self, x):
            return weight(x) / total

        def _cdf(self, x):
            k = np.clip(np.searchsorted(edges, x) - 1, 0, n - 1)
            return (below[k] + integral(weight, edges[k], x)) / total

        def _sf(self, x):
            return self._cdf(-x)

        def _ppf(self, q):
            k = np.clip(np.searchsorted(below, q * total) - 1, 0, n - 1)
            low, high = edges[k], edges[k + 1]
            for _ in range(40):  # to 1e-12 of a panel
                middle = 0.5 * (low + high)
                less = self._cdf(middle) < q
                low, high = np.where(less, middle, low), np.where(less, high, middle)
            return 0.5 * (low + high)

        def _stats(self):
            variance = integral(lambda x: x**2 * weight(x), edges[:-1], edges[1:]).sum() / total
            return 0.0, variance, 0.0, None

    return Quartic(a=-end, b=end, name="double_well")()
