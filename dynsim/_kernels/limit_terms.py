"""The terms of a problem as a sampling scheme draws them: vectors u_n = c_n ∇l_n with weights w_n, for a block of θ.

They are such that, with W = Σ w_n and ū = Σ w_n u_n / W, the drawn, reweighted gradient G has the mean W ū and

    Cov G = scale · Σ w_n (u_n − ū)(u_n − ū)ᵀ + extra · ū ūᵀ,        scale, extra ≥ 0,

a sum of nothing negative. ``terms`` is a pair, what puts ∇l_n for all lanes into g (d, W), ``fill(formula, x, n, own,
g)``, and the formula. A scheme is its name, under which kernels are cached, and four formulas: ``prepare`` makes the
pass over the terms that weights need, if they need one; ``weigh`` gives (w_n, c_n) for a lane; ``finish`` gives
(scale, extra); ``move`` is what the update rule makes of u_n: nothing, or it clips it.

params: [amplitude, n, r, s, two numbers of the scheme, a_1 … a_n, table_1 … table_n, e_1 … e_d, r numbers of the
update rule, the problem's own]; s is how many rows of scratch the scheme takes, the noise has the covariance
amplitude · Cov G + diag(e).
"""

import numpy as np

from dynsim._kernels.jit import column, formula, widest_vectors
from dynsim._kernels.problems import linear_model

AMPLITUDE, N_TERMS, N_RULE, N_SCRATCH, FIRST, SECOND = range(6)
HEADER = 6


@formula
def fill_by_lanes(gradient, x, n, own, g):
    """One lane after the other."""
    widest_vectors()
    for i in range(x.shape[1]):
        gradient(column(x, i), n, own, column(g, i))


@formula
def fill_linear(slope, x, n, own, g):
    """∂φ/∂f x_n of a linear model, with the lanes innermost."""
    widest_vectors()
    dim, row = x.shape[0], n * (x.shape[0] + 1)
    y, a, b = own[row + dim], own[-2], own[-1]
    last = dim - 1
    for i in range(x.shape[1]):
        g[last, i] = own[row] * x[0, i]
    for j in range(1, dim):
        for i in range(x.shape[1]):
            g[last, i] += own[row + j] * x[j, i]
    for i in range(x.shape[1]):
        g[last, i] = slope(g[last, i], y, a, b)
    for j in range(dim):
        for i in range(x.shape[1]):
            g[j, i] = own[row + j] * g[last, i]


_SLOPES = {getattr(linear_model, f"{loss}_gradient"): slope for loss, slope in linear_model.SLOPES.items()}


def terms_of(gradient):
    """How to fill blocks with the gradients that this formula gives."""
    if gradient in _SLOPES:
        return fill_linear, _SLOPES[gradient]
    return fill_by_lanes, gradient


@formula
def n_terms_of(params):
    """N."""
    return np.int64(params[N_TERMS])


@formula
def rule_of(params, dim):
    """The numbers of the update rule."""
    first = HEADER + 2 * n_terms_of(params) + dim
    return params[first : first + np.int64(params[N_RULE])]


@formula
def own_of(params, dim):
    """The problem's own parameters."""
    return params[HEADER + 2 * n_terms_of(params) + dim + np.int64(params[N_RULE]) :]


@formula
def squared_norms(g, out):
    """out[i] = ‖g[:, i]‖²."""
    widest_vectors()
    for i in range(g.shape[1]):
        out[i] = 0.0
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            out[i] += g[j, i] * g[j, i]


@formula
def stay(u, rule):
    """The rule takes u as it is."""


@formula
def prepare_nothing(fill, gradient, x, params, g, scratch):
    """The weights of a term depend on that term alone."""


@formula
def finish_plain(total, scratch, i, params):
    """W = 1."""
    return 1.0, 0.0


@formula
def weigh_fixed(square, n, scratch, i, params):
    """w = f_n, c = a_n/f_n; table: f."""
    a, f = params[HEADER + n], params[HEADER + n_terms_of(params) + n]
    return f, a / f


@formula
def weigh_by_norm(square, n, scratch, i, params):
    """w = a‖g‖, c = 1/‖g‖: p_n = w/C and the reweighting C c, AY (3.5), but for C = W, known at the end."""
    norm = np.sqrt(square)
    return params[HEADER + n] * norm, 1.0 / norm if norm > 0.0 else 0.0


@formula
def finish_by_norm(total, scratch, i, params):
    """C = W."""
    return total, 0.0


@formula
def prepare_total_norm(fill, gradient, x, params, g, scratch):
    """scratch[0] = C = Σ a‖g‖; scratch[1] = Σ a‖g‖²/table."""
    widest_vectors()
    dim, n_terms = x.shape[0], n_terms_of(params)
    own, square = own_of(params, dim), scratch[2]
    scratch[:2] = 0.0
    for n in range(n_terms):
        a, entry = params[HEADER + n], params[HEADER + n_terms + n]
        fill(gradient, x, n, own, g)
        squared_norms(g, square)
        for i in range(x.shape[1]):
            scratch[0, i] += a * np.sqrt(square[i])
            scratch[1, i] += a / entry * square[i]


@formula
def weigh_mixture(square, n, scratch, i, params):
    """w = p = t a‖g‖/C + (1−t) a, c = a/p; number: t."""
    share, a = params[FIRST], params[HEADER + n]
    relative = np.sqrt(square) / scratch[0, i] if scratch[0, i] > 0.0 else 1.0
    p = a * (share * relative + (1.0 - share))
    return p, a / p if p > 0.0 else 0.0


@formula
def finish_rejection(total, scratch, i, params):
    """Cov = (1+x) Cov_GN + x ∇L∇Lᵀ, x = (Q Σ a‖g‖²/M / C² − 1)/proposals; numbers: Q, proposals; table: M."""
    square = params[FIRST] * scratch[1, i]
    excess = (square / (total * total) - 1.0) / params[SECOND] if total > 0.0 else 0.0
    return (1.0 + excess) * total, excess * total * total


@formula
def prepare_groups(fill, gradient, x, params, g, scratch):
    """Rows of scratch for group j: A_j = Σ a and N_j = Σ a‖g‖ over it; two more: N = Σ_j N_j, squares. table: j."""
    widest_vectors()
    dim, n_terms, n_groups = x.shape[0], n_terms_of(params), np.int64(params[FIRST])
    own, square = own_of(params, dim), scratch[2 * n_groups + 1]
    scratch[: 2 * n_groups + 1] = 0.0
    for n in range(n_terms):
        a, group = params[HEADER + n], np.int64(params[HEADER + n_terms + n])
        fill(gradient, x, n, own, g)
        squared_norms(g, square)
        for i in range(x.shape[1]):
            norm = a * np.sqrt(square[i])
            scratch[group, i] += a
            scratch[n_groups + group, i] += norm
            scratch[2 * n_groups, i] += norm


@formula
def weigh_group(square, n, scratch, i, params):
    """E[GGᵀ] = Σ a c g gᵀ with c = A_j + (N − N_j)/‖g‖, j the group of n, and w = a/c."""
    a, group = params[HEADER + n], np.int64(params[HEADER + n_terms_of(params) + n])
    n_groups, norm = np.int64(params[FIRST]), np.sqrt(square)
    rest = max(scratch[2 * n_groups, i] - scratch[n_groups + group, i], 0.0)
    c = scratch[group, i] + rest / norm if norm > 0.0 else 0.0
    return a / c if c > 0.0 else 0.0, c


@formula
def finish_group(total, scratch, i, params):
    """Σ a c g gᵀ − ∇L∇Lᵀ = Σ w (u − ū)(u − ū)ᵀ + W (1 − W) ū ūᵀ, and W ≤ Σ p_n = 1 by Jensen's inequality."""
    return 1.0, max(total * (1.0 - total), 0.0)


FIXED = ("fixed", prepare_nothing, weigh_fixed, finish_plain, stay)
BY_NORM = ("by_norm", prepare_nothing, weigh_by_norm, finish_by_norm, stay)
MIXTURE = ("mixture", prepare_total_norm, weigh_mixture, finish_plain, stay)
REJECTION = ("rejection", prepare_total_norm, weigh_by_norm, finish_rejection, stay)
GROUPS = ("groups", prepare_groups, weigh_group, finish_group, stay)


@formula
def weigh_custom(square, n, scratch, i, params):
    """w = p = t q/Σq + (1−t) a, c = a/p: NaN where a term that has a gradient is never drawn. number: t."""
    a = params[HEADER + n]
    p = params[FIRST] * scratch[n, i] / scratch[scratch.shape[0] - 1, i] + (1.0 - params[FIRST]) * a
    return p, 0.0 if p == 0.0 and square == 0.0 else a / p


def custom(proportions):
    """The scheme of a user's proportions, a compiled field: kernels with it are not cached."""

    @formula
    def prepare_custom(fill, gradient, x, params, g, scratch):
        dim, n_terms = x.shape[0], n_terms_of(params)
        proportions(x, own_of(params, dim), params[HEADER : HEADER + n_terms], 0, scratch[:n_terms])
        scratch[n_terms] = 0.0
        for n in range(n_terms):
            for i in range(x.shape[1]):
                scratch[n_terms, i] += scratch[n, i]

    return ("custom", prepare_custom, weigh_custom, finish_plain, stay)
