"""Block field of a user's proportions, a plain Python function written for one path and one term."""

from inspect import signature

from numba import types

from dynsim._kernels.fields import PROPORTIONS
from dynsim._kernels.jit import kernel
from dynsim._kernels.user_fields import built

_SOURCE = """
def field(x, params, weights, first, out):
    widest_vectors()
    for c in range(out.shape[0]):
        for i in range(x.shape[1]):
            q = function(point(x, i), first + c{params})
            out[c, i] = q if q >= 0.0 else np.nan
"""


def proportions_field(function):
    """out[c, i] = q(x_i, first + c[, params])."""
    source = _SOURCE.format(params=", params" if len(signature(function).parameters) == 3 else "")
    return built(source, "field", kernel(types.void(*PROPORTIONS), cache=False), function=function)
