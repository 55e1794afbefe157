"""Formulas of a user's problem, from plain Python functions of one θ and one term.

What is made here has the arguments of the built-in formulas, ``loss(theta, n, params)`` and ``gradient(theta, n,
params, out)``, so that the factories of fields.py and limit.py serve both. The user's function is given θ as an array
on the stack, which LLVM dissolves into registers where it can; or, for ``x, y = theta``, as a tuple.
"""

import contextlib
import warnings

import numba
import numpy as np
from numba import types
from numba.core import config
from numba.core.errors import NumbaPerformanceWarning
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.unsafe.ndarray import to_fixed_tuple

from dynsim._kernels import fields
from dynsim._kernels.compiler import LoopCompiler
from dynsim._kernels.jit import BLOCK, BLOCKS, INNER, INT, VECTOR, column, kernel
from dynsim._kernels.user_fields import DoesNotCompile, _fast, _plain, _reason

_LONGEST_TUPLE = 32
MOST_DERIVED = 1000  # dimensions: a gradient by duals evaluates the loss once for each

_AS_ARRAY = """
    point = stack_floats({dim})
    for j in range({dim}):
        point[j] = theta[j]
    point = read_only(point)"""
_AS_TUPLE = """
    point = to_fixed_tuple(theta, {dim})"""
_LOSS = """
def loss(theta, n, params):{point}
    return function(point, n{params})
"""
_FILLING = """
def {name}(theta, n, params, out):{point}
    function(point, n{params}, out)
"""
_BY_ARRAY_OF_DUALS = """
def gradient(theta, n, params, out):
    point = stack_duals({dim})
    for j in range({dim}):
        point[j] = dual(theta[j], 0.0)
    for j in range({dim}):
        point[j] = dual(theta[j], 1.0)
        out[j] = derivative(function(read_only(point), n{params}))
        point[j] = dual(theta[j], 0.0)
"""
_BY_TUPLE_OF_DUALS = """
def gradient(theta, n, params, out):
    for j in range({dim}):
        out[j] = derivative(function(({duals},), n{params}))
"""


@intrinsic
def read_only(typing_context, array):
    """The same array without a reference count; who writes to it is not compiled."""
    result = types.Array(array.dtype, array.ndim, array.layout, readonly=True)

    def generate(context, builder, signature, arguments):
        source = make_array(array)(context, builder, arguments[0])
        target = make_array(result)(context, builder)
        for part in ("data", "nitems", "itemsize", "shape", "strides"):
            setattr(target, part, getattr(source, part))
        return target._getvalue()

    return result(array), generate


@intrinsic
def matrix(typing_context, array, columns):
    """A read-only view of flat parameters as rows of so many numbers."""
    result = types.Array(array.dtype, 2, "C", readonly=True)

    def generate(context, builder, signature, arguments):
        source = make_array(array)(context, builder, arguments[0])
        target = make_array(result)(context, builder)
        width = context.cast(builder, arguments[1], signature.args[1], types.intp)
        shape = [builder.sdiv(source.nitems, width), width]
        strides = [builder.mul(width, source.itemsize), source.itemsize]
        populate_array(target, source.data, shape, strides, source.itemsize, None)
        return target._getvalue()

    return result(array, columns), generate


if config.DISABLE_JIT:  # the same operations for NUMBA_DISABLE_JIT=1

    def read_only(array):
        view = array.view()
        view.flags.writeable = False
        return view

    def matrix(array, columns):
        return read_only(array.reshape(-1, columns))

    def to_fixed_tuple(array, length):
        return tuple(array[:length].tolist())


class Terms:
    """How the user's functions are called: with θ of ``dim`` numbers, and parameters of some shape or none.

    ``loss``, ``gradient``, ``derived_gradient`` and ``hessian`` give (formula, block field), compiled.
    """

    def __init__(self, dim, params_shape):
        self._dim, self._shape = dim, params_shape

    def loss(self, function, *, with_params):
        """Of ``function(theta, n[, params]) -> float``."""
        return self._compiled(self._called(_LOSS), function, with_params, fields.losses_field.__wrapped__)

    def gradient(self, function, *, with_params):
        """Of ``function(theta, n[, params], out)``, which fills out (dim,)."""
        return self._compiled(self._called(_FILLING), function, with_params, fields.gradients_field.__wrapped__)

    def hessian(self, function, *, with_params):
        """Of ``function(theta, n[, params], out)``, which fills out (dim, dim)."""
        return self._compiled(self._called(_FILLING), function, with_params, hessians_field)

    def derived_gradient(self, loss, *, with_params):
        """The gradient of a loss by dual numbers."""
        if self._dim > MOST_DERIVED:
            raise DoesNotCompile(f"dim is {self._dim}, and it is derived for up to {MOST_DERIVED} only")
        if config.DISABLE_JIT:
            raise DoesNotCompile("NUMBA_DISABLE_JIT is set, and duals are compiled only")
        duals = ", ".join(f"dual(theta[{k}], 1.0 if j == {k} else 0.0)" for k in range(min(self._dim, _LONGEST_TUPLE)))
        sources = (_BY_ARRAY_OF_DUALS, _BY_TUPLE_OF_DUALS.replace("{duals}", duals))
        return self._compiled(sources, loss, with_params, fields.gradients_field.__wrapped__)

    def _called(self, source):
        return source.replace("{point}", _AS_ARRAY), source.replace("{point}", _AS_TUPLE)

    def _compiled(self, sources, function, with_params, make_field):
        params = ""
        if with_params:
            params = ", read_only(params)" if len(self._shape) < 2 else f", matrix(params, {self._shape[1]})"
        sources = [source.format(dim=self._dim, params=params, name="gradient") for source in sources]
        if self._dim > _LONGEST_TUPLE:
            sources = sources[:1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaPerformanceWarning)  # of a dot product along a row
            return _first_compiled(sources, function, make_field)


def _first_compiled(sources, function, make_field):
    """The first that compiles of these sources: in the fast form, which SIMD code can be made of, or in Numba's own."""
    for source in sources:
        with contextlib.suppress(Exception):
            return _made(source, _fast(function), make_field, forceinline=True, pipeline_class=LoopCompiler, **INNER)
    reasons = []
    for source in sources:
        try:
            return _made(source, _plain(function), make_field)
        except Exception as error:  # Numba lets through errors of its own workings too
            reasons.append(_reason(error))
    unpacks = len(reasons) > 1 and "unpack" in reasons[0]  # an array cannot be
    raise DoesNotCompile(reasons[1 if unpacks else 0])


def _made(source, function, make_field, **options):
    from dynsim._kernels import dual_arrays, dual_functions, duals  # noqa: F401 - they register what they know

    names = {"__name__": __name__, "function": function, "read_only": read_only, "matrix": matrix}
    names |= {"to_fixed_tuple": to_fixed_tuple, "dual": duals.dual, "derivative": duals.derivative}
    stack_floats = np.empty if config.DISABLE_JIT else dual_arrays.stack_floats
    names |= {"stack_floats": stack_floats, "stack_duals": dual_arrays.stack_duals}
    exec(compile(source, "<string>", "exec"), names)
    written = names["loss" if "def loss" in source else "gradient"]
    formula = numba.njit(error_model="numpy", **options)(written)
    return formula, make_field(formula, cache=False)


def hessians_field(hessian, cache=False):
    """out[i] = ∇²l_n(x_i)."""

    @kernel(types.void(BLOCK, VECTOR, INT, BLOCKS), cache=cache)
    def hessians(x, params, n, out):
        for i in range(x.shape[1]):
            hessian(column(x, i), n, params, out[i])

    return hessians
