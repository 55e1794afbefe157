"""Averages over chains with their errors."""

import warnings

import numpy as np

from dynsim import _check
from dynsim.averages import checks
from dynsim.averages.batches import Batches, merged
from dynsim.averages.estimate import Estimate
from dynsim.averages.heaviness import infinite_variance
from dynsim.averages.methods import ESTIMATORS
from dynsim.averages.mixing import r_hat
from dynsim.averages.transients import settled
from dynsim.errors import ArgumentError, InfiniteVariance, NotApplicable, PoorMixing, TooShort

_TIMES = 4  # correlation times in a stretch of batches, from which correlations between φ are taken …
_STRETCHES = 64  # … if there are so many stretches
_RANKED = 2048  # stretches of all chains, of which R̂ is taken: at least 16 of each, at most 64
_GRAIN = 1e-12  # of batch means, of φ of variance 1: less is rounding


def estimate(
    batches: Batches, *, method="autoregressive", burn_in="auto", shape=(), names=(), n_diverged=0
) -> Estimate:
    """The average of φ with its error; raises TooShort or InfiniteVariance where that cannot be honest.

    Parameters
    ----------
    batches : Batches
        Of all chains.
    method : str, optional
        How the error is estimated, one of :data:`ESTIMATORS`. All but "autoregressive" are there for comparison, and
        are not checked.
    burn_in : float or "auto", optional
        Time that is left out at the beginning, in the unit of the run; "auto" looks for where averages over chains have
        settled.
    shape : tuple, optional
        Shape of φ's value, () or (q,).
    names : tuple of str, optional
        Names of the q φ.
    n_diverged : int, optional
        Chains that are not among the batches because they blew up.

    Returns
    -------
    Estimate

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    TooShort
        If the run does not tell its own error; the message says why, and what would.
    InfiniteVariance
        If the tail index of φ is below 2.
    """
    function = ESTIMATORS[_check.choice("method", method, tuple(ESTIMATORS))]
    n_paths = batches.n_paths
    if n_paths > 1 and (batches.means == batches.means[:1]).all():  # copies, of one deterministic orbit, count once
        batches = batches.of_one_chain()
    left_out = _burn_in(batches, burn_in)
    kept = batches.after(left_out)
    center, variance = kept.averages().mean(axis=0), kept.variance()
    constant = variance <= (1e-14 * abs(center)) ** 2
    weights = np.where(constant, 0.0, 1 / np.sqrt(np.where(constant, 1.0, variance)))
    means, averages = (kept.means - center) * weights, (kept.averages() - center) * weights
    squares, dof, between, level = function(means, averages, kept.n, kept.size)
    if np.isnan(squares).any():
        raise NotApplicable(f"the estimator {method!r} needs at least 2 chains, got {kept.n_paths}")
    squares = np.where(constant, 0.0, squares)
    stderr = np.sqrt(squares * variance)
    total = kept.n_paths * kept.n
    n_effective = np.where(constant, total, 1 / np.where(constant, 1.0, squares))
    tau = total / n_effective
    correlation = _correlation(averages if between.any() else merged(means, _several(tau, kept)).reshape(-1, tau.size))
    result = Estimate(
        value=center.reshape(shape),
        stderr=stderr.reshape(shape),
        dof=np.where(constant, np.inf, dof).reshape(shape),
        cov=correlation * np.outer(stderr, stderr),
        n_effective=n_effective.reshape(shape),
        tau=(tau * kept.interval).reshape(shape),
        r_hat=_r_hats(means, center * weights).reshape(shape),
        between=(between & ~constant).reshape(shape),
        constant=constant.reshape(shape),
        n_paths=n_paths,
        n_diverged=n_diverged,
        n_observations=kept.n,
        burn_in=left_out * batches.size * batches.interval,
        method=method,
        names=tuple(names),
        batches=kept,
    )
    _refuse_infinite_variance(result, tau)
    if method == "autoregressive":
        problem = checks.problem(kept, result, averages, level)
        if problem:
            raise TooShort(problem, result)
        message = checks.poor_mixing(kept, result, level)
        if message:
            warnings.warn(message, PoorMixing, stacklevel=3)
    return result


def _burn_in(batches, burn_in):
    """How many batches are left out."""
    n_batches = batches.means.shape[1]
    if batches.n_paths == 0 or n_batches == 0:
        raise TooShort(f"there is nothing to average: {batches.n_paths} chains of {batches.n} observations")
    if isinstance(burn_in, str):
        _check.choice("burn_in", burn_in, ("auto",))
        return settled(batches)
    burn_in, length = _check.real("burn_in", burn_in), batches.size * batches.interval
    left_out = int(np.ceil(burn_in / length * (1 - 1e-12)))
    if burn_in < 0 or left_out >= n_batches:
        raise ArgumentError(
            f"burn_in must be at least 0 and less than the run, {n_batches * length:g}, got {burn_in:g}"
        )
    return left_out


def _several(tau, batches):
    """How many batches make several correlation times, where that leaves enough stretches."""
    m, k, _ = batches.means.shape
    return int(np.clip(np.ceil(_TIMES * tau.max() / batches.size), 1, max(m * k // _STRETCHES, 1)).clip(max=k))


def _correlation(parts):
    """Correlation (q, q) of the averages, as that of parts (n, q) long enough to be independent."""
    products = parts.T @ parts
    scale = np.sqrt(np.diagonal(products))
    np.fill_diagonal(products, np.where(scale > 0, scale**2, 1.0))
    scale = np.where(scale > 0, scale, 1.0)
    return products / np.outer(scale, scale)


def _r_hats(means, offset):
    """Of stretches of batches, up to rounding errors."""
    m, k, q = means.shape
    if k < 4:
        return np.full(q, np.nan)
    grain = _GRAIN * (1 + abs(offset))
    stretches = np.round(merged(means, -(-k // int(np.clip(_RANKED // m, 16, 64)))) / grain)
    return np.array([r_hat(stretches[..., j]) for j in range(q)])


def _refuse_infinite_variance(result, tau):
    heavy = infinite_variance(result.batches, tau)
    if heavy is None:
        return
    which, index = checks.called(result.names, heavy[0], result.value.size), heavy[1]
    raise InfiniteVariance(
        f"{which} seems to have no variance (tail index {index:.2g}, below 2), so its average has no standard error: "
        "average a bounded function of it, or take quantiles",
        result,
        index,
    )
