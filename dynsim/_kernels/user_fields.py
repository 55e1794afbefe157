"""Block fields from a user's drift and diffusion, plain Python functions written for one path.

The wrapper is generated as source, because what the function returns (a number, a tuple, a tuple of rows) decides
which components it stores, and Numba indexes a tuple of mixed types by literals only.
"""

import contextlib

import numba
import numpy as np
from numba import types
from numba.core import config
from numba.extending import register_jitable
from numba.np.unsafe.ndarray import to_fixed_tuple

from dynsim._kernels.compiler import LoopCompiler
from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import INNER, column, formula, kernel, point, widest_vectors
from dynsim._kernels.user_math import with_vector_math

_TEMPLATE = """
def field(t, x, {noise}params, out):
    widest_vectors()
    {unpack}
    for i in range(x.shape[1]):
        value = function({arguments})
        {stores}
"""
# Parameters are unpacked to scalars before the loop over lanes, which a load inside a branch would keep from SIMD.
_MOST_UNPACKED = 32


class DoesNotCompile(Exception):
    """The reason Numba gives for refusing a user's function, in its own words but without the traceback."""


def drift_field(function, shape, *, with_params, n_params):
    """The field of a drift that returns a number (shape ()) or a tuple (shape (d,))."""
    stores = _each(shape, lambda index, value: f"out[{index[0] if index else 0}, i] = {value}")
    return _compile(function, DRIFT, "", stores, with_params, n_params)


def diffusion_field(function, shape, *, with_params, n_params):
    """The field of a diffusion that returns a number, a tuple (diagonal) or a tuple of rows."""

    def store(index, value):
        row = index[0] if index else 0
        return f"out[{row}, i] += {value} * dw[{index[-1] if index else 0}, i]"

    return _compile(function, DIFFUSION, "dw, ", _each(shape, store), with_params, n_params)


def filling_field(function, *, with_params, shape):
    """The field of a function that fills its last argument ``out``: a drift (d,) or a diffusion (d, m).

    A path's state is copied together first: its functions have loops of their own, which want neighbors in memory.
    """
    arguments = "t, state, params, value" if with_params else "t, state, value"
    noisy = len(shape) == 2
    source = f"""
def field(t, x, {"dw, " if noisy else ""}params, out):
    widest_vectors()
    value = np.empty({shape})
    state = np.empty({shape[0]})
    {f"noise = np.empty({shape[1]})" if noisy else "pass"}
    for i in range(x.shape[1]):
        for j in range({shape[0]}):
            state[j] = x[j, i]
        value[:] = 0.0
        function({arguments})
        {"add_noise(value, dw, i, noise, out)" if noisy else "store(value, i, out)"}
"""
    return _build(source, function, DIFFUSION if noisy else DRIFT)


@formula
def store(value, i, out):
    """out[:, i] = value."""
    for j in range(out.shape[0]):
        out[j, i] = value[j]


# The sum over components may be taken in any order, so that it is SIMD code: the order does not depend on the block.
@register_jitable(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def _dot(row, noise):
    total = 0.0
    for c in range(noise.shape[0]):
        total += row[c] * noise[c]
    return total


@formula
def add_noise(value, dw, i, noise, out):
    """out[:, i] += value dw[:, i]; noise (m,) is scratch."""
    for c in range(noise.shape[0]):
        noise[c] = dw[c, i]
    for j in range(out.shape[0]):
        out[j, i] += _dot(value[j], noise)


def _each(shape, store):
    return "\n        ".join(
        store(index, "value" + "".join(f"[{component}]" for component in index)) for index in np.ndindex(*shape)
    )


def _compile(function, signature, noise, stores, with_params, n_params):
    unpack = f"params = to_fixed_tuple(params, {n_params})" if 0 < n_params <= _MOST_UNPACKED else "pass"
    if config.DISABLE_JIT:
        unpack = "pass"
    arguments = "t, point(x, i), params" if with_params else "t, point(x, i)"
    source = _TEMPLATE.format(noise=noise, unpack=unpack, arguments=arguments, stores=stores)
    return _build(source, function, signature)


def _build(source, function, signature):
    return built(source, "field", kernel(types.void(*signature), cache=False), function=function)


def built(source, name, compile_, **functions):
    """What the source defines under a name, compiled, with the user's functions in it by theirs."""
    names = {
        "column": column,
        "point": point,
        "to_fixed_tuple": to_fixed_tuple,
        "np": np,
        "widest_vectors": widest_vectors,
    }
    names |= {"store": store, "add_noise": add_noise}
    code = compile(source, "<string>", "exec")

    def made(form):
        namespace = names | {key: form(function) for key, function in functions.items()}
        exec(code, namespace)
        return compile_(namespace[name])

    with contextlib.suppress(Exception):  # where the fast form fails, the plain one works or says why in plainer words
        return made(_fast)
    try:
        return made(_plain)
    except Exception as error:  # Numba lets through errors of its own workings too
        raise DoesNotCompile(_reason(error)) from None


def _fast(function):
    """The user's function as part of the loop over lanes, however long it is, without a call or a short loop in it."""
    if hasattr(function, "py_func"):
        return function
    options = {"error_model": "numpy", "forceinline": True, "pipeline_class": LoopCompiler, **INNER}
    return numba.njit(**options)(with_vector_math(function))


def _plain(function):
    return function if hasattr(function, "py_func") else numba.njit(error_model="numpy")(function)


def _reason(error):
    """What a Numba error says of the user's function, and the line that it is about."""
    lines = [line.strip() for line in str(error).splitlines()]
    places = [k for k, line in enumerate(lines) if line.startswith("File ") and "<string>" not in line]
    words = lines[: places[0]] if places else lines
    telling = [line for line in words if line and not line.startswith(("Failed in", "During:", "-", "File", "<source"))]
    candidates = [k for k, line in enumerate(telling) if line.startswith("There are")]
    reason = " ".join(telling[: candidates[0] if candidates else 6])
    if "Untyped global name" in reason and "<class 'function'>" in reason:
        reason = f"it calls a plain function; decorate that with numba.njit, so that it is compiled too ({reason})"
    if not places:
        return reason
    quoted = lines[places[0] + 1 :]
    code = quoted[quoted.index("^") - 1] if "^" in quoted else ""
    return f"{reason} ({lines[places[0]]} {code})"
