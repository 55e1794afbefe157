"""Linear SDEs: the Ornstein–Uhlenbeck process and geometric Brownian motion."""

import math

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sdes.exact import ExactSDE

_ROUNDING = 1e-14  # of an eigenvalue, in units of the matrix


def ornstein_uhlenbeck(rate: ArrayLike = 1.0, noise: ArrayLike = 1.0, mean: ArrayLike = 0.0) -> ExactSDE:
    """Ornstein–Uhlenbeck process dX = −A (X − m) dt + B dW, in any dimension, reversible or rotating.

    X_t is normal with mean m + e^(−At) (x0 − m) and covariance Σ_t = ∫₀ᵗ e^(−As) B Bᵀ e^(−Aᵀs) ds; the stationary
    covariance solves A Σ + Σ Aᵀ = B Bᵀ, and exists if all eigenvalues of A have positive real parts.

    Parameters
    ----------
    rate : float, (dim,) or (dim, dim)
        A: a multiple of the identity, a diagonal, or any matrix.
    noise : float, (dim,) or (dim, noise_dim)
        B likewise, not zero; its rank may be less than dim.
    mean : float or (dim,), optional
        m.

    Returns
    -------
    ExactSDE
        With ``transition`` and ``stationary``, normal.

    Notes
    -----
    Σ_t is Van Loan's block exponential, IEEE Trans. Automat. Control 23, 395 (1978), at a time h with ‖A‖ h ≤ 1, then
    doublings Σ_2h = Σ_h + e^(−Ah) Σ_h e^(−Aᵀh): at larger times the blocks themselves would cancel.

    Examples
    --------
    >>> import dynsim as ds
    >>> rotating = ds.sdes.ornstein_uhlenbeck(rate=[[1, -3], [3, 1]], noise=2.0)
    >>> rotating.stationary().cov.round(12).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    >>> ds.sdes.ornstein_uhlenbeck().transition(x0=2.0, t=0.5).std().round(4).item()
    0.5622
    """
    given = {"rate": _up_to(2, "rate", rate), "noise": _up_to(2, "noise", noise), "mean": _up_to(1, "mean", mean)}
    dims = {value.shape[0] for value in given.values() if value.ndim}
    d = max(dims, default=1)
    A, B = (_matrix(given[name], d) for name in ("rate", "noise"))
    if len(dims) > 1 or d == 0 or A.shape != (d, d) or B.size == 0:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
        raise ArgumentError(f"rate, noise and mean must agree on dim, with rate square, got shapes {shapes}")
    if not B.any():
        raise ArgumentError(f"noise must not be zero, got {noise!r}")
    m = np.broadcast_to(given["mean"], d)

    def stationary():
        from scipy.linalg import solve_continuous_lyapunov

        slowest = np.linalg.eigvals(A).real.min()
        if slowest <= _ROUNDING * np.linalg.norm(A):
            raise NotApplicable(f"a stationary law needs eigenvalues of rate with real parts above 0, got {slowest:g}")
        return _normal(m, solve_continuous_lyapunov(A, B @ B.T))

    from dynsim._kernels import linear_sde

    sde = ExactSDE(
        "Ornstein-Uhlenbeck",
        linear_sde.drift,
        linear_sde.diffusion,
        np.concatenate([A.ravel(), m, B.ravel()]),
        fields=True,
        dim=d,
        noise_dim=B.shape[1],
        transition=lambda x0, t: _linear_transition(A, B, m, x0, t),
        stationary=stationary,
    )
    sde.noise_type = sde._declared_noise = "additive"
    return sde


def geometric_brownian_motion(drift: float = 0.1, volatility: float = 0.5) -> ExactSDE:
    """Geometric Brownian motion dX = μ X dt + σ X dW.

    X_t = x0 exp((μ − σ²/2) t + σ W_t), a lognormal variable (Kloeden & Platen 1992, §4.4).

    Parameters
    ----------
    drift : float
        μ.
    volatility : float
        σ > 0.

    Returns
    -------
    ExactSDE
        With ``transition`` (x0 > 0) and ``path``.

    Examples
    --------
    >>> import dynsim as ds
    >>> gbm = ds.sdes.geometric_brownian_motion(drift=0.1, volatility=0.5)
    >>> gbm.transition(x0=2.0, t=1.0).mean().round(4).item(), gbm.path(x0=2.0, t=1.0, w=[0.3]).round(4).tolist()
    (2.2103, [2.2663])
    """
    mu, sigma = _check.real("drift", drift), _check.positive("volatility", volatility)

    def transition(x0, t):
        from scipy.stats import lognorm

        median = _check.positive("x0", x0[0]) * math.exp((mu - sigma**2 / 2) * t)
        if median == 0:
            raise FloatingPointError
        return lognorm(sigma * math.sqrt(t), scale=median)

    return ExactSDE(
        "geometric Brownian motion",
        _growth,
        _growth_noise,
        (mu, sigma),
        transition=transition,
        stationary="geometric Brownian motion has no stationary law: ln X is a Brownian motion with drift",
        path=lambda x0, t, w: x0 * np.exp((mu - sigma**2 / 2) * t[..., None] + sigma * w),
    )


def _up_to(most, name, value):
    """A finite array with at most so many axes, apart from the caller's."""
    try:
        ndim = np.ndim(value)
    except ValueError:  # ragged
        ndim = most
    return _check.array(name, value, ndim=min(ndim, most)).copy()


def _matrix(value, d):
    """A number times the identity, a diagonal, or the matrix itself; anything else as it is, to be refused."""
    return np.diag(np.broadcast_to(value, d)) if value.shape in ((), (d,)) else value


def _growth(t, x, params):
    return params[0] * x[0]


def _growth_noise(t, x, params):
    return params[1] * x[0]


def _linear_transition(A, B, m, x0, t):
    from scipy.linalg import expm

    d, D = m.size, B @ B.T
    doublings = math.ceil(math.log2(max(np.linalg.norm(A, 1) * t, 1.0)))
    h, unit = t / 2**doublings, np.linalg.norm(D)
    block = expm(np.block([[-A * h, D / unit], [np.zeros((d, d)), A.T * h]]))
    decay, cov = block[:d, :d], unit * h * block[:d, d:] @ block[:d, :d].T  # Van Loan
    for _ in range(doublings):
        decay, cov = decay @ decay, cov + decay @ cov @ decay.T
    return _normal(m + decay @ (x0 - m), cov)


def _normal(mean, cov):
    from scipy.stats import multivariate_normal, norm

    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise FloatingPointError
    if mean.size == 1:
        return norm(mean[0], math.sqrt(cov[0, 0]))
    return multivariate_normal(mean, 0.5 * (cov + cov.T), allow_singular=True)
