"""Elementary functions as branch-free polynomials, which LLVM turns into SIMD code.

NumPy's and libm's own versions are calls, and a call in a loop over lanes keeps it scalar (9 ns per element here).
The coefficients are Chebyshev or minimax fits on the reduced ranges; the stated errors are asserted against mpmath.
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
_TANH_IS_ONE = 44.0  # 2|x| from which tanh rounds to 1
_SMALLEST_NORMAL = 2.2250738585072014e-308
_TWO_54 = 18014398509481984.0
_LN_TWO_54 = 37.42994775023705
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI_HIGH = 1.5707963267341256  # 33 bits: exact when multiplied by fewer than 2^20 quarter turns
_HALF_PI_MIDDLE = 6.077100506303966e-11  # 33 bits
_HALF_PI_LOW = 2.0222662487959506e-21
_EIGHTH_TURN = 0.79  # a little more than π/4


@formula
def scale_and_excess(x):
    """(2^n, p) with e^x = 2^n (1 + p) and |p| < 0.42, for -708 <= x <= 709."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
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
    exponent = bits_from_float(shifted) - _ROUND_BITS + _EXPONENT_BIAS
    return float_from_bits(exponent << _EXPONENT_SHIFT), r + r * r * p


@formula
def exp(x):
    """e^x to 2 units in the last place; 0 below -708, inf above 709, NaN for NaN."""
    clipped = _EXP_LOWEST if x < _EXP_LOWEST else x  # NaN passes, here and below
    scale, excess = scale_and_excess(_EXP_HIGHEST if clipped > _EXP_HIGHEST else clipped)
    value = (1.0 + excess) * scale
    value = 0.0 if x < _EXP_LOWEST else value
    return np.inf if x > _EXP_HIGHEST else value


@formula
def expm1(x):
    """e^x − 1 to 2 units in the last place, near 0 too; inf above 709, NaN for NaN."""
    scale, excess = scale_and_excess(min(max(x, _EXP_LOWEST), _EXP_HIGHEST))
    value = scale * excess + (scale - 1.0)
    value = np.inf if x > _EXP_HIGHEST else value
    return value if x == x and x != 0.0 else x


@formula
def with_sign_of(x, magnitude):
    """The magnitude (positive) with the sign of x."""
    return float_from_bits(bits_from_float(magnitude) | (bits_from_float(x) & _SIGN))


@formula
def tanh(x):
    """Tanh x to 3 units in the last place, near 0 too; ±1 at ±inf, NaN for NaN."""
    scale, excess = scale_and_excess(min(2.0 * abs(x), _TANH_IS_ONE))
    rise = scale * excess + (scale - 1.0)  # e^2|x| − 1
    return with_sign_of(x, rise / (rise + 2.0)) if x == x else x


@formula
def sinh(x):
    """Sinh x to 3 units in the last place, near 0 too; ±inf beyond ±709, NaN for NaN."""
    rise = expm1(abs(x))
    return with_sign_of(x, 0.5 * (rise + rise / (rise + 1.0))) if abs(x) <= _EXP_HIGHEST else x * np.inf


@formula
def cosh(x):
    """Cosh x to 2 units in the last place; inf beyond ±709, NaN for NaN."""
    growth = exp(abs(x))
    return 0.5 * growth + 0.5 / growth


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
def guarded_log(x):
    """Ln x to 2 units in the last place, subnormal x too; −inf for ±0, NaN below 0 and for NaN, inf for inf."""
    subnormal = x < _SMALLEST_NORMAL
    value = log(x * _TWO_54 if subnormal else x) - (_LN_TWO_54 if subnormal else 0.0)
    value = value if x < np.inf else x
    value = np.nan if x < 0.0 else value
    return -np.inf if x == 0.0 else value


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


@formula
def sin_cos(x):
    """(sin x, cos x) to 2 units in the last place or 1e-30, whichever is more, for |x| <= 1e6; NaN for ±inf and NaN.

    Beyond 1.6e6 the error grows to |x| 2^-52, what rounding x costs. Beyond 3e15, where doubles are half a unit apart,
    the values stay within ±1 but mean nothing.
    """
    shifted = x * _TWO_OVER_PI + _ROUND
    n = shifted - _ROUND
    high = x - n * _HALF_PI_HIGH  # Cody–Waite: exact, as is the next product
    r = high - n * _HALF_PI_MIDDLE
    r += ((high - r) - n * _HALF_PI_MIDDLE) - n * _HALF_PI_LOW
    r = min(max(r, -_EIGHTH_TURN), _EIGHTH_TURN)
    q = r * r
    s = 1.5896795404043302e-10
    s = s * q - 2.5050758110514085e-08
    s = s * q + 2.7557313691883817e-06
    s = s * q - 1.9841269829807694e-04
    s = s * q + 8.333333333322413e-03
    s = s * q - 1.6666666666666632e-01
    c = -1.1359647441284318e-11
    c = c * q + 2.0875723265778983e-09
    c = c * q - 2.7557314352273896e-07
    c = c * q + 2.4801587289481964e-05
    c = c * q - 1.3888888888874123e-03
    c = c * q + 4.16666666666666e-02
    sine, cosine = quarter_turns(r + r * q * s, 1.0 - (0.5 * q - q * q * c), bits_from_float(shifted))
    finite = abs(x) < np.inf
    return sine if finite else np.nan, cosine if finite else np.nan


@formula
def sin(x):
    """Sin x as :func:`sin_cos` gives it, with the sign of a zero."""
    return sin_cos(x)[0] if x != 0.0 else x


@formula
def cos(x):
    """Cos x as :func:`sin_cos` gives it."""
    return sin_cos(x)[1]
