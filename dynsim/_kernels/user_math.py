"""A user's ``math.exp`` and ``np.exp`` resolved to the polynomials of elementary.py, so that their loop is SIMD code.

Numba looks a name up in the function's own globals and closure, and an attribute in the module object found there. So
a copy of the function is made, whose globals and closure hold stand-ins for ``math``, ``numpy`` and their functions.
Nothing outside the copy changes: not the user's module, not what Numba makes of ``math.exp`` elsewhere, not a helper
that the user has compiled.

What differs from libm is stated in elementary.py: errors of 2 to 3 units in the last place, and exp, which is 0 below
−708 and inf above 709. (inf, not OverflowError, is what Numba makes of a too large ``math.exp`` anyway.)
"""

import math
from types import CellType, FunctionType, ModuleType

import numpy as np
from numba import types
from numba.core import config
from numba.extending import overload

from dynsim._kernels import elementary
from dynsim._kernels.jit import INNER

_FORMULAS = {
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.guarded_log,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "sinh": elementary.sinh,
    "cosh": elementary.cosh,
    "tanh": elementary.tanh,
}
_WIDE_ENOUGH = 32  # bits of an integer from which NumPy computes with float64


def with_vector_math(function):
    """The same function with SIMD-able elementary functions; what is compiled already, or no function, as it is."""
    if config.DISABLE_JIT or not isinstance(function, FunctionType):
        return function
    names = {name: _replaced(value) for name, value in function.__globals__.items()}
    cells = function.__closure__ and tuple(_replaced_cell(cell) for cell in function.__closure__)
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    return copy


def _replaced(value):
    return STAND_INS.get(id(value), value)


def _replaced_cell(cell):
    try:
        return CellType(_replaced(cell.cell_contents))
    except ValueError:  # not bound yet
        return cell


def _stand_in(original, formula):
    """A function that is compiled to the formula for a float64 or an integer, and to the original for all else."""

    def call(x, *out):
        return original(x, *out)

    def convert_and_call(x, *out):
        return formula(float(x))

    @overload(call, jit_options=INNER)
    def choose(x, *out):
        if getattr(x, "has_rules", False):  # a dual number, of which dual_functions.py knows more
            return None
        integer = isinstance(x, types.Integer) and x.bitwidth >= _WIDE_ENOUGH
        return convert_and_call if (x == types.float64 or integer) and not out else call

    return call


def _module_with(module, stand_ins):
    copy = ModuleType(module.__name__)
    vars(copy).update(vars(module))
    vars(copy).update(stand_ins)
    return copy


def _all_stand_ins():
    """Stand-ins by the identity of what they stand for: two modules and the functions in them."""
    found = {}
    for module in (math, np):
        in_module = {name: _stand_in(getattr(module, name), formula) for name, formula in _FORMULAS.items()}
        found |= {id(getattr(module, name)): stand_in for name, stand_in in in_module.items()}
        found[id(module)] = _module_with(module, in_module)
    return found


STAND_INS = _all_stand_ins()
