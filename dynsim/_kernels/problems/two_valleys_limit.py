"""The limit SDE on AY §2.1: drift and noise are constant in each of the four regions, so nothing is summed over terms.

params: [1/K, μ_1 … μ_4, σ_1 … σ_4], the regions being (−∞, −1], (−1, 0], (0, 1/K] and (1/K, ∞).
"""

from numba import types

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import formula, kernel, widest_vectors


@formula
def _of_region(x, kink, first, second, third, fourth):
    return (second if x > -1.0 else first) if x <= 0.0 else (fourth if x > kink else third)


@kernel(types.void(*DRIFT))
def drift(t, x, params, out):
    """out = μ of the region."""
    widest_vectors()
    kink, m1, m2, m3, m4 = params[0], params[1], params[2], params[3], params[4]
    for i in range(x.shape[1]):
        out[0, i] = _of_region(x[0, i], kink, m1, m2, m3, m4)


@kernel(types.void(*DIFFUSION))
def diffusion(t, x, dw, params, out):
    """out += σ of the region · dw."""
    widest_vectors()
    kink, s1, s2, s3, s4 = params[0], params[5], params[6], params[7], params[8]
    for i in range(x.shape[1]):
        out[0, i] += _of_region(x[0, i], kink, s1, s2, s3, s4) * dw[0, i]
