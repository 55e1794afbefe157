"""How kernels are compiled: one decorator, the array types, and operations that Python cannot spell."""

import warnings

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.core import cgutils, config
from numba.core.errors import NumbaExperimentalFeatureWarning
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import make_array, populate_array

from dynsim._kernels.compiler import LoopCompiler

# Kernels take fields as first-class functions, which Numba calls experimental; tests/kernels pins what is used.
warnings.filterwarnings("ignore", category=NumbaExperimentalFeatureWarning)

INT = types.int64
UINT = types.uint64
FLOAT = types.float64
VECTOR = FLOAT[::1]  # (n,)
INTS = INT[::1]
BLOCK = FLOAT[:, ::1]  # (rows, lanes)
BLOCKS = FLOAT[:, :, ::1]  # (blocks, rows, lanes)
SAVES = FLOAT[:, :, :, ::1]  # (blocks, saves, rows, lanes)
KEY = UINT[::1]  # (2,)

# "contract" lets a·b + c be rounded once. No flag that assumes finite numbers: a NaN must stay a NaN.
_FASTMATH = frozenset({"contract"})


def kernel(signature, *, cache=True):
    """Compile for one explicit signature, without the GIL, into the disk cache."""
    options = {"error_model": "numpy", "fastmath": set(_FASTMATH), "nogil": True, "cache": cache}
    return numba.njit(signature, pipeline_class=LoopCompiler, **options)


def kernel_of(formula, signature, *, cache):
    """Like :func:`kernel`, for a function made by a factory from one formula: named after it before it is compiled.

    Numba names compiled code by the function's qualified name and a count that starts anew in each process. Two
    products of one factory, cached by different processes, could thus share a name, and a third process that loads
    both would run one in place of the other. A user's formula, compiled already, is never cached.
    """

    def compile_named(function):
        function.__qualname__ = f"{function.__qualname__}[{formula.__module__}.{formula.__qualname__}]"
        return kernel(signature, cache=cache and not hasattr(formula, "py_func"))(function)

    return compile_named


def function_pointer(*arguments):
    """The type of a compiled function that returns nothing, passed to a kernel as an argument."""
    return types.FunctionType(types.void(*arguments))


def addresses_of(*functions):
    """Where the machine code of kernels is, (n,) int64: each given with the arguments that it takes.

    A loop gets them as numbers and calls :func:`function_at`. Numba can pass functions as well, but looks each up anew
    in every call, which takes longer than a short run. The kernels must be kept alive meanwhile.
    """
    result = np.empty(len(functions), dtype=np.int64)
    for n, (function, arguments) in enumerate(functions):
        compiled = function.get_compile_result(types.void(*arguments))
        result[n] = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return result


def function_at(*arguments):
    """Make the operation that turns an address into the function of these arguments that is there."""
    pointer = function_pointer(*arguments)

    @intrinsic
    def at(typing_context, address):
        def generate(context, builder, signature, values):
            function = cgutils.create_struct_proxy(pointer)(context, builder)
            function.c_addr = cgutils.get_null_value(cgutils.voidptr_t)
            function.py_addr = cgutils.get_null_value(cgutils.voidptr_t)
            function.jit_addr = builder.inttoptr(values[0], cgutils.voidptr_t)
            return function._getvalue()

        return pointer(address), generate

    return at


# What is only called from compiled code needs no entry for others, which takes Numba a quarter of the time to compile.
INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# marks a plain Python function that kernels may call and inline
formula = register_jitable(pipeline_class=LoopCompiler, **INNER)


def _has_fast_512_bit_vectors():
    """Ice Lake, Zen 4 and later; before them, wide vectors lower the clock, which is why LLVM shuns them."""
    return llvmlite.binding.get_host_cpu_features().get("avx512vbmi2", False)


@intrinsic
def widest_vectors(typing_context):
    """Let LLVM use 512-bit vectors in the function that calls this, where they are fast; a loop's first line of code.

    LLVM prefers 256 bits on all x86 processors, which costs a third of the speed here. The preference is an attribute
    of each function; llvmlite has no word for it, so it is put in by hand.
    """

    def generate(context, builder, signature, arguments):
        if _has_fast_512_bit_vectors():
            set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def float_from_bits(typing_context, bits):
    """The float64 with these 64 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(FLOAT))

    return FLOAT(UINT), generate


@intrinsic
def bits_from_float(typing_context, value):
    """The 64 bits of a float64."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(UINT))

    return UINT(FLOAT), generate


def _view(block, i, view):
    """A column of a block as an array of the type ``view``."""

    def generate(context, builder, signature, arguments):
        source = make_array(signature.args[0])(context, builder, arguments[0])
        target = make_array(view)(context, builder)
        populate_array(
            target,
            data=builder.gep(source.data, [arguments[1]]),
            shape=[builder.extract_value(source.shape, 0)],
            strides=[builder.extract_value(source.strides, 0)],
            itemsize=source.itemsize,
            meminfo=None,
        )
        return target._getvalue()

    return view(block, i), generate


@intrinsic
def column(typing_context, block, i):
    """``block[:, i]`` without a reference count, which would keep the loop over lanes from becoming SIMD code."""
    return _view(block, i, types.Array(FLOAT, 1, "A"))


@intrinsic
def point(typing_context, block, i):
    """The same for a user's function, which must not write to it."""
    return _view(block, i, types.Array(FLOAT, 1, "A", readonly=True))


if config.DISABLE_JIT:  # the same operations for NUMBA_DISABLE_JIT=1

    def float_from_bits(bits):
        return np.uint64(bits).view(np.float64)

    def bits_from_float(value):
        return np.float64(value).view(np.uint64)

    def column(block, i):
        return block[:, i]

    def point(block, i):
        view = block[:, i]
        view.flags.writeable = False
        return view

    def widest_vectors():
        pass

    def addresses_of(*functions):
        return np.array([*(function for function, _ in functions), None], dtype=object)[:-1]

    def function_at(*arguments):
        return lambda function: function
