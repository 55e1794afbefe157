"""The tail index of stable laws from how sums grow."""

import math

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.tails.values import SCANNED, TailIndex, checked_tau, checked_values, tail_index_of

_FEWEST_BLOCKS = 10  # from whose scatter the error comes


def mohammadi(values: ArrayLike, *, block: int | None = None, center: float = 0.0, tau: float = 1.0) -> TailIndex:
    """The estimator of Mohammadi, Mohammadpour & Ogata for strictly stable laws, from sums of blocks of values.

    The sum of K1 values of a strictly α-stable law has the law of K1^{1/α} times one of them, so that

        1/α = (E log|X_1 + … + X_K1| − E log|X|) / log K1.

    It is what the tail index of the noise of SGD has been measured with (Simsekli, Sagun & Gürbüzbalaban 2019), and is
    valid for strictly stable laws only. What it measures otherwise is how sums of K1 terms grow: for Student's t with 3
    degrees of freedom it gives 1.66 with blocks of 10 and 1.76 with blocks of 100, by the central limit theorem 2 in
    the limit, never the tail index 3. For the noise of a linear model with normal rows and residuals, products of
    normal numbers, it gives 1.54 ± 0.04 with blocks of 141, as if that had no variance. For a mean that is not 0 it
    tends to 1, whatever the tail. ``infinite_variance`` means nothing unless the law is known to be stable.

    Parameters
    ----------
    values : array_like, shape (n,)
        At least 100, independent, or see ``tau``. None may be 0, and not all may be equal.
    block : int, optional
        K1, values in a block, at least 2 and at most n/10; by default the root of n. A remainder is left out.
    center : float, optional
        Subtracted first.
    tau : float, optional
        Integrated autocorrelation time of the blocks, at least 1: the standard error is widened by √τ.

    Returns
    -------
    TailIndex
        ``n_tail`` is the block size. The error is that of a mean over blocks of log|sum| − mean log|value|.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, there are fewer than 100 values, some are not finite, or values or their
        sums over a block are 0.

    References
    ----------
    Mohammadi, Mohammadpour & Ogata (2015), Metrika 78, Corollary 2.4.

    Examples
    --------
    >>> import dynsim as ds
    >>> index = ds.tails.mohammadi(ds.noise.AlphaStable(alpha=1.5).sample(10_000, rng=1))
    >>> bool(abs(index.value - 1.5) < 2 * index.stderr)
    True
    """
    values, tau = checked_values("mohammadi", values, center), checked_tau(tau)
    most = values.size // _FEWEST_BLOCKS
    k = math.isqrt(values.size) if block is None else _check.count("block", block, least=2)
    if k > most:
        raise ArgumentError(f"block must be at most {most}, a tenth of the {values.size} values, got {k}")
    if np.ptp(values) == 0:
        raise ArgumentError(f"values must not all be equal, got {values.size} times the same")
    if not values.all():
        raise ArgumentError(
            f"values must not be 0, of which mohammadi takes the logarithm, but {np.count_nonzero(values == 0)} are"
        )
    unit = values / np.abs(values).max()  # whose sums cannot overflow
    scan = np.unique(np.geomspace(2, most, min(SCANNED, most - 1)).round().astype(np.int64))
    at = np.append(scan, k)
    logs = np.log(np.abs(unit))
    pairs = [_block_gamma(unit, logs, size) for size in at]
    if math.isnan(pairs[-1][0]):
        raise ArgumentError(f"values must not sum to 0 over blocks, as they do over blocks of {k}: no stable law does")
    at, pairs = zip(
        *((size, pair) for size, pair in zip(at, pairs, strict=True) if not math.isnan(pair[0])), strict=True
    )
    gammas, errors = np.array(pairs).T
    return tail_index_of("mohammadi", "both", values.size, tau, np.array(at), gammas, errors * math.sqrt(tau))


def _block_gamma(values, logs, size):
    """1/α and its standard error from blocks of so many values, given with their logs; nan where a block sums to 0."""
    blocks, logs = (x[: x.size // size * size].reshape(-1, size) for x in (values, logs))
    sums = np.abs(blocks.sum(axis=1))
    if not sums.all():
        return np.nan, np.nan
    growth = (np.log(sums) - logs.mean(axis=1)) / math.log(size)
    return growth.mean(), growth.std(ddof=1) / math.sqrt(growth.size)
