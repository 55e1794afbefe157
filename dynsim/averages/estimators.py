"""Averages over chains with their errors."""

import warnings

import numpy as np

from dynsim import _check
from dynsim.averages import checks
from dynsim.averages.batches import Batches
from dynsim.averages.estimate import Estimate
from dynsim.averages.heaviness import infinite_variance
from dynsim.averages.methods import ESTIMATORS
from dynsim.averages.mixing import r_hat
from dynsim.averages.transients import settled
from dynsim.errors import ArgumentError, InfiniteVariance, NotApplicable, PoorMixing, TooShort


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
    squares, dof, between, suspect = function(means, averages, kept.n, kept.size)
    if np.isnan(squares).any():
        raise NotApplicable(f"the estimator {method!r} needs at least 2 chains, got {kept.n_paths}")
    squares = np.where(constant, 0.0, squares)
    stderr = np.sqrt(squares * variance)
    total = kept.n_paths * kept.n
    n_effective = np.where(constant, total, 1 / np.where(constant, 1.0, squares))
    correlation = _correlation(lambda means, averages: function(means, averages, kept.n, kept.size)[0], means, averages)
    result = Estimate(
        value=center.reshape(shape),
        stderr=stderr.reshape(shape),
        dof=np.where(constant, np.inf, dof).reshape(shape),
        cov=correlation * np.outer(stderr, stderr),
        n_effective=n_effective.reshape(shape),
        tau=(total / n_effective * kept.interval).reshape(shape),
        r_hat=_r_hats(means).reshape(shape),
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
    _refuse_infinite_variance(result, total / n_effective)
    if method == "autoregressive":
        problem = checks.problem(kept, result, averages, suspect)
        if problem:
            raise TooShort(problem, result)
        message = checks.poor_mixing(kept, result)
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
    burn_in = _check.real("burn_in", burn_in)
    length = batches.size * batches.interval
    left_out = int(np.ceil(burn_in / length * (1 - 1e-12)))
    if not 0 <= left_out < n_batches:
        raise ArgumentError(
            f"burn_in must be at least 0 and less than the run, {n_batches * length:g}, got {burn_in:g}"
        )
    return left_out


def _correlation(variance, means, averages):
    """Correlation of the averages (q, q), from the variances of sums and differences; positive semidefinite."""
    q = means.shape[2]
    result = np.eye(q)
    if q == 1:
        return result
    own = variance(means, averages)
    unit = 1 / np.sqrt(np.where(own > 0, own, 1.0))
    means, averages = means * unit, averages * unit
    for j in range(q - 1):
        plus, minus = (
            variance(means[..., j + 1 :] + sign * means[..., j : j + 1], averages[:, j + 1 :] + sign * averages[:, [j]])
            for sign in (1, -1)
        )
        result[j, j + 1 :] = result[j + 1 :, j] = (plus - minus) / (plus + minus)
    values, vectors = np.linalg.eigh(result)
    result = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = np.sqrt(np.diagonal(result))
    return result / np.outer(scale, scale)


def _r_hats(means):
    _, k, q = means.shape
    return np.array([r_hat(means[..., j]) if k >= 4 else np.nan for j in range(q)])


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
