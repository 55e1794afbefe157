"""One hidden layer of ReLUs with the square loss. params: [h, then the rows x_n, y_n].

θ = [w_1 … w_h, b, v, c], the network Σ_j v_j max(w_j·x + b_j, 0) + c.
"""

from dynsim._kernels.jit import formula


@formula
def _sizes(theta, n, params):
    """(h, d, where row n begins)."""
    hidden = int(params[0])
    d = (theta.shape[0] - 1) // hidden - 2
    return hidden, d, 1 + n * (d + 1)


@formula
def _input(theta, unit, hidden, d, row, params):
    """w_j·x_n + b_j."""
    z = theta[hidden * d + unit]
    for i in range(d):
        z += theta[unit * d + i] * params[row + i]
    return z


@formula
def _residual(theta, n, params):
    """The network at x_n, less y_n."""
    hidden, d, row = _sizes(theta, n, params)
    r = theta[theta.shape[0] - 1] - params[row + d]
    for unit in range(hidden):
        z = _input(theta, unit, hidden, d, row, params)
        r += theta[hidden * (d + 1) + unit] * (z if z > 0.0 else 0.0)
    return r


@formula
def relu_loss(theta, n, params):
    """Half the squared residual."""
    r = _residual(theta, n, params)
    return 0.5 * r * r


@formula
def relu_gradient(theta, n, params, out):
    """The residual times the gradient of the network, where max(z, 0) has slope 0 at z = 0."""
    hidden, d, row = _sizes(theta, n, params)
    r = _residual(theta, n, params)
    for unit in range(hidden):
        z = _input(theta, unit, hidden, d, row, params)
        slope = r * theta[hidden * (d + 1) + unit] if z > 0.0 else 0.0
        for i in range(d):
            out[unit * d + i] = slope * params[row + i]
        out[hidden * d + unit] = slope
        out[hidden * (d + 1) + unit] = r * (z if z > 0.0 else 0.0)
    out[theta.shape[0] - 1] = r
