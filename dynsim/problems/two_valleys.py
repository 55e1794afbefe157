"""AY's illustrative example: a flat valley and a sharp one."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem
from dynsim.sampling import Custom


class TwoValleys(Problem):
    """AY §2.1; made by :func:`two_valleys`."""

    minima: np.ndarray

    def __init__(self, a1, eps, k):
        from dynsim._kernels.problems.two_valleys import gradient, loss

        name = f"two_valleys(a1={a1:g}, eps={eps:g}, K={k:g})"
        super().__init__(
            loss,
            gradient,
            params=[eps, k],
            weights=[a1, 1 - a1],
            dim=1,
            name=name,
            kinks=(-1.0, 0.0, 1 / k),
            bounds=(-2.0, 1.0),
            gradient_bounds=[1.0, k],
            groups=[0, 1],
        )
        self.a1, self.eps, self.K = a1, eps, k
        self.slopes = np.array([1.0, k])
        minima = np.array([[1 / k], [-1.0]])
        self.minima = minima[np.argsort(self.loss(minima), kind="stable")]

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """Zero: the terms are piecewise linear."""
        theta = _check.points("theta", theta, 1)
        return np.zeros((*theta.shape[:-1], 2, 1, 1))

    def limit_fields(self, method):
        """Constant drift and noise in each of the four regions; None where proportions of one's own depend on θ."""
        from dynsim._kernels.problems.two_valleys_limit import diffusion, drift

        regions = np.array([[-1.5], [-0.5], [0.5 / self.K], [2 / self.K]])
        noise = method.step_size * method.gradient_covariance(self, regions)[:, 0, 0]
        if isinstance(method.sampling, Custom) or method.noise is not None:
            return None
        params = np.concatenate([[1 / self.K], -self.gradient(regions)[:, 0], np.sqrt(noise)])
        return drift, diffusion, params

    def basin(self, minimum: ArrayLike) -> tuple[float, float]:
        """The interval of starts from which gradient descent runs to this minimum: the half-line on its side of 0."""
        return (-np.inf, 0.0) if np.ravel(minimum)[0] < 0 else (0.0, np.inf)


def two_valleys(a1: float = 0.4, eps: float = 0.1, K: float = 5.0) -> TwoValleys:
    """Two groups whose losses have slopes 1 and K: a flat local minimum at −1, a sharp one at 1/K. AY §2.1.

    L = a1 V1 + a2 V2 with a2 = 1 − a1 and

    * ``V1(θ) = |θ + 1| − 1`` for θ ≤ 0, ``εθ`` for θ > 0,
    * ``V2(θ) = −εθ`` for θ ≤ 0, ``|Kθ − 1| − 1`` for θ > 0.

    Parameters
    ----------
    a1 : float
        Weight of the first group, in (0, 1). The sharp minimum 1/K is the global one when a2 > a1 (up to O(ε)).
    eps : float
        Slope ε of a group outside its own valley, in (0, 1). It must leave both minima minima: ε a2 < a1, ε a1 < K a2.
    K : float
        Slope of the second group, above 1.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys()
    >>> problem.minima.tolist()
    [[0.2], [-1.0]]
    >>> problem.loss([0.2]).round(3)
    np.float64(-0.592)
    """
    a1 = _check.between("a1", a1, 0, 1)
    eps = _check.between("eps", eps, 0, 1)
    K = _check.real("K", K)
    if K <= 1:
        raise ArgumentError(f"K must be above 1, the slope of the first group, got {K:g}")
    a2 = 1 - a1
    if eps * a2 >= a1 or eps * a1 >= K * a2:
        raise ArgumentError(
            f"eps = {eps:g} is too large: the minima at -1 and 1/K need eps a2 < a1 and eps a1 < K a2, "
            f"so eps below {min(a1 / a2, K * a2 / a1):g} for a1 = {a1:g}, K = {K:g}"
        )
    return TwoValleys(a1, eps, K)
