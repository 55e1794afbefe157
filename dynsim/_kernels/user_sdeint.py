"""Functions written for sdeint, f(x, t) with x a NumPy array, turned into those that dynsim takes."""

import numba


def swapped(function):
    """``(t, x) -> function(x, t)``; ``__wrapped__`` is the same in plain Python."""
    inner = function if hasattr(function, "py_func") else numba.njit(error_model="numpy")(function)
    plain = getattr(function, "py_func", function)

    def call(t, x):
        return inner(x.copy(), t)  # contiguous, as linear algebra wants it

    call.__wrapped__ = lambda t, x: plain(x.copy(), t)
    return call
