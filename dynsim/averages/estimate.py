"""A number, or several, with its error."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.averages.batches import Batches


@dataclass(frozen=True, eq=False)
class Estimate:
    """A time average with its error.

    ``value`` has the shape of φ's value: () for one number, (q,) for several. So have all attributes that are not
    numbers of the run. ``print`` shows value ± standard error.

    Attributes
    ----------
    value : ndarray, shape () or (q,)
        The average over chains and time.
    stderr : ndarray
        Its standard error.
    dof : ndarray
        Degrees of freedom of Student's t in :meth:`interval`.
    cov : ndarray, shape (q, q)
        Joint covariance of the averages, (1, 1) for one number: its diagonal is ``stderr``².
    n_effective : ndarray
        Independent observations that would give this error: Var(φ)/stderr².
    tau : ndarray
        Integrated autocorrelation time 1 + 2 Σ ρ_k in the unit of the run, n_observations/n_effective intervals.
    r_hat : ndarray
        Rank-normalized split R̂ of the batch means; near 1 where chains agree. nan for fewer than 4 batches.
    between : ndarray of bool
        Where the scatter between chains, larger than the correlation within them explains, has set the error.
    n_paths : int
        Chains averaged over.
    n_diverged : int
        Chains left out because they blew up.
    n_observations : int
        Of each chain, after burn-in.
    burn_in : float
        Time that was left out at the beginning, in the unit of the run.
    method : str
        Name of the estimator of the error.
    names : tuple of str
        Of several φ that were given by name; ``estimate["loss"]`` is the one of that name.
    """

    value: np.ndarray
    stderr: np.ndarray
    dof: np.ndarray
    cov: np.ndarray = field(repr=False)
    n_effective: np.ndarray
    tau: np.ndarray
    r_hat: np.ndarray
    between: np.ndarray
    n_paths: int
    n_diverged: int
    n_observations: int
    burn_in: float
    method: str
    names: tuple = ()
    batches: Batches | None = field(default=None, repr=False)

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Ends of a confidence interval, value ± t·stderr with Student's t.

        Parameters
        ----------
        confidence : float, optional
            Between 0 and 1.
        """
        from scipy.special import stdtrit

        reach = stdtrit(self.dof, 0.5 + 0.5 * _check.between("confidence", confidence, 0, 1)) * self.stderr
        return self.value - reach, self.value + reach

    def transform(self, function: Callable) -> "Estimate":
        """The estimate of a function of the averages, by the delta method: cov → J cov Jᵀ. (To be written.)"""
        raise NotImplementedError
