"""The Itô limit dΘ = −∇L dt + √η Σ(Θ)^½ dW of a reweighted SGD chain, AY (3.4) and (3.6), as block fields.

params: [η, n, t, a_1 … a_n, f_1 … f_n, the problem's own]; terms are drawn by t p^GN + (1−t) f.
"""

import functools

import numpy as np
from numba import types

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import column, kernel_of, widest_vectors

HEADER = 3
# A Cholesky pivot below this share of the diagonal is rounding: Σ is rank-deficient there, and its column is zero.
_PIVOT_FLOOR = 1e-13


@functools.cache
def limit_drift(gradient, cache=True):
    """Out = −∇L(x) = −Σ a_n ∇l_n(x)."""

    @kernel_of(gradient, types.void(*DRIFT), cache=cache)
    def drift(t, x, params, out):
        widest_vectors()
        n_terms = np.int64(params[1])
        own = params[HEADER + 2 * n_terms :]
        g = np.empty_like(x)
        for j in range(x.shape[0]):
            for i in range(x.shape[1]):
                out[j, i] = 0.0
        for n in range(n_terms):
            a = params[HEADER + n]
            for i in range(x.shape[1]):
                gradient(column(x, i), n, own, column(g, i))
            for j in range(x.shape[0]):
                for i in range(x.shape[1]):
                    out[j, i] -= a * g[j, i]

    return drift


@functools.cache
def limit_diffusion(gradient, cache=True):
    """Out += √η C dw with C Cᵀ = Σ(x) = Σ p_n v_n v_nᵀ, v_n = (a_n/p_n) ∇l_n − ∇L, C lower triangular."""

    @kernel_of(gradient, types.void(*DIFFUSION), cache=cache)
    def diffusion(t, x, dw, params, out):
        widest_vectors()
        dim, width = x.shape
        sqrt_eta = np.sqrt(params[0])
        n_terms = np.int64(params[1])
        share = params[2]
        own = params[HEADER + 2 * n_terms :]
        g = np.empty((dim, width))
        mean = np.zeros((dim, width))
        norm = np.empty(width)
        total = np.zeros(width)
        for n in range(n_terms):
            a = params[HEADER + n]
            for i in range(width):
                gradient(column(x, i), n, own, column(g, i))
                norm[i] = 0.0
            for j in range(dim):
                for i in range(width):
                    mean[j, i] += a * g[j, i]
                    norm[i] += g[j, i] * g[j, i]
            for i in range(width):
                total[i] += a * np.sqrt(norm[i])

        sigma = np.zeros((dim * dim, width))  # row j·dim + l holds Σ_jl, l ≤ j
        for n in range(n_terms):
            a = params[HEADER + n]
            f = params[HEADER + n_terms + n]
            for i in range(width):
                gradient(column(x, i), n, own, column(g, i))
                norm[i] = 0.0
            for j in range(dim):
                for i in range(width):
                    norm[i] += g[j, i] * g[j, i]
            for i in range(width):  # norm becomes p_n
                factor = share * a / total[i] if total[i] > 0.0 else 0.0
                norm[i] = factor * np.sqrt(norm[i]) + (1.0 - share) * f
            for j in range(dim):
                for i in range(width):
                    g[j, i] = a / norm[i] * g[j, i] - mean[j, i] if norm[i] > 0.0 else 0.0
            for j in range(dim):
                for m in range(j + 1):
                    for i in range(width):
                        sigma[j * dim + m, i] += norm[i] * g[j, i] * g[m, i] if norm[i] > 0.0 else 0.0

        for j in range(dim):  # Cholesky in place, one column after the other
            for i in range(width):
                pivot = sigma[j * dim + j, i]
                for m in range(j):
                    pivot -= sigma[j * dim + m, i] * sigma[j * dim + m, i]
                pivot = np.sqrt(pivot) if pivot > _PIVOT_FLOOR * sigma[j * dim + j, i] else 0.0
                sigma[j * dim + j, i] = pivot
                for row in range(j + 1, dim):
                    entry = sigma[row * dim + j, i]
                    for m in range(j):
                        entry -= sigma[row * dim + m, i] * sigma[j * dim + m, i]
                    sigma[row * dim + j, i] = entry / pivot if pivot > 0.0 else 0.0

        for j in range(dim):
            for m in range(j + 1):
                for i in range(width):
                    out[j, i] += sqrt_eta * sigma[j * dim + m, i] * dw[m, i]

    return diffusion
