"""Quadratic and piecewise quadratic losses."""

from dynsim._kernels.jit import formula


@formula
def quadratic_loss(theta, n, params):
    """½ Σ λ_j θ_j². params: the λ_j."""
    total = 0.0
    for j in range(theta.shape[0]):
        total += params[j] * theta[j] * theta[j]
    return 0.5 * total


@formula
def quadratic_gradient(theta, n, params, out):
    """(λ_j θ_j)."""
    for j in range(theta.shape[0]):
        out[j] = params[j] * theta[j]


@formula
def bernoulli_loss(theta, n, params):
    """½x² − s_n x + b²/2 with s_0 = 1/(2γ), s_1 = 0: Z (4.5) integrated. params: [s_0, b]."""
    jump, b = params[0], params[1]
    x = theta[0]
    return 0.5 * (x * x + b * b) - (jump * x if n == 0 else 0.0)


@formula
def bernoulli_gradient(theta, n, params, out):
    """X − s_n."""
    jump = params[0]
    out[0] = theta[0] - (jump if n == 0 else 0.0)


@formula
def lessard_loss(theta, n, params):
    """25x²/2, x²/2 + 24x − 12, 25x²/2 − 24x + 36 below 1, up to 2, and above."""
    x = theta[0]
    low = 12.5 * x * x
    middle = 0.5 * x * x + 24.0 * x - 12.0
    high = 12.5 * x * x - 24.0 * x + 36.0
    return low if x <= 1.0 else (middle if x <= 2.0 else high)


@formula
def lessard_gradient(theta, n, params, out):
    """25x, x + 24, 25x − 24."""
    x = theta[0]
    out[0] = 25.0 * x if x <= 1.0 else (x + 24.0 if x <= 2.0 else 25.0 * x - 24.0)
