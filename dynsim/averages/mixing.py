"""How chains mix: their autocorrelation, and whether they agree."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError


def autocorrelation(values: ArrayLike, n_lags: int) -> np.ndarray:
    """Autocorrelation of stationary chains, pooled over them about their common mean.

    ``ρ_k = Σ_m Σ_t y_{m,t} y_{m,t+k} / Σ_m Σ_t y²_{m,t}``, y the deviation from the mean of all chains. About the mean
    of each chain instead, chains that are stuck in different places would look uncorrelated.

    Parameters
    ----------
    values : array_like, shape (n_paths, n)
        Successive values of each chain.
    n_lags : int
        Up to which lag, less than n.

    Returns
    -------
    ndarray, shape (n_lags + 1,)
        ρ_0 = 1, ρ_1, …; zeros after ρ_0 for constant values.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.averages import autocorrelation
    >>> autocorrelation(np.tile([1.0, -1.0], (1, 50)), 2).round(3).tolist()
    [1.0, -0.99, 0.98]
    """
    values = _check.array("values", values, ndim=2)
    n_lags = _check.count("n_lags", n_lags, least=0)
    if values.size == 0 or n_lags >= values.shape[1]:
        raise ArgumentError(f"n_lags must be less than the {values.shape[1]} values of a chain, got {n_lags}")
    products = autocovariances((values - values.mean())[:, :, None])[: n_lags + 1, :, 0].sum(axis=1)
    result = np.zeros(n_lags + 1)
    result[0] = 1.0
    return products / products[0] if products[0] > 0 else result


def autocovariances(deviation):
    """Σ_t y_t y_{t+k} / n of each chain, from (n_paths, n, q) to (n, n_paths, q)."""
    from scipy.fft import irfft, next_fast_len, rfft

    n = deviation.shape[1]
    length = next_fast_len(2 * n)
    power = abs(rfft(deviation, length, axis=1)) ** 2
    return np.moveaxis(irfft(power, length, axis=1)[:, :n], 1, 0) / n


def r_hat(values: ArrayLike) -> float:
    """Rank-normalized split R̂: near 1 where all chains, and their halves, have the same law.

    ``R̂² = (n−1)/n + B/(n W)`` of the normal scores Φ⁻¹((rank − 3/8)/(size + 1/4)), B/n the variance between the means
    of half chains of n values and W the mean variance within them; the larger of that of the values and that of their
    distances from the median. Above 1.01 chains do not agree.

    Parameters
    ----------
    values : array_like, shape (n_paths, n)
        Successive values of each chain, at least 4 (the middle one of an odd number is left out).

    Returns
    -------
    float
        1 for constant values, inf for chains that are constant at different values.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Notes
    -----
    Vehtari, Gelman, Simpson, Carpenter and Bürkner, Bayesian Analysis 16 (2021), (4), (13), (14).

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.averages import r_hat
    >>> chains = np.random.default_rng(0).normal(size=(4, 500))
    >>> round(r_hat(chains), 2), round(r_hat(chains + np.array([[0], [0], [0], [1]])), 2)
    (1.0, 1.09)
    """
    values = _check.array("values", values, ndim=2)
    if values.shape[0] < 1 or values.shape[1] < 4:
        raise ArgumentError(f"values must be at least 4 of at least one chain, got shape {values.shape}")
    half = values.shape[1] // 2
    split = np.concatenate([values[:, :half], values[:, -half:]])
    return float(max(_plain(_scores(split)), _plain(_scores(abs(split - np.median(split))))))


def _scores(values):
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return ndtri((rankdata(values).reshape(values.shape) - 0.375) / (values.size + 0.25))


def _plain(values):
    n = values.shape[1]
    within, between = values.var(axis=1, ddof=1).mean(), values.mean(axis=1).var(ddof=1)
    if within <= 1e-28 * (within + between):
        return np.inf if between > 0 else 1.0
    return np.sqrt((n - 1) / n + between / within)
