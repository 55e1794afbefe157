"""What steps are made of: the signature, and arithmetic on blocks (rows, W)."""

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import BLOCK, BLOCKS, FLOAT, VECTOR, formula, function_pointer, widest_vectors

# drift, diffusion, params, t, h, noise (kinds, m, W), work (n_work, max(d, m), W), x (d, W)
STEP = (function_pointer(*DRIFT), function_pointer(*DIFFUSION), VECTOR, FLOAT, FLOAT, BLOCKS, BLOCKS, BLOCK)


@formula
def fill(out, value):
    """Out = value."""
    widest_vectors()
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = value


@formula
def add(out, a, y):
    """Out += a y."""
    widest_vectors()
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] += a * y[j, i]


@formula
def set_sum(out, x, a, y):
    """Out = x + a y."""
    widest_vectors()
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = x[j, i] + a * y[j, i]
