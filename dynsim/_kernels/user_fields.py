"""Block fields from a user's drift and diffusion, plain Python functions written for one path.

The wrapper is generated as source, because what the function returns (a number, a tuple, a tuple of rows) decides
which components it stores, and Numba indexes a tuple of mixed types by literals only.
"""

import numba
import numpy as np
from numba import types
from numba.core import config
from numba.core.errors import NumbaError
from numba.np.unsafe.ndarray import to_fixed_tuple

from dynsim._kernels.fields import DIFFUSION, DRIFT
from dynsim._kernels.jit import column, kernel, widest_vectors

_TEMPLATE = """
def field(t, x, {noise}params, out):
    widest_vectors()
    {unpack}
    for i in range(x.shape[1]):
        value = function({arguments})
        {stores}
"""
_NAMES = {"column": column, "to_fixed_tuple": to_fixed_tuple, "np": np, "widest_vectors": widest_vectors}
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
    """The field of a function that fills its last argument ``out``: a drift (d,) or a diffusion (d, m)."""
    arguments = "t, column(x, i), params, value" if with_params else "t, column(x, i), value"
    noisy = len(shape) == 2
    store = "out[j, i] += value[j, c] * dw[c, i]" if noisy else "out[j, i] = value[j]"
    loops = f"for j in range({shape[0]}):\n" + (f"            for c in range({shape[1]}):\n    " if noisy else "")
    source = f"""
def field(t, x, {"dw, " if noisy else ""}params, out):
    widest_vectors()
    value = np.empty({shape})
    for i in range(x.shape[1]):
        value[:] = 0.0
        function({arguments})
        {loops}            {store}
"""
    return _build(source, function, DIFFUSION if noisy else DRIFT)


def _each(shape, store):
    return "\n        ".join(
        store(index, "value" + "".join(f"[{component}]" for component in index)) for index in np.ndindex(*shape)
    )


def _compile(function, signature, noise, stores, with_params, n_params):
    unpack = f"params = to_fixed_tuple(params, {n_params})" if 0 < n_params <= _MOST_UNPACKED else "pass"
    if config.DISABLE_JIT:
        unpack = "pass"
    arguments = "t, column(x, i), params" if with_params else "t, column(x, i)"
    source = _TEMPLATE.format(noise=noise, unpack=unpack, arguments=arguments, stores=stores)
    return _build(source, function, signature)


def _build(source, function, signature):
    compiled = function if hasattr(function, "py_func") else numba.njit(error_model="numpy")(function)
    names = {
        "function": compiled,
        "column": column,
        "to_fixed_tuple": to_fixed_tuple,
        "np": np,
        "widest_vectors": widest_vectors,
    }
    exec(source, names)
    try:
        return kernel(types.void(*signature), cache=False)(names["field"])
    except NumbaError as error:
        raise DoesNotCompile(_reason(error)) from None


def _reason(error):
    """The lines of a Numba error that speak of the user's function."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Failed in", "During:", "-", "File", "<source"))]
    return " ".join(telling[:6])
