"""AY §2.1's two losses. params: [ε, K]."""

from dynsim._kernels.jit import formula


@formula
def loss(theta, n, params):
    """V_n(θ)."""
    eps, k = params[0], params[1]
    x = theta[0]
    v1 = abs(x + 1.0) - 1.0 if x <= 0.0 else eps * x
    v2 = -eps * x if x <= 0.0 else abs(k * x - 1.0) - 1.0
    return v1 if n == 0 else v2


@formula
def gradient(theta, n, params, out):
    """V_n'(θ); at a kink the derivative from the left."""
    eps, k = params[0], params[1]
    x = theta[0]
    g1 = (1.0 if x > -1.0 else -1.0) if x <= 0.0 else eps
    g2 = -eps if x <= 0.0 else (k if k * x > 1.0 else -k)
    out[0] = g1 if n == 0 else g2
