"""Observers of means, covariances and extremes."""

import math
from dataclasses import dataclass

import numpy as np

from dynsim.observed import Extreme, MomentEstimates
from dynsim.observers.base import Observer


@dataclass(frozen=True, eq=False, kw_only=True)
class Moments(Observer):
    """Mean and covariance, by Welford's recursion for each path. Result: :class:`~dynsim.observed.MomentEstimates`."""

    def _kernel(self, dim):
        from dynsim._kernels import observers

        return observers.moments

    def _start(self, dim):
        return [0.0] * (dim + dim * (dim + 1) // 2)

    def _result(self, lanes, tally, n, diverged, end, unit):
        dim = (math.isqrt(9 + 8 * lanes.shape[1]) - 3) // 2  # rows = dim + dim (dim + 1)/2
        lower = np.tril_indices(dim)
        covs = np.zeros((lanes.shape[0], dim, dim))
        covs[:, lower[0], lower[1]] = lanes[:, dim:] / max(n, 1)
        covs[:, lower[1], lower[0]] = lanes[:, dim:] / max(n, 1)
        return MomentEstimates(n, lanes[:, :dim].copy(), covs, np.isinf(diverged))


@dataclass(frozen=True, eq=False, kw_only=True)
class Extremes(Observer):
    """Smallest and largest value of each coordinate. Result: :class:`~dynsim.observed.Extreme`."""

    def _kernel(self, dim):
        from dynsim._kernels import observers

        return observers.extremes

    def _start(self, dim):
        return [math.inf] * dim + [-math.inf] * dim

    def _result(self, lanes, tally, n, diverged, end, unit):
        low, high = np.split(lanes, 2, axis=1)
        return Extreme(n, low.copy(), high.copy(), np.isinf(diverged))
