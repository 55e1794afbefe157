"""exp, log and the sine and cosine of a turn as branch-free polynomials, which LLVM turns into SIMD code.

NumPy's and libm's own versions are calls, and a call in a loop over lanes keeps it scalar (9 ns per element here).
The coefficients are Chebyshev fits on the reduced ranges; the stated errors are asserted against mpmath.
"""

import numpy as np

from dynsim._kernels.jit import bits_from_float, float_from_bits, formula

_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
_EXPONENT_SHIFT = np.uint64(52)
_EXPONENT_BIAS = np.uint64(1023)
_TWO_52_BITS = np.uint64(0x4330000000000000)  # OR-ing an integer below 2^52 into 2^52's mantissa converts it
_TWO_52 = 4503599627370496.0
_ROUND = 6755399441055744.0  # adding and subtracting 1.5·2^52 rounds to an integer
_ROUND_BITS = np.uint64(0x4338000000000000)
_SIGN = np.uint64(0x8000000000000000)
_SQRT_HALF_BITS = np.uint64(0x3FE6A09E667F3BCD)
_SQRT_HALF_OFFSET = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
_LN2_HIGH = 6.93147180369123816490e-01  # trailing zeros: exact when multiplied by an exponent
_LN2_LOW = 1.90821492927058770002e-10
_LOG2_E = 1.4426950408889634
_EXP_LOWEST = -708.0  # below it the result would be subnormal; it is returned as 0
_EXP_HIGHEST = 709.0


@formula
def exp(x):
    """e^x to 2 units in the last place; 0 below -708, inf above 709, NaN for NaN."""
    clipped = min(max(x, _EXP_LOWEST), _EXP_HIGHEST)
    shifted = clipped * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (clipped - n * _LN2_HIGH) - n * _LN2_LOW
    p = 2.09146793765839351e-9
    p = p * r + 2.5105206373957011116e-8
    p = p * r + 2.7557273661348636219e-7
    p = p * r + 2.7557255425746434282e-6
    p = p * r + 2.4801587325533363819e-5
    p = p * r + 1.9841269874800491981e-4
    p = p * r + 1.3888888888883752417e-3
    p = p * r + 8.333333333326140884e-3
    p = p * r + 4.1666666666666669752e-2
    p = p * r + 1.6666666666666670986e-1
    p = p * r + 0.5
    mantissa = 1.0 + (r + r * r * p)
    exponent = bits_from_float(shifted) - _ROUND_BITS + _EXPONENT_BIAS
    value = mantissa * float_from_bits(exponent << _EXPONENT_SHIFT)
    value = 0.0 if x < _EXP_LOWEST else value
    value = np.inf if x > _EXP_HIGHEST else value
    return value if x == x else x


@formula
def log(x):
    """Ln x to 2 units in the last place, for normal positive x."""
    bits = bits_from_float(x) + _SQRT_HALF_OFFSET
    exponent = float_from_bits((bits >> _EXPONENT_SHIFT) | _TWO_52_BITS) - (_TWO_52 + 1023.0)
    mantissa = float_from_bits((bits & _MANTISSA) + _SQRT_HALF_BITS)  # in [√½, √2)
    f = mantissa - 1.0
    s = f / (2.0 + f)
    q = s * s
    p = 0.14616449685088905054
    p = p * q + 0.15331721600551690549
    p = p * q + 0.18182889125261882073
    p = p * q + 0.22222211134795077031
    p = p * q + 0.28571428625975484946
    p = p * q + 0.3999999999989950449
    p = p * q + 0.66666666666666696862
    half_square = 0.5 * f * f
    return exponent * _LN2_HIGH - ((half_square - (s * (half_square + q * p) + exponent * _LN2_LOW)) - f)


@formula
def sin_cos_eighth(r):
    """(sin 2πr, cos 2πr) to 2e-16 absolute, for |r| <= 1/8."""
    q = r * r
    s = 3.7808689593022955184
    s = s * q - 15.093804209987113512
    s = s * q + 42.058685020160894047
    s = s * q - 76.705859704274550647
    s = s * q + 81.605249275948035209
    s = s * q - 41.341702240399636207
    s = (s * q + 6.2831853071795864572) * r
    c = -1.6968494702918826806
    c = c * q + 7.9030916877516976361
    c = c * q - 26.426250908622135959
    c = c * q + 60.24464132886729332
    c = c * q - 85.456817206522712487
    c = c * q + 64.939394022667957529
    c = c * q - 19.739208802178716989
    c = c * q + 1.0
    return s, c


@formula
def quarter_turns(sine, cosine, n):
    """Sine and cosine of an angle turned on by n quarters (uint64): (s, c), (c, −s), (−s, −c), (−c, s) for n mod 4."""
    odd = (n & np.uint64(1)) != np.uint64(0)
    s = cosine if odd else sine
    c = sine if odd else cosine
    s_sign = (n << np.uint64(62)) & _SIGN
    c_sign = ((n + np.uint64(1)) << np.uint64(62)) & _SIGN
    return float_from_bits(bits_from_float(s) ^ s_sign), float_from_bits(bits_from_float(c) ^ c_sign)


@formula
def sin_cos_turn(v):
    """(sin 2πv, cos 2πv) to 4e-16 absolute, for |v| < 2^50."""
    shifted = 4.0 * v + _ROUND
    sine, cosine = sin_cos_eighth(v - 0.25 * (shifted - _ROUND))  # the difference is exact
    return quarter_turns(sine, cosine, bits_from_float(shifted))
