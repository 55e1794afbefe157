"""Smooth nonconvex and exponentially growing losses."""

import math

from dynsim._kernels.elementary import exp, sin_cos
from dynsim._kernels.jit import formula

_SQRT_HALF = math.sqrt(0.5)
_SQRT_E = math.exp(0.5)
_HALF_SQRT_2_PI_E = math.sqrt(2 * math.pi * math.e) / 2


@formula
def egg_loss(theta, n, params):
    """A sin θ1 sin θ2. params: [A]."""
    s1, _ = sin_cos(theta[0])
    s2, _ = sin_cos(theta[1])
    return params[0] * s1 * s2


@formula
def egg_gradient(theta, n, params, out):
    """A (cos θ1 sin θ2, sin θ1 cos θ2)."""
    s1, c1 = sin_cos(theta[0])
    s2, c2 = sin_cos(theta[1])
    out[0] = params[0] * c1 * s2
    out[1] = params[0] * s1 * c2


@formula
def wings_loss(theta, n, params):
    """e^(u−1)/L1 for u = L1|x| > 1, else (u² + 1)/(2 L1). params: [L1]."""
    slope = params[0]
    u = slope * abs(theta[0])
    return (exp(u - 1.0) if u > 1.0 else 0.5 * (u * u + 1.0)) / slope


@formula
def wings_gradient(theta, n, params, out):
    """±e^(u−1) or ±u."""
    u = params[0] * abs(theta[0])
    g = exp(u - 1.0) if u > 1.0 else u
    out[0] = -g if theta[0] < 0.0 else g


@formula
def flat_loss(theta, n, params):
    """ε(6x² − x⁴)/4 for |x| ≤ 1, else 2ε(|x| − 1) + 5ε/4. params: [ε]."""
    eps = params[0]
    a = abs(theta[0])
    inside = 0.25 * a * a * (6.0 - a * a)
    return eps * (inside if a <= 1.0 else 2.0 * (a - 1.0) + 1.25)


@formula
def flat_gradient(theta, n, params, out):
    """ε(3x − x³) for |x| ≤ 1, else ±2ε."""
    x = theta[0]
    clipped = min(max(x, -1.0), 1.0)
    out[0] = params[0] * clipped * (3.0 - clipped * clipped)


@formula
def _psi(a):
    """Ψ(a) and Ψ'(a)."""
    u = 2.0 * a - 1.0 if a > 0.5 else 1.0
    value = exp(1.0 - 1.0 / (u * u)) if a > 0.5 else 0.0
    return value, 4.0 * value / (u * u * u)


@formula
def _phi(x):
    """Φ(x)."""
    return _HALF_SQRT_2_PI_E * math.erfc(-_SQRT_HALF * x)


@formula
def chain_loss(theta, n, params):
    """Lλ²/152 f_d(θ/λ). params: [L/152, λ, p].

    Of Ψ(x) and Ψ(−x) at most one is not 0, and −Ψ(1)Φ(x_1) is the link from x_0 = 1.
    """
    scale, length = params[0], params[1]
    total = 0.0
    previous = 1.0
    for j in range(theta.shape[0]):
        x = theta[j] / length
        psi, _ = _psi(abs(previous))
        total -= -psi * _phi(-x) if previous < 0.0 else psi * _phi(x)
        previous = x
    return scale * length * length * total


@formula
def chain_gradient(theta, n, params, out):
    """Lλ/152 g_d(θ/λ): coordinate prog_¼ + 1 over p for term 0 (z = 1), and 0 for term 1 (z = 0)."""
    scale, length, p = params[0], params[1], params[2]
    dim = theta.shape[0]
    progress = 0
    psi, _ = _psi(1.0)
    for j in range(dim):
        x = theta[j] / length
        progress = j + 1 if abs(x) > 0.25 else progress
        slope = psi * _SQRT_E * exp(-0.5 * x * x)
        psi, psi_slope = _psi(abs(x))
        if j + 1 < dim:
            following = theta[j + 1] / length
            slope += psi_slope * _phi(-following if x < 0.0 else following)
        out[j] = scale * length * (0.0 - slope)  # no −0
    if progress < dim:
        out[progress] = out[progress] / p if n == 0 else 0.0
