"""Probabilities of many bins with their errors, of which some are visited too seldom to have one of their own."""

import warnings

import numpy as np

from dynsim import _check
from dynsim.averages import Batches, Estimate, estimate
from dynsim.ergodic.chance import FEW, long_residuals
from dynsim.errors import PoorMixing, TooShort

_OF_EACH = ("value", "stderr", "dof", "n_effective", "tau", "r_hat", "between", "constant")


def of_bins(batches: Batches) -> Estimate:
    """Averages of the indicators of bins, each with its own error, nan where the run does not tell it.

    A bin with fewer than 20 states in it, or outside of it, has the error √(p(1 − p)/n) of n independent states, p
    being at least 1/n: as many as all such bins together are worth. Their joint covariance is that of long batches.
    """
    q = batches.means.shape[-1]
    _check.fits_in_memory("the covariance of the bins", (q, q, 3), instead="take fewer bins")
    p, total = batches.averages().mean(axis=0), batches.n_paths * batches.n
    few = total * np.minimum(p, 1 - p) < FEW
    residuals = long_residuals(batches)
    columns = _of_rare(p, few, residuals, total, batches.interval)
    refused = []
    for j in np.flatnonzero(~few).tolist():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PoorMixing)  # ``between`` says so, for each of many bins
                found = estimate(batches.of_one(j), burn_in=0.0)
            for name in _OF_EACH:
                columns[name][j] = getattr(found, name)
        except TooShort as error:
            refused.append(error)
            for name in ("stderr", "dof", "n_effective", "tau"):
                columns[name][j] = np.nan
    scale = np.linalg.norm(residuals, axis=0)
    scale = np.divide(columns["stderr"], scale, out=np.zeros(q), where=scale > 0)
    cov = (residuals * scale).T @ (residuals * scale)
    np.fill_diagonal(cov, columns["stderr"] ** 2)
    result = Estimate(
        **columns,
        cov=cov,
        n_paths=batches.n_paths,
        n_diverged=0,
        n_observations=batches.n,
        burn_in=0.0,
        method="autoregressive",
        batches=batches,
    )
    if refused and len(refused) == np.count_nonzero(~few):
        raise TooShort(str(refused[0]), result)
    return result


def _of_rare(p, few, residuals, total, interval):
    """What an estimate has of each bin, for those that are visited too seldom."""
    seen = few & (p > 0) & (p < 1)
    independent = (p * (1 - p))[seen].sum() / total
    tau = max((residuals[:, seen] ** 2).sum() / independent, 0.5) if seen.any() else 1.0
    n = total / tau
    at_least = np.clip(p, min(1 / n, 0.5), 1 - min(1 / n, 0.5))
    q = p.size
    return {
        "value": p.copy(),
        "stderr": np.sqrt(at_least * (1 - at_least) / n),
        "dof": np.full(q, np.inf),
        "n_effective": np.full(q, n),
        "tau": np.full(q, tau * interval),
        "r_hat": np.full(q, np.nan),
        "between": np.zeros(q, dtype=bool),
        "constant": np.zeros(q, dtype=bool),
    }
