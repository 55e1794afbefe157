"""Diffusions with linear drift and quadratic σ², whose stationary laws are Pearson's (Forman & Sørensen 2008)."""

import math

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.sdes.exact import ExactSDE, positive


def cox_ingersoll_ross(rate: float = 1.0, mean: float = 1.0, volatility: float = 0.5) -> ExactSDE:
    """Square-root process dX = κ (θ − X) dt + σ √X dW on X ≥ 0.

    X_t / c is noncentral χ² with 4κθ/σ² degrees of freedom and noncentrality x0 e^(−κt) / c, c = σ² (1 − e^(−κt)) / 4κ;
    the stationary law is a gamma law of shape 2κθ/σ² and scale σ²/2κ. Where the shape is below 1, X touches 0 and is
    reflected. In paths that a scheme takes below 0 the noise is 0.

    Parameters
    ----------
    rate, mean, volatility : float
        κ, θ and σ, all positive.

    Returns
    -------
    ExactSDE
        With ``transition`` (x0 ≥ 0) and ``stationary``.

    Notes
    -----
    Cox, Ingersoll & Ross, Econometrica 53, 385 (1985).

    Examples
    --------
    >>> import dynsim as ds
    >>> cir = ds.sdes.cox_ingersoll_ross(rate=2.0, mean=1.0, volatility=0.5)
    >>> law = cir.transition(x0=3.0, t=0.5)
    >>> law.mean().round(4).item(), law.cdf(1.0).round(4).item(), cir.stationary().var().round(4).item()
    (1.7358, 0.0065, 0.0625)
    """
    kappa, theta, sigma = positive(rate=rate, mean=mean, volatility=volatility)

    def transition(x0, t):
        from scipy.stats import ncx2

        if x0[0] < 0:
            raise ArgumentError(f"x0 must not be negative, got {x0[0]:g}")
        c = -(sigma**2) * math.expm1(-kappa * t) / (4 * kappa)
        return ncx2(4 * kappa * theta / sigma**2, x0[0] * math.exp(-kappa * t) / c, scale=c)

    def stationary():
        from scipy.stats import gamma

        return gamma(2 * kappa * theta / sigma**2, scale=sigma**2 / (2 * kappa))

    return ExactSDE(
        "Cox-Ingersoll-Ross",
        _reversion,
        _square_root_noise,
        (kappa, theta, sigma),
        transition=transition,
        stationary=stationary,
    )


def inverse_gamma(rate: float = 1.0, mean: float = 1.0, volatility: float = 1.0) -> ExactSDE:
    """Inverse gamma diffusion dX = κ (θ − X) dt + σ X dW on X > 0: multiplicative noise makes a power-law tail.

    The stationary law is an inverse gamma law of shape 1 + 2κ/σ² and scale 2κθ/σ²: its density falls off like
    x^(−2 − 2κ/σ²).

    Parameters
    ----------
    rate, mean, volatility : float
        κ, θ and σ, all positive.

    Returns
    -------
    ExactSDE
        With ``stationary``.

    Notes
    -----
    Forman & Sørensen, Scand. J. Statist. 35, 438 (2008), a Pearson diffusion.

    Examples
    --------
    >>> import dynsim as ds
    >>> law = ds.sdes.inverse_gamma(rate=1.0, mean=2.0, volatility=0.5).stationary()
    >>> law.mean().round(4).item(), law.std().round(4).item()
    (2.0, 0.7559)
    """
    kappa, theta, sigma = positive(rate=rate, mean=mean, volatility=volatility)

    def stationary():
        from scipy.stats import invgamma

        return invgamma(1 + 2 * kappa / sigma**2, scale=2 * kappa * theta / sigma**2)

    return ExactSDE(
        "inverse gamma diffusion",
        _reversion,
        _proportional_noise,
        (kappa, theta, sigma),
        transition="the transition law of the inverse gamma diffusion is not among SciPy's distributions",
        stationary=stationary,
    )


def student(rate: float = 1.0, degrees: float = 3.0, scale: float = 1.0) -> ExactSDE:
    """Student diffusion dX = −κ X dt + √(2κ (ν s² + X²) / (ν − 1)) dW: heavy tails on both sides.

    The stationary law is Student's t with ν degrees of freedom and scale s.

    Parameters
    ----------
    rate : float
        κ > 0.
    degrees : float
        ν > 1.
    scale : float
        s > 0.

    Returns
    -------
    ExactSDE
        With ``stationary``.

    Notes
    -----
    Forman & Sørensen, Scand. J. Statist. 35, 438 (2008), a Pearson diffusion.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.sdes.student(degrees=4.0).stationary().std().round(4).item()
    1.4142
    """
    kappa, nu, s = _check.positive("rate", rate), _check.real("degrees", degrees), _check.positive("scale", scale)
    if not nu > 1:
        raise ArgumentError(f"degrees must be above 1, got {degrees!r}")

    def stationary():
        from scipy.stats import t

        return t(nu, scale=s)

    return ExactSDE(
        "Student diffusion",
        _decay,
        _student_noise,
        (kappa, nu, s),
        transition="the transition law of the Student diffusion is not among SciPy's distributions",
        stationary=stationary,
    )


def _reversion(t, x, params):
    kappa, theta, _ = params
    return kappa * (theta - x[0])


def _square_root_noise(t, x, params):
    return params[2] * math.sqrt(max(x[0], 0.0))


def _proportional_noise(t, x, params):
    return params[2] * x[0]


def _decay(t, x, params):
    return -params[0] * x[0]


def _student_noise(t, x, params):
    kappa, nu, s = params
    return math.sqrt(2 * kappa * (nu * s**2 + x[0] ** 2) / (nu - 1))
