"""What the laws of noise have in common."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LANES = 4096  # pairs of draws made at once: few enough to stay in the cache


class Noise:
    """Base of the laws of noise: ξ_j = s_j X_j in coordinate j, the X_j independent with the same law.

    Attributes
    ----------
    scale : float or tuple of float
        s: one for all coordinates, or one for each. With one for each, x and the like have shape (..., dim).
    components_per_coordinate : int
        Threefry components that the kernel takes for a draw in each of two steps.
    """

    scale: ArrayLike
    components_per_coordinate = 1

    @property
    def tail_index(self) -> float:
        """The supremum of all q with finite E|ξ|^q; inf where all are finite."""
        return np.inf

    @property
    def mean(self) -> float:
        """The mean of a coordinate: 0, ±inf where it is infinite, nan where there is none."""
        return 0.0 if self.tail_index > 1 else np.nan

    @property
    def variance(self) -> np.ndarray:
        """The variance of the coordinates, () or (dim,); inf where it is infinite."""
        return self.moment(2.0)

    def moment(self, order: float) -> np.ndarray:
        """E|ξ_j|^order of the coordinates, () or (dim,); inf where it is infinite.

        Parameters
        ----------
        order : float
            Positive, not necessarily whole.
        """
        order = _check.positive("order", order)
        try:
            unit = self._moment(order) if order < self.tail_index else np.inf
        except OverflowError:
            unit = np.inf  # finite, but larger than any double
        return unit * self._scales**order

    def pdf(self, x: ArrayLike) -> np.ndarray:
        """Probability density at x: (...) -> (...)."""
        return self._law().pdf(self._numbers_like_scales("x", x) / self._scales) / self._scales

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(ξ ≤ x): (...) -> (...)."""
        return self._law().cdf(self._numbers_like_scales("x", x) / self._scales)

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The x with P(ξ ≤ x) = q: (...) -> (...), nan for q outside [0, 1]."""
        return self._law().ppf(self._numbers_like_scales("q", q)) * self._scales

    def sample(self, shape: int | tuple[int, ...], rng: Seed = None) -> np.ndarray:
        """Draw numbers with the kernel that draws them in a run.

        Parameters
        ----------
        shape : int or tuple of int
            Ends with dim where ``scale`` is one for each coordinate.
        rng : int, SeedSequence, Generator or None, optional
            Source of randomness (SPEC 7).

        Returns
        -------
        ndarray of this shape
        """
        sizes = tuple(_check.count("shape", n, least=0) for n in (shape if isinstance(shape, tuple) else (shape,)))
        if sizes[-1:] != self._scales.shape and self._scales.ndim:
            raise ArgumentError(f"shape must end with {self._scales.size}, the number of scales, got {shape}")
        _check.fits_in_memory("the sample", (2, *sizes), instead="ask for fewer numbers")
        kernel, key, dim = self.kernel, seed_and_key(rng)[1], self._scales.size
        params = self.params(dim)
        pairs = -(-math.prod(sizes) // (2 * dim))
        result = np.empty((pairs, 2, dim))
        for first in range(0, pairs, _LANES):
            block = np.empty((2, dim, min(_LANES, pairs - first)))
            kernel(key, first, 0, 0, params, block[0], block[1])
            result[first : first + _LANES] = block.transpose(2, 0, 1)
        return result.ravel()[: math.prod(sizes)].reshape(sizes)

    def plot(self, ax: "Axes | None" = None, **style: Any) -> "Axes":
        """Draw the density of ξ/scale, or the probabilities of ``TwoPoint``, on a logarithmic axis; return the Axes."""
        from dynsim.plot import plot_noise

        return plot_noise(self, ax, **style)

    @property
    def kernel(self):
        """What fills blocks: ``kernel(key, path, pair, first, params, even, odd)`` of :mod:`dynsim._kernels.noise`."""
        from dynsim._kernels import noise

        return noise.compiled(getattr(noise, self._kernel_name()))

    def params(self, dim: int) -> np.ndarray:
        """What the kernel is told: the law's own numbers, then the scales of ``dim`` coordinates."""
        if self._scales.shape not in ((), (dim,)):
            raise ArgumentError(f"scale has {self._scales.size} numbers, one for each coordinate, but dim is {dim}")
        numbers, factor = self._own_params()
        return np.concatenate([numbers, factor * np.broadcast_to(self._scales, dim)])

    @property
    def _scales(self) -> np.ndarray:
        return np.asarray(self.scale, dtype=np.float64)

    def _keep_scale(self):
        scales = self.scale if np.ndim(self.scale) == 0 else _check.array("scale", self.scale, ndim=1)  # type: ignore
        if np.ndim(scales) == 0:
            scale = _check.positive("scale", scales)
        elif len(scales) and (scales > 0).all():
            scale = tuple(scales.tolist())
        else:
            raise ArgumentError(f"scale must be positive, one number or one for each coordinate, got {self.scale!r}")
        object.__setattr__(self, "scale", scale)

    def _numbers_like_scales(self, name, x):
        try:
            x = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError):
            raise ArgumentError(f"{name} must be numbers, got {type(x).__name__}") from None
        if self._scales.ndim and x.shape[-1:] != self._scales.shape:
            raise ArgumentError(f"{name} must have shape (..., {self._scales.size}), one per scale, got {x.shape}")
        return x

    def _moment(self, order):
        """E|X|^order for order < tail_index."""
        raise NotImplementedError

    def _law(self):
        """The law of X with pdf, cdf and ppf, as in scipy.stats."""
        raise NotImplementedError

    def _kernel_name(self):
        raise NotImplementedError

    def _own_params(self):
        """The law's own numbers for the kernel, and the factor that it wants on the scales."""
        return [], 1.0
