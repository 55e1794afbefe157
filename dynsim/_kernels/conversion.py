"""From the Itô to the Stratonovich drift and back: they differ by c = ½ Σ_j (∇σ_j) σ_j.

Kloeden & Platen (1992), (4.9.11).
"""

import numpy as np
from numba import types

from dynsim._kernels.fields import DRIFT
from dynsim._kernels.jit import kernel, widest_vectors

_STEP = 6e-6  # of the central difference along σ_j, relative to 1 + |x|: ∛ε


def corrected_drift(drift, diffusion, noise_dim, sign):
    """The field drift + sign · c, c by central differences, to a relative 1e-9 or so for x and σ of order one.

    Where σ is not defined on one side, as √x is near 0, the differences are taken relative to |x|. Compiled for the
    fields that it is given, and so not cached.
    """

    @kernel(types.void(*DRIFT), cache=False)
    def corrected(t, x, params, out):
        widest_vectors()
        dim, width = x.shape
        unit = np.zeros((noise_dim, width))
        column, shifted = np.empty((dim, width)), np.empty((dim, width))
        ahead, behind, eps = np.empty((dim, width)), np.empty((dim, width)), np.empty(width)
        drift(t, x, params, out)
        for c in range(noise_dim):
            unit[:] = 0.0
            unit[c] = 1.0
            column[:] = 0.0
            diffusion(t, x, unit, params, column)
            for attempt in range(2):
                n_undefined = 0
                for i in range(width):
                    size, length, known = 0.0, 0.0, True
                    for j in range(dim):
                        size = max(size, abs(x[j, i]))
                        length = max(length, abs(column[j, i]))
                        if attempt == 1:
                            known = known and np.isfinite(ahead[j, i]) and np.isfinite(behind[j, i])
                    if attempt == 0 or not known:
                        size = size if attempt == 1 else 1.0 + size
                        eps[i] = _STEP * size / length if length > 0.0 else 0.0
                        n_undefined += 1
                if n_undefined == 0:
                    break
                for side in (1.0, -1.0):
                    change = ahead if side > 0.0 else behind
                    change[:] = 0.0
                    for j in range(dim):
                        for i in range(width):
                            shifted[j, i] = x[j, i] + side * eps[i] * column[j, i]
                    diffusion(t, shifted, unit, params, change)
            for j in range(dim):
                for i in range(width):
                    if eps[i] > 0.0:
                        out[j, i] += sign * 0.25 * (ahead[j, i] - behind[j, i]) / eps[i]

    return corrected
