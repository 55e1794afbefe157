"""Elementary functions of dual numbers: Python that Numba compiles, each when it is used."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from dynsim._kernels import elementary
from dynsim._kernels.duals import DUAL, derivative, dual
from dynsim._kernels.jit import INNER
from dynsim._kernels.user_math import STAND_INS

# Slopes at x of the functions y = f(x).
SLOPES = {
    ("exp",): "y",
    ("exp2",): f"{math.log(2.0)!r} * y",
    ("expm1",): "exp(x)",
    ("log",): "1.0 / x",
    ("log2",): f"{1 / math.log(2.0)!r} / x",
    ("log10",): f"{1 / math.log(10.0)!r} / x",
    ("log1p",): "1.0 / (1.0 + x)",
    ("sqrt",): "0.5 / y",
    ("square",): "2.0 * x",
    ("sin",): "cos(x)",
    ("cos",): "-sin(x)",
    ("tan",): "1.0 + y * y",
    ("asin", "arcsin"): "1.0 / sqrt((1.0 - x) * (1.0 + x))",
    ("acos", "arccos"): "-1.0 / sqrt((1.0 - x) * (1.0 + x))",
    ("atan", "arctan"): "1.0 / (1.0 + x * x)",
    ("sinh",): "cosh(x)",
    ("cosh",): "sinh(x)",
    ("tanh",): "1.0 / cosh(x) ** 2",
    ("asinh", "arcsinh"): "1.0 / sqrt(1.0 + x * x)",
    ("acosh", "arccosh"): "1.0 / sqrt((x - 1.0) * (x + 1.0))",
    ("atanh", "arctanh"): "1.0 / ((1.0 - x) * (1.0 + x))",
    ("erf",): f"{2 / math.sqrt(math.pi)!r} * exp(-x * x)",
    ("erfc",): f"{-2 / math.sqrt(math.pi)!r} * exp(-x * x)",
}
# √θ_1 + θ_2 has a derivative by θ_2 where θ_1 = 0: what a tangent of 0 multiplies may be infinite.
_RULE = """
def rule(a):
    x, t = a.value, a.tangent
    y = function(x)
    return dual(y, ({slope}) * t if t != 0.0 else 0.0)
"""
_SIMD_ABLE = {
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.guarded_log,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "sinh": elementary.sinh,
    "cosh": elementary.cosh,
    "tanh": elementary.tanh,
}


def _register_elementary(function, slope):
    names = _SIMD_ABLE | {"sqrt": math.sqrt, "dual": dual, "function": _SIMD_ABLE.get(function.__name__, function)}
    exec(_RULE.format(slope=slope), names)

    @overload(function, jit_options=INNER)
    def choose(a):
        return names["rule"] if a == DUAL else None

    # the user's math.exp is this stand-in where it is compiled to SIMD code
    stand_in = STAND_INS.get(id(function))
    if stand_in is not None:
        overload(stand_in, jit_options=INNER)(choose)


for _names, _slope in SLOPES.items():
    for _function in {getattr(_module, _name) for _module in (math, np) for _name in _names if hasattr(_module, _name)}:
        _register_elementary(_function, _slope)


def _of_value(function):
    """A function that is constant between its jumps: a number, without a derivative."""

    @overload(function)
    def choose(a):
        return (lambda a: function(a.value)) if a == DUAL else None


for _function in (math.floor, math.ceil, math.isnan, math.isinf, math.isfinite):
    _of_value(_function)
for _function in (np.floor, np.ceil, np.sign, np.isnan, np.isinf, np.isfinite):
    _of_value(_function)


def value_of(operand):
    """The value of a dual, or the operand that is none."""


@overload(value_of)
def _value_of(operand):
    return (lambda operand: operand.value) if operand == DUAL else lambda operand: operand


def _is_number(operand):
    return operand == DUAL or isinstance(operand, types.Number)


def _two_numbers(function, rule):
    @overload(function, jit_options=INNER)
    def choose(a, b):
        return rule if DUAL in (a, b) and all(_is_number(operand) for operand in (a, b)) else None


def _angle(a, b):
    y, x = value_of(a), value_of(b)
    square = x * x + y * y
    turn = x * derivative(a) - y * derivative(b)
    return dual(math.atan2(y, x), turn / square if square != 0.0 else 0.0)


def _hypotenuse(a, b):
    x, y = value_of(a), value_of(b)
    length = math.hypot(x, y)
    growth = 0.0  # at its minimum
    if length != 0.0:
        growth = x / length * derivative(a) + y / length * derivative(b)
    return dual(length, growth)


def _with_sign(a, b):
    sign = math.copysign(1.0, value_of(a)) * math.copysign(1.0, value_of(b))
    return dual(sign * value_of(a), sign * derivative(a))


def _log_of_sum(a, b):
    x, y = value_of(a), value_of(b)
    total = np.logaddexp(x, y)
    return dual(total, math.exp(x - total) * derivative(a) + math.exp(y - total) * derivative(b))


for _function, _rule in {
    math.atan2: _angle,
    np.arctan2: _angle,
    math.hypot: _hypotenuse,
    np.hypot: _hypotenuse,
    math.copysign: _with_sign,
    np.copysign: _with_sign,
    np.logaddexp: _log_of_sum,
}.items():
    _two_numbers(_function, _rule)
