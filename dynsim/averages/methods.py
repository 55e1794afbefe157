"""Estimators of the error of an average over dependent values: of the variance of the average, and its freedom.

All take batch means (n_paths, n_batches, q) about the average, averages of each chain (n_paths, q) about it, for φ of
variance 1, and n observations in batches of ``size``. They return the variance of the average over all chains, its
degrees of freedom, where the scatter between chains has set it, and where even that cannot be trusted: (q,) each.
The variances of several combinations of φ are as good, so that covariances follow from sums and differences.
"""

import numpy as np

from dynsim.averages.longrun import error_of_mean
from dynsim.averages.mixing import autocovariances
from dynsim.averages.transients import MANY

FEWEST = 8  # batches of a chain for an autoregression, and degrees of freedom for a number to be an error
_EXCESSIVE = 1e-4  # probability at which few chains are said to disagree


def autoregressive(means, averages, n, size):
    """Autoregression of the batch means; from the scatter between chains where that is significantly larger."""
    from scipy.special import fdtrc

    m, k, q = means.shape
    edge = np.full(q, 1 / (m * n**2))  # what one observation more or less may change
    if k < FEWEST:
        if m >= MANY:
            return between_chains(means, averages, n, size)
        return edge, np.ones(q), np.zeros(q, dtype=bool), np.ones(q, dtype=bool)
    variance, dof, _ = error_of_mean(means)
    variance = np.maximum(variance * (k * size / n), edge)
    if m == 1:
        return variance, dof, np.zeros(q, dtype=bool), np.zeros(q, dtype=bool)
    scatter = averages.var(axis=0, ddof=1) / m
    level = fdtrc(m - 1, dof, scatter / variance)
    short = dof < FEWEST
    between = (level < 0.1) | (short & (m >= MANY))
    suspect = ((level < _EXCESSIVE) | (between & short)) & (m < MANY)
    return np.where(between, np.maximum(scatter, edge), variance), np.where(between, m - 1, dof), between, suspect


def between_chains(means, averages, n, size):
    """Variance between the averages of the chains: right for any dynamics, if starts are of the stationary law."""
    m, _, q = means.shape
    if m < 2:
        return np.full(q, np.nan), np.full(q, np.nan), np.ones(q, dtype=bool), np.ones(q, dtype=bool)
    variance = np.maximum(averages.var(axis=0, ddof=1) / m, 1 / (m * n**2))
    return variance, np.full(q, m - 1.0), np.ones(q, dtype=bool), np.zeros(q, dtype=bool)


def batch_means(means, averages, n, size):
    """Variance of the means of √n long batches of each chain about its average."""
    m, k, q = means.shape
    group = max(round(k / np.sqrt(n)), 1)
    count = k // group
    long = means[:, : count * group].reshape(m, count, group, q).mean(axis=2)
    return long.var(axis=1, ddof=1).mean(axis=0) / (count * m), np.full(q, m * (count - 1.0)), *_unchecked(q)


def overlapping(means, averages, n, size):
    """Variance of the means of all √n overlapping batches of √n observations of each chain about its average."""
    m, k, q = means.shape
    group = min(max(round(np.sqrt(n) / size), 1), k // 2)
    sums = np.concatenate([np.zeros((m, 1, q)), np.cumsum(means, axis=1)], axis=1)
    long = (sums[:, group:] - sums[:, :-group]) / group - means.mean(axis=1, keepdims=True)
    variance = (long**2).mean(axis=(0, 1)) * group * k / (k - group) / (k * m)
    return variance, np.full(q, max(1.5 * m * (k / group - 1), 1.0)), *_unchecked(q)


def geyer(means, averages, n, size):
    """Initial positive sequence of the autocovariances of each chain: right for reversible chains."""
    return _windowed(means, _positive_pairs)


def sokal(means, averages, n, size):
    """Autocovariances of each chain up to the first lag of at least five integrated autocorrelation times."""
    return _windowed(means, _five_times)


def _windowed(means, last_lag):
    m, k, q = means.shape
    rho = autocovariances(means - means.mean(axis=1, keepdims=True))
    variance = rho[0].copy()  # (m, q)
    rho = rho / np.where(variance > 0, variance, 1.0)
    times = 2 * np.cumsum(rho, axis=0) - 1
    tau = np.take_along_axis(times, last_lag(rho, times)[None], axis=0)[0]
    variance = (np.maximum(tau, 1 / k) * variance).mean(axis=0) / (k * m)
    return variance, np.full(q, np.inf), *_unchecked(q)


def _positive_pairs(rho, times):
    pairs = rho[: len(rho) // 2 * 2 : 2] + rho[1 : len(rho) // 2 * 2 : 2]
    negative = pairs <= 0
    return np.where(negative.any(axis=0), np.maximum(2 * negative.argmax(axis=0) - 1, 0), len(rho) - 1)


def _five_times(rho, times):
    enough = np.arange(len(rho))[:, None, None] >= 5 * times
    return np.where(enough.any(axis=0), enough.argmax(axis=0), len(rho) - 1)


def _unchecked(q):
    return np.zeros(q, dtype=bool), np.zeros(q, dtype=bool)


ESTIMATORS = {
    "autoregressive": autoregressive,
    "between": between_chains,
    "batch-means": batch_means,
    "overlapping": overlapping,
    "geyer": geyer,
    "sokal": sokal,
}
