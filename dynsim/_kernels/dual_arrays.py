"""Arrays of dual numbers, for formulas that take θ as a whole: ``np.dot(theta, x)``, ``np.sum(theta[1:] ** 2)``.

Numba indexes, slices and copies arrays of any type. What it does not know of duals is here: each rule is a loop over
the rule for numbers. Arrays have one axis; a matrix of numbers may multiply one.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import _empty_nd_impl, make_array, populate_array

from dynsim._kernels.dual_functions import SLOPES
from dynsim._kernels.duals import DUAL, dual
from dynsim._kernels.jit import FLOAT

DUALS = types.Array(DUAL, 1, "C")


def _stack_array(dtype):
    """Make the operation that gives an array of so many items, which lives as long as the function that makes it."""

    @intrinsic
    def stack_array(typing_context, length):
        if not isinstance(length, types.IntegerLiteral):
            return None
        result = types.Array(dtype, 1, "C")

        def generate(context, builder, signature, arguments):
            item = context.get_data_type(dtype)
            size = ir.Constant(ir.IntType(64), length.literal_value)
            stride = ir.Constant(ir.IntType(64), context.get_abi_sizeof(item))
            array = make_array(result)(context, builder)
            memory = cgutils.alloca_once(builder, item, size=size)
            populate_array(array, data=memory, shape=[size], strides=[stride], itemsize=stride, meminfo=None)
            return array._getvalue()

        return result(length), generate

    return stack_array


stack_floats, stack_duals = _stack_array(FLOAT), _stack_array(DUAL)


@intrinsic
def empty_duals(typing_context, length):
    """An array of duals, not yet set."""

    def generate(context, builder, signature, arguments):
        return _empty_nd_impl(context, builder, DUALS, arguments)._getvalue()

    return DUALS(types.intp), generate


def _is_duals(kind):
    return isinstance(kind, types.Array) and kind.dtype == DUAL


def _is_vector(kind):
    return isinstance(kind, types.Array) and kind.ndim == 1


def _known(*kinds):
    """Whether these are numbers and vectors, with a vector and a dual among them."""
    known = all(_is_vector(kind) or kind == DUAL or isinstance(kind, types.Number) for kind in kinds)
    return known and any(map(_is_vector, kinds)) and any(_is_duals(kind) or kind == DUAL for kind in kinds)


def item(a, k):
    """a[k], or the only item, or the number a."""


@overload(item)
def _item(a, k):
    return (lambda a, k: a[min(k, a.size - 1)]) if isinstance(a, types.Array) else lambda a, k: a


def length(a):
    """Length of an array; 1 of a number."""


@overload(length)
def _length(a):
    return (lambda a: a.size) if isinstance(a, types.Array) else lambda a: 1


def values(a):
    """The values of duals, without their tangents; and what is no dual."""


@overload(values)
def _values(a):
    if a == DUAL:
        return lambda a: a.value
    if not _is_duals(a):
        return lambda a: a

    def loop(a):
        result = np.empty(a.size)
        for k in range(a.size):
            result[k] = a[k].value
        return result

    return loop


def _elementwise(function):
    @overload(function)
    def choose(a, b):
        return loop if _known(a, b) else None

    def loop(a, b):
        result = empty_duals(max(length(a), length(b)))
        for k in range(result.size):
            result[k] = function(item(a, k), item(b, k))
        return result


def _of_each(function):
    @overload(function)
    def choose(a):
        return loop if _is_duals(a) and a.ndim == 1 else None

    def loop(a):
        result = empty_duals(a.size)
        for k in range(a.size):
            result[k] = function(a[k])
        return result


def _compared(function):
    @overload(function)
    def choose(a, b):
        return (lambda a, b: function(values(a), values(b))) if _known(a, b) else None


def _of_values(function):
    @overload(function)
    def choose(a):
        return (lambda a: function(values(a))) if _is_duals(a) else None


def _register_all():
    operators = ("add", "sub", "mul", "truediv", "pow", "mod")
    for name in operators:
        _elementwise(getattr(operator, name))
    for name in operators[:-1]:
        _elementwise(getattr(operator, f"i{name}"))
    for name in ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "fmax", "fmin"):
        _elementwise(getattr(np, name))
    for name in ("arctan2", "hypot", "logaddexp"):
        _elementwise(getattr(np, name))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        _compared(getattr(operator, name))
    for name in ("sign", "floor", "ceil", "isnan", "isfinite"):
        _of_values(getattr(np, name))
    for function in (operator.neg, abs, np.absolute, np.fabs):
        _of_each(function)
    for name in (name for names in SLOPES for name in names if hasattr(np, name)):
        _of_each(getattr(np, name))


_register_all()


@overload(np.where)
def _where(condition, a, b):
    if isinstance(condition, types.Boolean):
        return (lambda condition, a, b: a if condition else b) if DUAL in (a, b) else None
    if not (_is_vector(condition) and (_known(a, b) or _known(condition, a, b))):
        return None

    def loop(condition, a, b):
        result = empty_duals(condition.size)
        for k in range(condition.size):
            result[k] = item(a, k) if condition[k] else item(b, k)
        return result

    return loop


@overload(np.clip)
def _clip(a, low, high):
    limited = _is_duals(a) or a == DUAL
    return (lambda a, low, high: np.minimum(np.maximum(a, low), high)) if limited else None


@overload(np.sum)
def _sum(a):
    if not _is_duals(a):
        return None

    def items(a):
        total = dual(0.0, 0.0)
        for k in range(len(a)):
            total += a[k]
        return total

    def rows(a):
        total = dual(0.0, 0.0)
        for k in range(len(a)):
            total += np.sum(a[k])
        return total

    return items if a.ndim == 1 else rows


@overload(np.mean)
def _mean(a):
    return (lambda a: np.sum(a) / a.size) if _is_duals(a) else None


@overload(np.linalg.norm)
def _norm(a):
    return (lambda a: np.sqrt(np.dot(a, a))) if _is_duals(a) else None


def _dot(a, b):
    if not (isinstance(a, types.Array) and isinstance(b, types.Array) and (_is_duals(a) or _is_duals(b))):
        return None

    def vectors(a, b):
        total = dual(0.0, 0.0)
        for k in range(min(a.size, b.size)):
            total += a[k] * b[k]
        return total

    def rows(a, b):
        result = empty_duals(len(a))
        for k in range(len(a)):
            result[k] = np.dot(a[k], b)
        return result

    def columns(a, b):
        result = empty_duals(b.shape[1])
        for k in range(b.shape[1]):
            result[k] = np.dot(a, b[:, k])
        return result

    return {(1, 1): vectors, (2, 1): rows, (1, 2): columns}.get((a.ndim, b.ndim))


overload(np.dot)(_dot)
overload(operator.matmul)(_dot)
