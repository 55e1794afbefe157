"""Piecewise linear losses. At a kink the gradient is the limit from the left."""

from dynsim._kernels.jit import formula


@formula
def ramp_loss(theta, n, params):
    """−θ/(n+1) for θ ≤ 0, nθ/(n+1) for θ > 0: Z (6.11). params: [1/(n+1), n/(n+1)]."""
    x = theta[0]
    return -params[0] * x if x <= 0.0 else params[1] * x


@formula
def ramp_gradient(theta, n, params, out):
    """The slope."""
    down, up = params[0], params[1]
    out[0] = -down if theta[0] <= 0.0 else up


@formula
def abs_well_loss(theta, n, params):
    """||θ| − 1|."""
    return abs(abs(theta[0]) - 1.0)


@formula
def abs_well_gradient(theta, n, params, out):
    """∓1."""
    x = theta[0]
    out[0] = (-1.0 if x <= -1.0 else 1.0) if x <= 0.0 else (-1.0 if x <= 1.0 else 1.0)


@formula
def _highest(theta, params):
    """(max_j a_j·θ + b_j, the first j that attains it). params: the rows [a_j, b_j]."""
    dim = theta.shape[0]
    best = 0
    highest = 0.0
    for piece in range(params.shape[0] // (dim + 1)):
        row = piece * (dim + 1)
        value = params[row + dim]
        for j in range(dim):
            value += params[row + j] * theta[j]
        if piece == 0 or value > highest:
            best, highest = piece, value
    return highest, best


@formula
def max_loss(theta, n, params):
    """max_j a_j·θ + b_j."""
    return _highest(theta, params)[0]


@formula
def max_gradient(theta, n, params, out):
    """The a_j of the first piece that attains the maximum."""
    dim = theta.shape[0]
    row = _highest(theta, params)[1] * (dim + 1)
    for j in range(dim):
        out[j] = params[row + j]


@formula
def _nearest_valley(x, params):
    """The valley nearest to x, the left one of two. params: [L, s, the valleys in ascending order]."""
    nearest = params[2]
    for k in range(3, params.shape[0]):
        nearest = params[k] if abs(x - params[k]) < abs(x - nearest) else nearest
    return nearest


@formula
def zigzag_loss(theta, n, params):
    """L (min_k |θ − v_k| − s)."""
    return params[0] * (abs(theta[0] - _nearest_valley(theta[0], params)) - params[1])


@formula
def zigzag_gradient(theta, n, params, out):
    """±L."""
    slope = params[0]
    out[0] = slope if theta[0] > _nearest_valley(theta[0], params) else -slope
