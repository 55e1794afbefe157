"""Update rule from a user's function, written for one path."""

from itertools import accumulate, pairwise

from numba import types

from dynsim._kernels.jit import kernel
from dynsim._kernels.methods.common import UPDATE
from dynsim._kernels.user_fields import built

_SOURCE = """
def field(problem, k, rates, g, u, params, state):
    widest_vectors()
    step_size = rates[0]
{parts}
    for i in range(g.shape[1]):
        function({arguments})
"""


def update_field(function, dim, sizes, with_params):
    """The rule of update(theta, g, step_size, k, remembered arrays of the given sizes…[, params])."""
    rows = list(pairwise(accumulate([0, dim, *sizes])))
    parts = "\n".join(f"    part{n} = state[{first}:{last}]" for n, (first, last) in enumerate(rows))
    columns = [f"column(part{n}, i)" for n in range(len(rows))]
    arguments = [columns[0], "column(g, i)", "step_size", "k", *columns[1:], *(["params"] if with_params else [])]
    source = _SOURCE.format(parts=parts, arguments=", ".join(arguments))
    return built(source, "field", kernel(types.void(*UPDATE), cache=False), function=function)
