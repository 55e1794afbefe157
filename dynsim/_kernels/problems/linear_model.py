"""Losses φ(θ·x_n, y_n) of a linear model, each a formula φ(f, y, a, b) and its slope ∂φ/∂f.

params: the rows [x_n, y_n], one after the other, then the two parameters a, b of the loss, 0 where it has none.
"""

import functools

import numpy as np
from numba import types

from dynsim._kernels.elementary import exp, expm1, log
from dynsim._kernels.fields import GRADIENTS, PROPORTIONS
from dynsim._kernels.jit import formula, kernel_of, widest_vectors

_NO_UNIT_LEFT = 1e15  # 1 + u is u to rounding
_SERIES_BELOW = 1e-2  # where the series and e^r − 1 − r are both right to 1e-13


@formula
def _log1p(u):
    """Ln(1 + u) to a few units in the last place, for u ≥ 0: the rounding of 1 + u is divided out."""
    w = 1.0 + u
    value = log(w)
    rounded = w - 1.0
    corrected = u * value / (rounded if rounded != 0.0 else 1.0)
    corrected = u if rounded == 0.0 else corrected
    return value if u > _NO_UNIT_LEFT else corrected


@formula
def square(f, y, a, b):
    """r²/2, AY (3.7)."""
    r = f - y
    return 0.5 * r * r


@formula
def square_slope(f, y, a, b):
    """r."""
    return f - y


@formula
def welsch(f, y, a, b):
    """1 − exp(−r²/2), AY (4.1)."""
    r = f - y
    return -expm1(-0.5 * r * r)


@formula
def welsch_slope(f, y, a, b):
    """r exp(−r²/2)."""
    r = f - y
    return r * exp(-0.5 * r * r)


@formula
def huber(f, y, delta, b):
    """r²/2 up to |r| = δ, δ|r| − δ²/2 beyond."""
    r = abs(f - y)
    return 0.5 * r * r if r <= delta else delta * (r - 0.5 * delta)


@formula
def huber_slope(f, y, delta, b):
    """r, cut off at ±δ."""
    r = f - y
    raised = -delta if r < -delta else r
    return delta if r > delta else raised


@formula
def _barron_logarithm(q, alpha):
    """(|α − 2|, ln(q/|α − 2| + 1)); the logarithm has no meaning at α = 2."""
    distance = abs(alpha - 2.0)
    return distance, _log1p(q / distance)


@formula
def barron(f, y, alpha, c):
    """|α−2|/α [((r/c)²/|α−2| + 1)^{α/2} − 1], Barron (2019), equation 8; with M, z below it is ½ M (e^z − 1)/z.

    Then α = 0, the limit z → 0, is no special case, and α = 2 and α = −∞ differ in M and z only.
    """
    r = (f - y) / c
    q = r * r
    distance, logarithm = _barron_logarithm(q, alpha)
    at_end = alpha == 2.0 or alpha == -np.inf
    m = q if at_end else distance * logarithm
    z = 0.5 * alpha * logarithm
    z = -0.5 * q if alpha == -np.inf else z
    z = 0.0 if alpha == 2.0 else z
    ratio = expm1(z) / (z if z != 0.0 else 1.0)
    return 0.5 * m * (ratio if z != 0.0 else 1.0)


@formula
def barron_slope(f, y, alpha, c):
    """R/c² ((r/c)²/|α−2| + 1)^{α/2 − 1}, Barron (2019), equation 10."""
    r = f - y
    q = r * r / (c * c)
    z = (0.5 * alpha - 1.0) * _barron_logarithm(q, alpha)[1]
    z = -0.5 * q if alpha == -np.inf else z
    z = 0.0 if alpha == 2.0 else z
    return r / (c * c) * exp(z)


@formula
def logistic(f, y, a, b):
    """Ln(1 + e^m), m = f for y = 0 and −f for y = 1."""
    m = (1.0 - 2.0 * y) * f
    return (m if m > 0.0 else 0.0) + _log1p(exp(-abs(m)))


@formula
def logistic_slope(f, y, a, b):
    """±1/(1 + e^−m)."""
    sign = 1.0 - 2.0 * y
    m = sign * f
    decay = exp(-abs(m))
    return sign * (1.0 if m > 0.0 else decay) / (1.0 + decay)


@formula
def poisson(f, y, a, b):
    """e^f − y f − y + y ln y, y (e^r − 1 − r) with r = f − ln y where y > 0: half the deviance."""
    r = f - log(y if y > 0.0 else 1.0)
    series = 1.0 + r / 3.0 * (1.0 + r / 4.0 * (1.0 + r / 5.0 * (1.0 + r / 6.0 * (1.0 + r / 7.0))))
    excess = 0.5 * r * r * series if abs(r) < _SERIES_BELOW else expm1(r) - r
    return y * excess if y > 0.0 else exp(f)


@formula
def poisson_slope(f, y, a, b):
    """e^f − y."""
    return exp(f) - y


SLOPES = {
    "square": square_slope,
    "welsch": welsch_slope,
    "barron": barron_slope,
    "huber": huber_slope,
    "logistic": logistic_slope,
    "poisson": poisson_slope,
}


REACHES = {welsch_slope: 37.63}  # |f − y| from which a slope is 0: exp is, below −708


@formula
def _prediction(theta, n, params):
    """θ·x_n."""
    dim = theta.shape[0]
    row = n * (dim + 1)
    f = params[row] * theta[0]
    for j in range(1, dim):
        f += params[row + j] * theta[j]
    return f


def _named(function, name):
    """A formula under the name that it has in this module: see jit.kernel_of."""
    function.__name__ = function.__qualname__ = name
    return formula(function)


def _terms(phi, slope):
    """Loss and gradient of one term at one θ."""

    def loss(theta, n, params):
        y = params[n * (theta.shape[0] + 1) + theta.shape[0]]
        return phi(_prediction(theta, n, params), y, params[-2], params[-1])

    def gradient(theta, n, params, out):
        dim = theta.shape[0]
        row = n * (dim + 1)
        s = slope(_prediction(theta, n, params), params[row + dim], params[-2], params[-1])
        for j in range(dim):
            out[j] = s * params[row + j]

    return _named(loss, f"{phi.__name__}_loss"), _named(gradient, f"{phi.__name__}_gradient")


square_loss, square_gradient = _terms(square, square_slope)
welsch_loss, welsch_gradient = _terms(welsch, welsch_slope)
barron_loss, barron_gradient = _terms(barron, barron_slope)
huber_loss, huber_gradient = _terms(huber, huber_slope)
logistic_loss, logistic_gradient = _terms(logistic, logistic_slope)
poisson_loss, poisson_gradient = _terms(poisson, poisson_slope)


@formula
def _fill_predictions(x, n, params, c, out):
    """out[c, i] = θ_i·x_n, for all lanes; and ‖x_n‖."""
    widest_vectors()
    dim = x.shape[0]
    row = n * (dim + 1)
    feature = params[row]
    square = feature * feature
    for i in range(x.shape[1]):
        out[c, i] = feature * x[0, i]
    for j in range(1, dim - 3, 4):  # by fours: a fourth as often through out
        f0, f1, f2, f3 = params[row + j], params[row + j + 1], params[row + j + 2], params[row + j + 3]
        square += f0 * f0 + f1 * f1 + (f2 * f2 + f3 * f3)
        for i in range(x.shape[1]):
            out[c, i] += f0 * x[j, i] + f1 * x[j + 1, i] + (f2 * x[j + 2, i] + f3 * x[j + 3, i])
    for j in range(dim - (dim - 1) % 4, dim):
        feature = params[row + j]
        square += feature * feature
        for i in range(x.shape[1]):
            out[c, i] += feature * x[j, i]
    return np.sqrt(square)


@formula
def _fill_drawn_predictions(x, params, term, f, y):
    """f[i] = θ_i·x_n and y[i] = y_n for the term n = term[i] of each lane: gathers, with the lanes innermost."""
    widest_vectors()
    dim = x.shape[0]
    for i in range(x.shape[1]):
        y[i] = params[term[i] * (dim + 1) + dim]
        f[i] = params[term[i] * (dim + 1)] * x[0, i]
    for j in range(1, dim):
        for i in range(x.shape[1]):
            f[i] += params[term[i] * (dim + 1) + j] * x[j, i]


@functools.cache
def norms_field(slope, cache=True):
    """out[c, i] = a_n |∂φ/∂f| ‖x_n‖, n = first + c: gradient_norms_field with the lanes innermost throughout.

    A term whose data lie out of reach of all lanes costs no exponential: with outliers, most do.
    """
    reach = REACHES.get(slope, np.inf)

    @kernel_of(slope, types.void(*PROPORTIONS), cache=cache)
    def norms(x, params, weights, first, out):
        widest_vectors()
        dim, a, b = x.shape[0], params[-2], params[-1]
        for c in range(out.shape[0]):
            n = first + c
            y = params[n * (dim + 1) + dim]
            scale = weights[n] * _fill_predictions(x, n, params, c, out)
            near = 0
            for i in range(x.shape[1]):
                near += 0 if abs(out[c, i] - y) > reach else 1  # NaN is near
            if near == 0:
                out[c, :] = 0.0
                continue
            for i in range(x.shape[1]):
                out[c, i] = scale * abs(slope(out[c, i], y, a, b))

    return norms


@functools.cache
def drawn_gradients_field(slope, cache=True):
    """out[:, i] = ∂φ/∂f x_n, n = term[i]: gradients_field with the lanes innermost throughout."""

    @kernel_of(slope, types.void(*GRADIENTS), cache=cache)
    def gradients(x, params, term, out):
        widest_vectors()
        dim, a, b = x.shape[0], params[-2], params[-1]
        s, y = np.empty(x.shape[1]), out[0]  # which is free till the end
        _fill_drawn_predictions(x, params, term, s, y)
        for i in range(x.shape[1]):
            s[i] = slope(s[i], y[i], a, b)
        for j in range(dim):
            for i in range(x.shape[1]):
                out[j, i] = s[i] * params[term[i] * (dim + 1) + j]

    return gradients
