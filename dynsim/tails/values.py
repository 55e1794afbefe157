"""What the estimators of the tail index share: what they give, and what they are given."""

import math
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError

FEWEST = 100  # values from which a tail can be told from the rest
SCANNED = 40  # numbers of values, or block sizes, that a scan looks at
_SURE = 3  # standard errors by which an index must lie below 2


@dataclass(frozen=True, eq=False)
class TailIndex:
    r"""The index α of a tail P(\|X\| > x) ~ x^{−α}, from :func:`dynsim.tails.tail_index`.

    The smaller, the heavier: E\|X\|^q is finite for q < α and infinite for q > α.

    Attributes
    ----------
    value : float
        α; inf for a tail lighter than any power, or none at all.
    stderr : float
        Standard error of α, that of sampling alone; inf where α is.
    gamma, gamma_stderr : float
        The extreme value index γ = 1/α and its standard error; ``moment`` may give γ ≤ 0, which is α = inf.
    n_tail : int
        Values that the estimate is made of: the k farthest out, or for ``mohammadi`` the block size.
    n : int
        Values in the sample, zeros and the other side included.
    method, side : str
        What was asked for.
    tau : float
        By the root of which the standard errors have been widened.
    scan_n_tail, scan_value, scan_stderr : ndarray, shape (m,)
        The same with other k, or block sizes: where the estimate is to be trusted, it hardly changes.
    """

    value: float
    stderr: float
    gamma: float
    gamma_stderr: float
    n_tail: int
    n: int
    method: str
    side: str
    tau: float
    scan_n_tail: np.ndarray = field(repr=False)
    scan_value: np.ndarray = field(repr=False)
    scan_stderr: np.ndarray = field(repr=False)
    _confirmed: bool = field(default=True, repr=False)  # by what is farther out

    @property
    def infinite_variance(self) -> bool:
        """Whether α is significantly below 2: value + 3 stderr < 2, by :func:`hill` also farther out in the tail."""
        return bool(self._confirmed and self.value + _SURE * self.stderr < 2)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Ends of a confidence interval for α, from γ ± z·gamma_stderr, z normal.

        Parameters
        ----------
        confidence : float, optional
            Between 0 and 1.
        """
        from scipy.special import ndtri

        reach = ndtri(0.5 + 0.5 * _check.between("confidence", confidence, 0, 1)) * self.gamma_stderr
        return _inverse(self.gamma + reach), _inverse(self.gamma - reach)

    def plot(self, ax=None, **style):
        """Draw the scan with its band, 2 as a line and the choice as a point (a Hill plot); return the Axes."""
        from dynsim.plot import plot_tail_index

        return plot_tail_index(self, ax, **style)


def real_array(name, values, *, ndim):
    """A finite array of real numbers."""
    if np.iscomplexobj(values):
        raise ArgumentError(f"{name} must be real numbers, got complex ones: take their absolute values")
    return _check.array(name, values, ndim=ndim)


def checked_values(verb, values, center):
    """The sample (n,), less its center, refused if it is too small."""
    values = real_array("values", values, ndim=1)
    if values.size < FEWEST:
        raise ArgumentError(f"values must be at least {FEWEST} for {verb} to tell a tail, got {values.size}")
    center = _check.real("center", center)
    with np.errstate(over="ignore"):
        values = values - center
    if not np.isfinite(values).all():
        raise ArgumentError(f"values less center = {center:g} must be finite, but are too large: divide both by 10")
    return values


def checked_tau(tau):
    """An autocorrelation time, at least 1."""
    tau = _check.real("tau", tau)
    if tau < 1:
        raise ArgumentError(f"tau must be at least 1, got {tau:g}")
    return tau


def _inverse(gamma):
    return 1 / float(gamma) if gamma > 0 else math.inf


def tail_index_of(method, side, n, tau, at, gammas, errors, *, confirmed=True):
    """The last of the numbers is the result, those before it the scan."""
    value = np.array([_inverse(gamma) for gamma in gammas])
    finite = np.isfinite(value)
    stderr = np.where(finite, np.where(finite, value, 0.0) ** 2 * np.where(finite, errors, 0.0), np.inf)  # |dα/dγ| = α²
    return TailIndex(
        value=float(value[-1]),
        stderr=float(stderr[-1]),
        gamma=float(gammas[-1]),
        gamma_stderr=float(errors[-1]),
        n_tail=int(at[-1]),
        n=n,
        method=method,
        side=side,
        tau=tau,
        scan_n_tail=at[:-1],
        scan_value=value[:-1],
        scan_stderr=stderr[:-1],
        _confirmed=confirmed,
    )
