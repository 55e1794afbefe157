"""Quadratic losses, plain, in pieces, and with a heavy-tailed oracle."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem


def quadratic(eigenvalues: ArrayLike) -> Problem:
    """The quadratic L(θ) = ½ Σ_j λ_j θ_j², on which the rate of every first-order method is known exactly.

    One term, so that ``SGD`` is gradient descent: θ_j is multiplied by 1 − ηλ_j at each step, and the best constant
    step size for 0 < μ ≤ λ_j ≤ L is 2/(L + μ). Z §2.1.

    Parameters
    ----------
    eigenvalues : array_like, shape (dim,)
        The curvatures λ_j, finite. With a negative one the origin is a saddle, and ``minima`` is None; with a zero one
        it is one minimum among many.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.quadratic([1.0, 10.0])
    >>> problem.gradient([1.0, 1.0]).tolist()
    [1.0, 10.0]
    """
    from dynsim._kernels.problems.quadratics import quadratic_gradient, quadratic_loss

    values = _check.array("eigenvalues", eigenvalues, ndim=1)
    if values.size == 0:
        raise ArgumentError("eigenvalues must be at least one number, got none")
    return Problem(
        quadratic_loss,
        quadratic_gradient,
        params=values,
        weights=[1.0],
        dim=values.size,
        name=f"quadratic({values.min():g} … {values.max():g}, dim {values.size})",
        term_hessians=lambda theta: np.broadcast_to(np.diag(values), (*theta.shape[:-1], 1, *2 * values.shape)).copy(),
        minima=np.zeros(values.size) if values.min() >= 0 else None,
        bounds=np.tile([-2.0, 2.0], (values.size, 1)),
        lipschitz=np.abs(values).max(),
    )


def lessard_piecewise() -> Problem:
    """A strongly convex loss on which the heavy ball, tuned for quadratics of the same curvatures, cycles forever.

    Its derivative is continuous and piecewise linear, with slopes between μ = 1 and L = 25:

    ``L'(θ) = 25θ`` for θ < 1, ``θ + 24`` for 1 ≤ θ < 2, ``25θ − 24`` for θ ≥ 2, and L(0) = 0.

    For quadratics the best heavy ball has step size 4/(√L + √μ)² = 1/9 and momentum ((√L − √μ)/(√L + √μ))² = 4/9. Here,
    from rest at 3.3, it is drawn into the attracting 3-cycle 2592/1225 → 792/1225 → −2208/1225, while gradient
    descent and Nesterov's method converge to 0. At 1 and 2, where it jumps, the second derivative is the one from the
    left.

    Source: Lessard, Recht & Packard (2016); Z §2.2.1, Fig 2-1.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.problems.lessard_piecewise().gradient([[-1.0], [1.5], [3.0]]).ravel().tolist()
    [-25.0, 25.5, 51.0]
    """
    from dynsim._kernels.problems.quadratics import lessard_gradient, lessard_loss

    def term_hessians(theta):
        flat = (theta > 1) & (theta <= 2)
        return np.where(flat, 1.0, 25.0)[..., None, None]

    return Problem(
        lessard_loss,
        lessard_gradient,
        params=[],
        weights=[1.0],
        dim=1,
        name="lessard_piecewise",
        term_hessians=term_hessians,
        minima=[0.0],
        bounds=(-3.0, 4.0),
        lipschitz=25.0,
    )


class BernoulliQuadratic(Problem):
    """Z (4.2)–(4.5); made by :func:`bernoulli_quadratic`.

    Attributes
    ----------
    b : float
        The minimum (2 − ν)ε.
    gamma : float
        γ = (4ε)^(1/(α−1)): the rare gradient is off by 1/(2γ).
    """

    def __init__(self, alpha, eps, nu, gamma, p):
        from dynsim._kernels.problems.quadratics import bernoulli_gradient, bernoulli_loss

        self.b, self.gamma = (2 - nu) * eps, gamma
        super().__init__(
            bernoulli_loss,
            bernoulli_gradient,
            params=[0.5 / gamma, self.b],
            weights=[p, 1 - p],
            dim=1,
            name=f"bernoulli_quadratic(alpha={alpha:g}, eps={eps:g}, nu={nu})",
            term_hessians=lambda theta: np.ones((*theta.shape[:-1], 2, 1, 1)),
            minima=[self.b],
            bounds=(0.0, 0.5),
            lipschitz=1.0,
        )


def bernoulli_quadratic(alpha: float = 1.5, eps: float = 1 / 16, nu: int = 0) -> BernoulliQuadratic:
    """A parabola whose gradient is rarely, but then far, off: the hard case for strongly convex losses. Z §4.7.6.

    L(θ) = ½(θ − b)² with b = (2 − ν)ε, Z (4.2), (4.4), and the gradient drawn is, with γ = (4ε)^(1/(α−1)),

    * θ − 1/(2γ) with probability p = γ^α − 2νγε,
    * θ with probability 1 − p, Z (4.5).

    These are the gradients of the two terms, whose weights are p and 1 − p, so plain ``SGD`` draws them as the oracle
    does. On [0, ½] (``bounds``) E|g|^α ≤ 1 whatever ε, while E g² grows as γ^(α−2). To tell ν = 0 from ν = 1 takes of
    the order of (4ε)^(−α/(α−1)) draws; so with ε = k^(−(α−1)/α)/16 no method has after k of them an expected loss,
    averaged over ν, below ε²/64 = 2^(−14) k^(−2(α−1)/α): Z Theorem 4.4.3. That bound is over both ν: run both.

    Parameters
    ----------
    alpha : float
        Moment α in (1, 2] that stays bounded.
    eps : float
        Accuracy ε in (0, 1/8].
    nu : {0, 1}
        Which of the two minima 2ε and ε.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or α so close to 1 that 1/γ is beyond the largest float.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.bernoulli_quadratic(alpha=2.0, eps=0.125)
    >>> problem.weights.tolist(), problem.term_gradients([0.5]).ravel().tolist()
    ([0.25, 0.75], [-0.5, 0.5])
    """
    alpha, eps = _check.real("alpha", alpha), _check.positive("eps", eps)
    if not 1 < alpha <= 2:
        raise ArgumentError(f"alpha must lie in (1, 2], got {alpha:g}")
    if eps > 1 / 8:
        raise ArgumentError(f"eps must be at most 1/8, got {eps:g}")
    if isinstance(nu, bool) or nu not in (0, 1):
        raise ArgumentError(f"nu must be 0 or 1, got {nu!r}")
    gamma = (4 * eps) ** (1 / (alpha - 1))
    p = (1 - nu / 2) * gamma**alpha  # Z's form γ^α − 2νγε, where γ^(α−1) = 4ε
    if p < np.finfo(float).tiny:
        raise ArgumentError(f"alpha = {alpha:g} is too close to 1 for eps = {eps:g}: the probability p underflows")
    return BernoulliQuadratic(alpha, eps, int(nu), gamma, p)
