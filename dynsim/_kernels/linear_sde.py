"""Fields of dX = −A (X − m) dt + B dW, matrix products with the lanes innermost. params: [A by rows, m, B by rows]."""

from numba import types

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import formula, kernel, widest_vectors


@formula
def _add_product(sign, matrix, y, out):
    """Out (d, W) += sign · matrix (d, n), given by rows in one vector, times y (n, W).

    Two rows and four columns at a time: each value is loaded for more than one product.
    """
    widest_vectors()
    d, n = out.shape[0], y.shape[0]
    even, whole = d - d % 2, n - n % 4
    for j in range(0, even, 2):
        for k in range(0, whole, 4):
            a0, a1 = sign * matrix[j * n + k], sign * matrix[j * n + k + 1]
            a2, a3 = sign * matrix[j * n + k + 2], sign * matrix[j * n + k + 3]
            b0, b1 = sign * matrix[(j + 1) * n + k], sign * matrix[(j + 1) * n + k + 1]
            b2, b3 = sign * matrix[(j + 1) * n + k + 2], sign * matrix[(j + 1) * n + k + 3]
            for i in range(out.shape[1]):
                y0, y1, y2, y3 = y[k, i], y[k + 1, i], y[k + 2, i], y[k + 3, i]
                out[j, i] += a0 * y0 + a1 * y1 + (a2 * y2 + a3 * y3)
                out[j + 1, i] += b0 * y0 + b1 * y1 + (b2 * y2 + b3 * y3)
    for j in range(d):
        for k in range(whole if j < even else 0, n):
            a = sign * matrix[j * n + k]
            for i in range(out.shape[1]):
                out[j, i] += a * y[k, i]


@kernel(types.void(*DRIFT))
def drift(t, x, params, out):
    """Out = −A (x − m) = A m − A x."""
    widest_vectors()
    d = x.shape[0]
    for j in range(d):
        constant = 0.0
        for k in range(d):
            constant += params[j * d + k] * params[d * d + k]
        for i in range(x.shape[1]):
            out[j, i] = constant
    _add_product(-1.0, params[: d * d], x, out)


@kernel(types.void(*DIFFUSION))
def diffusion(t, x, dw, params, out):
    """Out += B dw."""
    d = x.shape[0]
    _add_product(1.0, params[d * d + d :], dw, out)
