"""Products of matrices that are parts of larger ones, by BLAS."""

import numpy as np
from numba import types
from numba.core import config

from dynsim._kernels.jit import FLOAT, formula

_COUNT, _NUMBERS = types.intp, types.CPointer(FLOAT)
# What Numba calls for np.dot, which itself neither adds to a matrix nor takes a part of one without a copy
_gemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        *(types.char,) * 3,  # the type, and whether to transpose either
        *(_COUNT,) * 3,
        *(
            _NUMBERS,
            _NUMBERS,
            _COUNT,
            _NUMBERS,
            _COUNT,
        ),  # factor, first and second matrix with the lengths of their rows
        *(_NUMBERS, _NUMBERS, _COUNT),
    ),
)


@formula
def add_product(c, c_row, share, a, a_row, b, b_row, m, k, n):
    """C ← share·C + A B of C (m, n), A (m, k), B (k, n), each given as what begins with its first entry, by rows.

    ``c_row`` and so on: the distance between the beginnings of two rows.
    """
    factors = np.array([1.0, share])
    one, beta = factors.ctypes, factors[1:].ctypes
    kind, plain = ord("d"), ord("n")
    # BLAS goes by columns: Cᵀ = Bᵀ Aᵀ
    _gemm(kind, plain, plain, n, m, k, one, b.ctypes, b_row, a.ctypes, a_row, beta, c.ctypes, c_row)


if config.DISABLE_JIT:

    def add_product(c, c_row, share, a, a_row, b, b_row, m, k, n):
        def matrix(x, row, shape):
            return np.lib.stride_tricks.as_strided(x, shape, (row * x.itemsize, x.itemsize))

        target = matrix(c, c_row, (m, n))
        target[:] = share * target + matrix(a, a_row, (m, k)) @ matrix(b, b_row, (k, n))
