"""Elimination without subtraction (Grassmann, Taksar & Heyman 1985): tiny probabilities to full relative accuracy.

Every quantity is a sum of products of nonnegative numbers, so each entry of the answer has a small *relative* error,
however small it is; Gaussian elimination loses all digits of a probability of 1e-20. The work is done in extended
precision, where the platform has it, for the sake of its exponents: 1e-4932 instead of 1e-308.
"""

import numpy as np

from dynsim.errors import NotApplicable


def log_stationary(transition) -> np.ndarray:
    """Logarithms of the stationary probabilities of an irreducible chain; transition (m, m) dense, rows sum to 1."""
    a = np.array(transition, dtype=np.longdouble)
    m = a.shape[0]
    leaving = np.empty(m, dtype=np.longdouble)
    for k in range(m - 1, 0, -1):
        leaving[k] = _eliminate(a, k)
    log_p = np.zeros(m, dtype=np.longdouble)
    for k in range(1, m):
        into = np.flatnonzero(a[:k, k])
        log_p[k] = np.logaddexp.reduce(log_p[into] + np.log(a[into, k])) - np.log(leaving[k])
    return (log_p - np.logaddexp.reduce(log_p)).astype(np.float64)


def log_mean_time_to_leave(transition, start) -> float:
    """Logarithm of the expected number of steps from state ``start`` until the chain leaves a set of states.

    ``transition`` (m, m + 1) holds the probabilities among the states of the set and, in its last column, of leaving.
    """
    order = np.r_[start, np.delete(np.arange(transition.shape[0]), start)]
    a = transition[np.ix_(order, np.r_[order, transition.shape[0]])].astype(np.longdouble)
    m = a.shape[0]
    time = np.ones(m, dtype=np.longdouble)
    for k in range(m - 1, 0, -1):
        into = np.flatnonzero(a[:k, k])
        shares = a[into, k] / _eliminate(a, k)
        time[into] += shares * time[k]
    return float(np.log(time[0]) - np.log(a[0, m:].sum()))


def _eliminate(a, k):
    """Take state k out of the chain: what went to k now goes on to where k goes. Columns past k count as kept."""
    keep = np.r_[0:k, a.shape[0] : a.shape[1]]
    leaving = a[k, keep].sum()
    if leaving == 0:
        raise NotApplicable(
            f"some of the chain's probabilities are too small for numbers down to {np.finfo(a.dtype).tiny:.0e}"
        )
    into = np.flatnonzero(a[:k, k])
    onto = keep[np.flatnonzero(a[k, keep])]
    a[np.ix_(into, onto)] += np.outer(a[into, k] / leaving, a[k, onto])
    return leaving
