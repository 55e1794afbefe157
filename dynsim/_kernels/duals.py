"""Dual numbers: a value and its derivative in one direction, carried together through a user's formula.

What compares duals compares their values, so a formula takes the branch that it takes on numbers. At a kink of abs, min
and max a branch is taken too, whatever the tangents are, so that the derivatives by all coordinates are of one piece:
of equal arguments the first counts, and |a| is −a at 0.

The arithmetic of numbers is here, written as LLVM code, because Numba takes 50 ms to compile each rule that is written
in Python. dual_functions.py has the elementary functions, dual_arrays.py has arrays.
"""

import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_cast,
    make_attribute_wrapper,
    models,
    overload,
    register_model,
)

from dynsim._kernels.jit import FLOAT, INNER

_DOUBLE = ir.DoubleType()
_ZERO, _ONE = ir.Constant(_DOUBLE, 0.0), ir.Constant(_DOUBLE, 1.0)
_MOST_MULTIPLIED = 64  # integer powers up to this one are products


class Dual(types.Type):
    """The type of a pair (value, tangent) of float64."""

    has_rules = True  # for the elementary functions

    def __init__(self):
        super().__init__("Dual")

    def unify(self, typing_context, other):
        """A variable that holds a number first and a dual later is a dual."""
        return self if isinstance(other, types.Number) else None

    def can_convert_from(self, typing_context, other):
        """A number is a constant, whose derivative is 0."""
        return typing_context.can_convert(other, FLOAT) if isinstance(other, types.Number) else None


DUAL = Dual()
make_attribute_wrapper(Dual, "value", "value")
make_attribute_wrapper(Dual, "tangent", "tangent")


@register_model(Dual)
class _Model(models.StructModel):
    def __init__(self, manager, dual_type):
        super().__init__(manager, dual_type, [("value", FLOAT), ("tangent", FLOAT)])


@lower_cast(types.Number, Dual)
def _constant(context, builder, number, target, value):
    return _packed(context, builder, context.cast(builder, value, number, FLOAT), context.get_constant(FLOAT, 0.0))


@lower_constant(Dual)
def _literal(context, builder, kind, number):
    return ir.Constant.literal_struct([context.get_constant(FLOAT, number), _ZERO])


@intrinsic
def dual(typing_context, value, tangent):
    """The dual number of two float64."""

    def generate(context, builder, signature, operands):
        return _packed(context, builder, *operands)

    return DUAL(FLOAT, FLOAT), generate


def derivative(value):
    """The derivative that a formula's result carries: 0 for a number, which does not depend on θ."""


@overload(derivative, jit_options=INNER)
def _derivative(value):
    if value == DUAL:
        return lambda value: value.tangent
    if isinstance(value, types.Number | types.Boolean):
        return lambda value: 0.0
    return None


def _packed(context, builder, value, tangent):
    result = cgutils.create_struct_proxy(DUAL)(context, builder)
    result.value, result.tangent = value, tangent
    return result._getvalue()


def _parts(context, builder, kind, operand):
    """(value, tangent) of an operand; the tangent of a number is None, and no code is spent on it."""
    if kind != DUAL:
        return operand, None
    pair = cgutils.create_struct_proxy(kind)(context, builder, value=operand)
    return pair.value, pair.tangent


# -- rules, from the (value, tangent) of each operand to that of the result


def _scaled(builder, factor, tangent):
    return None if tangent is None else builder.fmul(factor, tangent)


def _total(builder, s, t):
    return t if s is None else s if t is None else builder.fadd(s, t)


def _negative(builder, t):
    return None if t is None else builder.fneg(t)


def _sum(context, builder, a, b):
    return builder.fadd(a[0], b[0]), _total(builder, a[1], b[1])


def _difference(context, builder, a, b):
    return builder.fsub(a[0], b[0]), _total(builder, a[1], _negative(builder, b[1]))


def _product(context, builder, a, b):
    return builder.fmul(a[0], b[0]), _total(builder, _scaled(builder, b[0], a[1]), _scaled(builder, a[0], b[1]))


def _quotient(context, builder, a, b):
    q = builder.fdiv(a[0], b[0])
    change = _total(builder, a[1], _negative(builder, _scaled(builder, q, b[1])))
    return q, builder.fdiv(change, b[0])


def _remainder(context, builder, a, b):
    """a % b = a − k b with the tangent a' − k b', k a whole number."""
    value = context.get_function(operator.mod, signature(FLOAT, FLOAT, FLOAT))(builder, (a[0], b[0]))
    k = builder.fdiv(builder.fsub(a[0], value), b[0])
    return value, _total(builder, a[1], _negative(builder, _scaled(builder, k, b[1])))


def _power(context, builder, a, b):
    """a^b: b a^(b−1) a' + ln(a) a^b b'. What a tangent of 0 multiplies may be infinite or undefined."""
    power = context.get_function(operator.pow, signature(FLOAT, FLOAT, FLOAT))
    log = context.get_function(math.log, signature(FLOAT, FLOAT))
    value = power(builder, (a[0], b[0]))
    of_base = of_exponent = None
    if a[1] is not None:
        slope = builder.fmul(b[0], power(builder, (a[0], builder.fsub(b[0], _ONE))))
        of_base = _unless_zero(builder, b[0], _unless_zero(builder, a[1], builder.fmul(slope, a[1])))
    if b[1] is not None:
        slope = builder.fmul(log(builder, (a[0],)), value)
        of_exponent = _unless_zero(builder, value, _unless_zero(builder, b[1], builder.fmul(slope, b[1])))
    return value, _total(builder, of_base, of_exponent)


def _integer_power(context, builder, a, exponent):
    """a^k = a^(k−1) a with the tangent k a^(k−1) a', by squaring; a^−k = 1/a^k."""
    value, below = a[0], _ONE
    for digit in bin(abs(exponent))[3:]:
        value, below = builder.fmul(value, value), builder.fmul(value, below)
        if digit == "1":
            value, below = builder.fmul(value, a[0]), value
    power = value, builder.fmul(builder.fmul(ir.Constant(_DOUBLE, abs(exponent)), below), a[1])
    return power if exponent > 0 else _quotient(context, builder, (_ONE, None), power)


def _unless_zero(builder, factor, product):
    return builder.select(builder.fcmp_ordered("==", factor, _ZERO), _ZERO, product)


def _greatest(sign):
    """The greatest of some duals, with sign ">", or the smallest; the first of equal ones."""

    def rule(context, builder, first, *others):
        best, slope = first
        for value, tangent in others:
            better = builder.fcmp_ordered(sign, value, best)
            best, slope = builder.select(better, value, best), builder.select(better, tangent, slope)
        return best, slope

    return rule


def _magnitude(context, builder, a):
    """|a|, with the tangent −a' where a = 0."""
    value, tangent = a
    falls = builder.fcmp_ordered("<", value, _ZERO)
    flips = builder.fcmp_ordered("<=", value, _ZERO)
    return builder.select(falls, builder.fneg(value), value), builder.select(flips, builder.fneg(tangent), tangent)


# -- registration


def _typed(function, choose, *, literal=False):
    """Tell Numba the signature of a function for arguments that ``choose`` knows what to do with."""

    class Typing(AbstractTemplate):
        key = function
        prefer_literal = literal

        def generic(self, args, kws):
            numbers = (
                DUAL in args and all(isinstance(arg, Dual | types.Number | types.Boolean) for arg in args) and not kws
            )
            return choose(args) if numbers else None

    infer_global(function)(Typing)


def _binary(function, rule, result=DUAL):
    def choose(args):
        if len(args) != 2:
            return None
        if rule is _power and isinstance(args[1], types.IntegerLiteral):
            return signature(DUAL, *args) if 0 < abs(args[1].literal_value) <= _MOST_MULTIPLIED else None
        return signature(result, *(arg if arg == DUAL else FLOAT for arg in args))

    def generate(context, builder, signature, operands):
        parts = [_parts(context, builder, *pair) for pair in zip(signature.args, operands, strict=True)]
        outcome = rule(context, builder, *parts)
        return _packed(context, builder, *outcome) if result == DUAL else outcome

    def generate_integer_power(context, builder, signature, operands):
        a = _parts(context, builder, DUAL, operands[0])
        return _packed(context, builder, *_integer_power(context, builder, a, signature.args[1].literal_value))

    _typed(function, choose, literal=rule is _power)
    if rule is _power:
        lower_builtin(function, Dual, types.IntegerLiteral)(generate_integer_power)
    for operands in ((Dual, Dual), (Dual, FLOAT), (FLOAT, Dual)):
        lower_builtin(function, *operands)(generate)


def _of_duals(function, rule, arities):
    """A function whose arguments are all made duals."""

    def generate(context, builder, signature, operands):
        return _packed(
            context, builder, *rule(context, builder, *(_parts(context, builder, DUAL, x) for x in operands))
        )

    _typed(function, lambda args: signature(DUAL, *[DUAL] * len(args)) if len(args) in arities else None)
    for arity in arities:
        lower_builtin(function, *[Dual] * arity)(generate)


def _comparison(sign):
    ordered = "fcmp_unordered" if sign == "!=" else "fcmp_ordered"  # NaN differs from all
    return lambda context, builder, a, b: getattr(builder, ordered)(sign, a[0], b[0])


def _register_all():
    for rule, functions in {
        _sum: (operator.add, operator.iadd, np.add),
        _difference: (operator.sub, operator.isub, np.subtract),
        _product: (operator.mul, operator.imul, np.multiply),
        _quotient: (operator.truediv, operator.itruediv, np.divide),
        _remainder: (operator.mod, operator.imod, np.remainder),
        _power: (operator.pow, operator.ipow, pow, math.pow, np.power),
    }.items():
        for function in functions:
            _binary(function, rule)
    for function, sign in {
        operator.lt: "<",
        operator.le: "<=",
        operator.gt: ">",
        operator.ge: ">=",
        operator.eq: "==",
        operator.ne: "!=",
    }.items():
        _binary(function, _comparison(sign), types.boolean)
    for sign, builtin, functions in ((">", max, (np.maximum, np.fmax)), ("<", min, (np.minimum, np.fmin))):
        _of_duals(builtin, _greatest(sign), (2, 3, 4, 5))
        for function in functions:
            _of_duals(function, _greatest(sign), (2,))
    for function in (abs, math.fabs, np.absolute, np.fabs):
        _of_duals(function, _magnitude, (1,))
    _of_duals(operator.neg, lambda context, builder, a: (builder.fneg(a[0]), builder.fneg(a[1])), (1,))
    _of_duals(operator.pos, lambda context, builder, a: a, (1,))


_register_all()
