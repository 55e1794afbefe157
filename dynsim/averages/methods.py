"""Estimators of the error of an average over dependent values: of the variance of the average, and its freedom.

All take batch means (n_paths, n_batches, q) about the average, averages of each chain (n_paths, q) about it, for φ of
variance 1, and n observations in batches of ``size``. They return the variance of the average over all chains, its
degrees of freedom, where the scatter between chains has set it, and how probable so much scatter would be if chains
agreed (0 where it is all that is known, of chains too few to know it by): (q,) each.
"""

import numpy as np

from dynsim.averages.batches import merged
from dynsim.averages.longrun import error_of_mean
from dynsim.averages.mixing import autocovariances
from dynsim.averages.transients import MANY

FEWEST = 8  # batches of a chain for an autoregression
FREEDOM = 3.0  # degrees, for a number to be an error: Student's t then is 3.2 standard errors wide
_LARGER = 0.1, 0.01  # probability of a scatter between chains at which it is the error: of many, of few
_LONG = 16  # stretches of a chain whose averages bound the error of a cycle
_APART = 1e-4  # probability of a scatter between many chains, by that within them, at which they disagree …
_RESOLVED = 1 / 64  # … where that within is so small a part of the variance of φ
_IN_PHASE = 5.0  # standard errors by which averages over chains at one time must vary too much


def autoregressive(means, averages, n, size):
    """Autoregression of the batch means; from the scatter between chains where that is significantly larger."""
    from scipy.special import fdtrc

    m, k, q = means.shape
    edge = np.where(_in_phase(means), 1 / n**2, 1 / (m * n**2))  # what one observation more or less may change
    if k < FEWEST:
        if m >= MANY:
            return between_chains(means, averages, n, size)
        return edge, np.ones(q), *_unchecked(q)
    variance, dof = error_of_mean(means)
    variance = variance * (k * size / n)
    if k >= _LONG:
        variance, dof = _calm(variance, dof, merged(means, k // _LONG), n)
    variance = np.maximum(variance, edge)
    if m == 1:
        return variance, dof, *_unchecked(q)
    scatter = averages.var(axis=0, ddof=1) / m
    level = fdtrc(m - 1, dof, scatter / variance)
    short = dof < FREEDOM
    between = (level < _LARGER[m < MANY]) | (short & (m >= MANY))
    level = np.where(short, 0.0 if m < MANY else 1.0, level)
    if m >= MANY and k >= _LONG:
        # an autoregression about the mean of all chains takes constant differences between them for slow correlation
        within = merged(means, k // _LONG).var(axis=1, ddof=1).mean(axis=0) / _LONG
        told = fdtrc(m - 1, m * (_LONG - 1), scatter * m / np.maximum(within, edge * m))
        apart = (told < _APART) & (within < _RESOLVED)
        between, level = between | apart, np.where(apart, told, level)
    return np.where(between, np.maximum(scatter, edge), variance), np.where(between, m - 1, dof), between, level


def _calm(variance, dof, long, n):
    """The same, but for cycles, whose error the averages over the longest stretches bound."""
    m, stretches, _ = long.shape
    freedom = m * (stretches - 1.0)
    scatter = long.var(axis=1, ddof=1).mean(axis=0) / (stretches * m)
    # cycles beat against the batches, which no autoregression resolves; but what varies less than independent values
    # over the longest stretches has no long correlations that could be missed
    calm = (dof < FREEDOM) & (scatter < 1 / (m * n))
    return np.where(calm, scatter, variance), np.where(calm, freedom, dof)


def _in_phase(means):
    """Where chains move together, as copies of a cycle that start at one phase: then they share its ends."""
    m, k, _ = means.shape
    together, alone = means.mean(axis=0).var(axis=0), means.var(axis=1).mean(axis=0) / m
    return (together > alone * (1 + _IN_PHASE * np.sqrt(2 / k))) & (m > 1)


def between_chains(means, averages, n, size):
    """Variance between the averages of the chains: right for any dynamics, if starts are of the stationary law."""
    m, _, q = means.shape
    if m < 2:
        return np.full(q, np.nan), np.full(q, np.nan), *_unchecked(q)
    variance = np.maximum(averages.var(axis=0, ddof=1) / m, 1 / (m * n**2))
    return variance, np.full(q, m - 1.0), np.ones(q, dtype=bool), np.ones(q)


def batch_means(means, averages, n, size):
    """Variance of the means of √n long batches of each chain about its average."""
    m, k, q = means.shape
    group = max(round(k / np.sqrt(n)), 1)
    long = merged(means, group)
    count = long.shape[1]
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
    return np.zeros(q, dtype=bool), np.ones(q)


ESTIMATORS = {
    "autoregressive": autoregressive,
    "between": between_chains,
    "batch-means": batch_means,
    "overlapping": overlapping,
    "geyer": geyer,
    "sokal": sokal,
}
