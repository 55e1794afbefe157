"""Additive noise on gradients: each law fills even (d, W) and odd (d, W) with that of steps 2·pair and 2·pair + 1.

Coordinate j uses Threefry's components first + c·j, …, first + c·j + c − 1, where c, the number of words that a value
is made of, is 1 for gaussian, pareto, symmetric_pareto and two_point and 2 for student_t, stable and stable_one. The
two words of a component serve the two steps.

Heavy tails are made of all 64 bits of a word: a uniform number is kept as its distance from the nearer end of (0, 1),
so that both ends are right down to probabilities of 2^-64. Uniforms of 52 bits would cut the tails off at 2^-52.
"""

from functools import cache

import numpy as np
from numba import types
from numba.extending import register_jitable

from dynsim._kernels.compiler import LoopCompiler
from dynsim._kernels.elementary import exp, expm1, log, sin_cos_turn
from dynsim._kernels.jit import (
    BLOCK,
    INT,
    KEY,
    VECTOR,
    bits_from_float,
    float_from_bits,
    kernel,
    widest_vectors,
)
from dynsim._kernels.threefry import _fill_words, fill_normals

# key, path, pair of steps, first component, params (law's numbers, then d scales), even (d, W), odd (d, W)
NOISE = (KEY, INT, INT, INT, VECTOR, BLOCK, BLOCK)

_ONE = np.uint64(1)
_SIDE = np.uint64(63)
_HALF_WORD = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_MIDDLE = np.uint64(0x7FFFFFFF)
_TWO_52_BITS = np.uint64(0x4330000000000000)  # OR-ing bits into the mantissa of 2^52 or 2^84 converts them
_TWO_84_BITS = np.uint64(0x4530000000000000)
_TWO_52_LESS_HALF = 4503599627370495.5
_TWO_84 = 19342813113834066795298816.0
_TWO_MINUS_64 = 5.421010862427522e-20
_LARGEST_LOG = 354.0  # values are cut off at e^354 = 1e154 scales: their squares stay finite
_ONE_OVER_PI = 0.3183098861837907

# LLVM finds a logarithm and an exponential together too long to inline, and a call keeps a loop from being SIMD code.
_inlined = register_jitable(pipeline_class=LoopCompiler, forceinline=True)


@cache
def compiled(law):
    """The kernel of one of the laws below, compiled when it is first asked for: all of them take several seconds."""
    return kernel(types.void(*NOISE))(law)


@_inlined
def nearer_end(word):
    """(r, upper) of a uniform number: its distance r, in [2^-65, ½], from the nearer end of (0, 1), and which end."""
    bits = bits_from_float(word)
    high = float_from_bits(((bits >> _HALF_WORD) & _MIDDLE) | _TWO_84_BITS) - _TWO_84
    low = float_from_bits((bits & _LOW) | _TWO_52_BITS) - _TWO_52_LESS_HALF
    return (high + low) * _TWO_MINUS_64, (bits >> _SIDE) == _ONE


@_inlined
def exponential(word):
    """E = −ln u, u uniform: exponential with mean 1, in [2^-65, 45.1], to few units in the last place at both ends."""
    r, upper = nearer_end(word)
    u = 1.0 - r if upper else r
    lost = (1.0 - u) - r if upper else 0.0  # what rounding took from 1 − r; exact
    return -(log(u) + lost / u)


@_inlined
def _signed(word, magnitude):
    """The sign is the lowest bit, which r feels where it is below 2^-11: there the odds are 1 : 1 to 2^-64/r."""
    return float_from_bits(bits_from_float(magnitude) | (bits_from_float(word) << _SIDE))


@_inlined
def student_t_value(word, angle, df, two_over_df):
    """Bailey's method: √(ν(u^{−2/ν} − 1)) cos 2πv."""
    growth = min(two_over_df * exponential(word), 2.0 * _LARGEST_LOG)
    return np.sqrt(df * expm1(growth)) * sin_cos_turn(nearer_end(angle)[0])[1]


@_inlined
def pareto_value(word, inverse_alpha):
    """u^{−1/α}."""
    return exp(min(inverse_alpha * exponential(word), _LARGEST_LOG))


@_inlined
def stable_value(word, angle, law):
    """Chambers–Mallows–Stuck for α ≠ 1, with the angle φ = ±(π/2 − πr) told by its distance from the nearer end.

    X/S = sin A / cos(φ)^{1/α} · (cos(φ − A)/E)^{(1−α)/α}, A = α(φ + φ0), S = (1 + β² tan²(πα/2))^{1/(2α)}. Let D be
    the upper or lower ``end``: sin A = ±sin π(D − turn·r) and cos(φ − A) = sin π(D + distance·r), so that nothing
    cancels where the tails are. law: 1/α, (1 − α)/α, turn = α for α < 1 and −α for α > 1, distance = |1 − α|, ends.
    """
    inverse_alpha, ratio, turn, distance, upper_end, lower_end = law
    r, upper = nearer_end(angle)
    end = upper_end if upper else lower_end
    cosine = sin_cos_turn(0.5 * r)[0]
    difference = sin_cos_turn(0.5 * (end + distance * r))[0]
    logarithm = ratio * log(difference / exponential(word)) - inverse_alpha * log(cosine)
    value = exp(min(logarithm, _LARGEST_LOG)) * sin_cos_turn(0.5 * (end - turn * r))[0]
    return value if upper else -value


@_inlined
def stable_one_value(word, angle, beta):
    """The same for α = 1: X = (2/π)((π/2 + βφ) tan φ − β ln((π/2) E cos φ / (π/2 + βφ))), π/2 + βφ = πq."""
    r, upper = nearer_end(angle)
    skew = beta if upper else -beta
    q = 0.5 * (1.0 + skew) - skew * r
    sine, cosine = sin_cos_turn(0.5 * r)
    q_tangent = q * cosine / sine
    value = q_tangent if upper else -q_tangent
    return 2.0 * (value - _ONE_OVER_PI * beta * log(0.5 * exponential(word) * sine / q))


@_inlined
def two_point_value(word, p):
    """p − z, z = 1 with probability p."""
    r, upper = nearer_end(word)
    drawn = r > 1.0 - p if upper else r < p
    return p - 1.0 if drawn else p


def gaussian(key, path, pair, first, params, even, odd):
    """s·N(0, 1). params: s (d)."""
    for j in range(even.shape[0]):
        fill_normals(key, path, pair, first + j, params[j], even[j], odd[j])


def student_t(key, path, pair, first, params, even, odd):
    """s·t_ν. params: ν, 2/ν, s (d)."""
    widest_vectors()
    df, two_over_df = params[0], params[1]
    angles = np.empty((2, even.shape[1]))
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + 2 * j, even[j], odd[j])
        _fill_words(key, path, pair, first + 2 * j + 1, angles[0], angles[1])
        scale = params[2 + j]
        for i in range(even.shape[1]):
            even[j, i] = scale * student_t_value(even[j, i], angles[0, i], df, two_over_df)
        for i in range(even.shape[1]):
            odd[j, i] = scale * student_t_value(odd[j, i], angles[1, i], df, two_over_df)


def pareto(key, path, pair, first, params, even, odd):
    """s (u^{−1/α} − α/(α − 1)). params: 1/α, α/(α − 1), s (d)."""
    widest_vectors()
    inverse_alpha, mean = params[0], params[1]
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + j, even[j], odd[j])
        scale = params[2 + j]
        for i in range(even.shape[1]):
            even[j, i] = scale * (pareto_value(even[j, i], inverse_alpha) - mean)
            odd[j, i] = scale * (pareto_value(odd[j, i], inverse_alpha) - mean)


def symmetric_pareto(key, path, pair, first, params, even, odd):
    """±s u^{−1/α}. params: 1/α, s (d)."""
    widest_vectors()
    inverse_alpha = params[0]
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + j, even[j], odd[j])
        scale = params[1 + j]
        for i in range(even.shape[1]):
            even[j, i] = _signed(even[j, i], scale * pareto_value(even[j, i], inverse_alpha))
            odd[j, i] = _signed(odd[j, i], scale * pareto_value(odd[j, i], inverse_alpha))


def stable(key, path, pair, first, params, even, odd):
    """s X, X stable with α ≠ 1. params: 1/α, (1 − α)/α, ±α, |1 − α|, upper and lower end, s S (d)."""
    widest_vectors()
    law = (params[0], params[1], params[2], params[3], params[4], params[5])
    angles = np.empty((2, even.shape[1]))
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + 2 * j, even[j], odd[j])
        _fill_words(key, path, pair, first + 2 * j + 1, angles[0], angles[1])
        scale = params[6 + j]
        for i in range(even.shape[1]):
            even[j, i] = scale * stable_value(even[j, i], angles[0, i], law)
        for i in range(even.shape[1]):
            odd[j, i] = scale * stable_value(odd[j, i], angles[1, i], law)


def stable_one(key, path, pair, first, params, even, odd):
    """s X, X stable with α = 1. params: β, s (d)."""
    widest_vectors()
    beta = params[0]
    angles = np.empty((2, even.shape[1]))
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + 2 * j, even[j], odd[j])
        _fill_words(key, path, pair, first + 2 * j + 1, angles[0], angles[1])
        scale = params[1 + j]
        for i in range(even.shape[1]):
            even[j, i] = scale * stable_one_value(even[j, i], angles[0, i], beta)
        for i in range(even.shape[1]):
            odd[j, i] = scale * stable_one_value(odd[j, i], angles[1, i], beta)


def two_point(key, path, pair, first, params, even, odd):
    """−s (1 − p) with probability p, s p otherwise. params: p, s (d)."""
    widest_vectors()
    p = params[0]
    for j in range(even.shape[0]):
        _fill_words(key, path, pair, first + j, even[j], odd[j])
        scale = params[1 + j]
        for i in range(even.shape[1]):
            even[j, i] = scale * two_point_value(even[j, i], p)
            odd[j, i] = scale * two_point_value(odd[j, i], p)
