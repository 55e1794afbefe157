"""Mean and covariance of the drawn gradient, and noise of that covariance, for a block of points."""

import numpy as np

from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.limit_terms import AMPLITUDE, HEADER, N_SCRATCH, n_terms_of, own_of, rule_of, squared_norms

# A Cholesky pivot below this share of the diagonal is rounding: Σ is rank-deficient there, and its column is zero.
_PIVOT_FLOOR = 1e-13


@formula
def add_gradient(terms, x, params, factor, g, out):
    """Out += factor · ∇L(x), g being scratch."""
    widest_vectors()
    fill, gradient = terms
    own = own_of(params, x.shape[0])
    for n in range(n_terms_of(params)):
        a = factor * params[HEADER + n]
        fill(gradient, x, n, own, g)
        for j in range(x.shape[0]):
            for i in range(x.shape[1]):
                out[j, i] += a * g[j, i]


@formula
def draw(terms, scheme, x, n, params, scratch, u, w):
    """u_n and w_n."""
    widest_vectors()
    fill, gradient = terms
    _, weigh, _, move = scheme
    dim = x.shape[0]
    fill(gradient, x, n, own_of(params, dim), u)
    squared_norms(u, w)
    for i in range(x.shape[1]):
        w[i], factor = weigh(w[i], n, scratch, i, params)
        for j in range(dim):
            u[j, i] *= factor
    move(u, rule_of(params, dim))


@formula
def scratch_of(params, width):
    """Rows for ``prepare`` and ``weigh``."""
    return np.empty((np.int64(params[N_SCRATCH]), width))


@formula
def _add_outer(d, w, off_diagonal, sigma):
    """Σ += w d dᵀ: row j·dim + m of sigma is Σ_jm, m ≤ j; without off_diagonal row j is Σ_jj."""
    widest_vectors()
    dim = d.shape[0]
    for j in range(dim):
        first, row = (0, j * dim) if off_diagonal else (j, 0)
        for m in range(first, j + 1):
            for i in range(d.shape[1]):
                sigma[row + m, i] += w[i] * d[j, i] * d[m, i]


@formula
def fill_covariance(terms, scheme, off_diagonal, x, params, mean, sigma):
    """Sigma = amplitude · Cov G + diag(e), lower triangle or diagonal; mean = E G.

    One pass over the terms: the k-th adds w_k W_{k−1}/W_k d dᵀ, d = u_k − (mean of those before). West (1979): nothing
    is subtracted that could cancel.
    """
    widest_vectors()
    prepare, _, finish, _ = scheme
    dim, width = x.shape
    u, scratch = np.empty((dim, width)), scratch_of(params, width)
    w, step, total = np.empty(width), np.empty(width), np.zeros(width)
    mean[:] = 0.0
    sigma[:] = 0.0
    prepare(terms[0], terms[1], x, params, u, scratch)
    for n in range(n_terms_of(params)):
        draw(terms, scheme, x, n, params, scratch, u, w)
        for j in range(dim):
            for i in range(width):
                u[j, i] -= mean[j, i]
        for i in range(width):
            before = total[i]
            total[i] += w[i]
            step[i] = w[i] / total[i] if total[i] != 0.0 else 0.0
            w[i] = before * step[i]
        _add_outer(u, w, off_diagonal, sigma)
        for j in range(dim):
            for i in range(width):
                mean[j, i] += step[i] * u[j, i]
    for i in range(width):
        scale, extra = finish(total[i], scratch, i, params)
        w[i], step[i] = params[AMPLITUDE] * extra, params[AMPLITUDE] * scale
    for row in range(sigma.shape[0]):
        for i in range(width):
            sigma[row, i] *= step[i]
    _add_outer(mean, w, off_diagonal, sigma)
    first = HEADER + 2 * n_terms_of(params)
    for j in range(dim):
        row = j * dim + j if off_diagonal else j
        for i in range(width):
            sigma[row, i] += params[first + j]
            mean[j, i] *= total[i]


@formula
def fill_mean(terms, scheme, x, params, mean):
    """Mean = E G."""
    widest_vectors()
    dim, width = x.shape
    u, scratch, w = np.empty((dim, width)), scratch_of(params, width), np.empty(width)
    mean[:] = 0.0
    scheme[0](terms[0], terms[1], x, params, u, scratch)
    for n in range(n_terms_of(params)):
        draw(terms, scheme, x, n, params, scratch, u, w)
        for j in range(dim):
            for i in range(width):
                mean[j, i] += w[i] * u[j, i]


@formula
def _factorize(sigma, dim, floor):
    """Cholesky in place, one column after the other; floor (W,) is scratch."""
    widest_vectors()
    width = sigma.shape[1]
    for j in range(dim):
        first = j * dim
        for i in range(width):
            floor[i] = _PIVOT_FLOOR * sigma[first + j, i]
        for m in range(j):
            for row in range(j, dim):
                for i in range(width):
                    sigma[row * dim + j, i] -= sigma[row * dim + m, i] * sigma[first + m, i]
        for i in range(width):
            pivot = sigma[first + j, i]
            floor[i] = 0.0 if pivot <= floor[i] else 1.0 / np.sqrt(pivot)  # a NaN stays one
        for row in range(j, dim):
            for i in range(width):
                sigma[row * dim + j, i] *= floor[i]


@formula
def add_by_factor(terms, scheme, x, dw, params, out):
    """Out += C dw with C Cᵀ = amplitude · Cov G + diag(e), C lower triangular."""
    widest_vectors()
    dim, width = x.shape
    mean, sigma = np.empty((dim, width)), np.empty((dim * dim, width))
    fill_covariance(terms, scheme, True, x, params, mean, sigma)
    _factorize(sigma, dim, mean[0])
    for j in range(dim):
        for m in range(j + 1):
            for i in range(width):
                out[j, i] += sigma[j * dim + m, i] * dw[m, i]


@formula
def add_by_terms(terms, scheme, x, dw, params, out):
    """Out += √amplitude Σ_n √p_n (u_n − E G) dw_n + √e dw', for independent draws: a column for each term."""
    widest_vectors()
    prepare, _, finish, _ = scheme
    dim, width = x.shape
    n_terms = n_terms_of(params)
    u, scratch = np.empty((dim, width)), scratch_of(params, width)
    mean, noise = np.zeros((dim, width)), np.zeros((dim, width))
    w, root, total, sum_noise = np.empty(width), np.empty(width), np.zeros(width), np.zeros(width)
    prepare(terms[0], terms[1], x, params, u, scratch)
    for n in range(n_terms):
        draw(terms, scheme, x, n, params, scratch, u, w)
        for i in range(width):
            total[i] += w[i]
            root[i] = np.sqrt(w[i]) * dw[n, i]
            sum_noise[i] += root[i]
        for j in range(dim):
            for i in range(width):
                mean[j, i] += w[i] * u[j, i]
                noise[j, i] += root[i] * u[j, i]
    for i in range(width):
        scale, _ = finish(total[i], scratch, i, params)
        root[i] = np.sqrt(params[AMPLITUDE] * scale)
        sum_noise[i] = sum_noise[i] / total[i] if total[i] != 0.0 else 0.0
    for j in range(dim):
        for i in range(width):
            out[j, i] += root[i] * (noise[j, i] - mean[j, i] * sum_noise[i])
    if dw.shape[0] > n_terms:
        add_constant(terms, scheme, x, dw[n_terms:], params, out)


@formula
def add_constant(terms, scheme, x, dw, params, out):
    """Out += √e dw: all that is left where a step takes all terms."""
    first = HEADER + 2 * n_terms_of(params)
    for j in range(x.shape[0]):
        root = np.sqrt(params[first + j])
        for i in range(x.shape[1]):
            out[j, i] += root * dw[j, i]
