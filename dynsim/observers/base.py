"""What observers have in common, and how users' functions become part of them."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim.errors import ArgumentError


@dataclass(frozen=True, eq=False, kw_only=True)
class Observer:
    """What all observers have in common.

    Parameters
    ----------
    burn_in : int, optional
        The first step whose state is observed.
    every : int, optional
        Observe every so many-th step from there.
    """

    burn_in: int = 0
    every: int = 1

    def __post_init__(self):
        _check.count("burn_in", self.burn_in, least=0)
        _check.count("every", self.every)

    @property
    def name(self) -> str:
        """The name under which the result is found, if it is given none."""
        words = "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__)
        return words.lstrip("_").replace("2_d", "2d")

    # What a kind of observer says of itself: its kernel, its parameters, the first values of its rows for each path,
    # the size of the tally that paths share, and what it makes of these.

    def _kernel(self, dim):
        raise NotImplementedError

    def _params(self, dim, n_paths, n_steps):
        return []

    def _start(self, dim):
        return []

    def _tally_size(self):
        return 0

    def _result(self, lanes, tally, n, diverged, end, unit):
        raise NotImplementedError


_COMPILED: dict = {}
_MOST_COMPILED = 64


def plain(function):
    """The Python function that a compiled one was made of, or the function itself."""
    return getattr(function, "py_func", function)


def returned_shape(name, function, dim, *, indicator=False):
    """The shape of what φ returns at one point, checked."""
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of x (..., dim), got {type(function).__name__}")
    value = np.asarray(_check.probed(name, lambda x: plain(function)(np.full(dim, x))))
    if indicator and (value.dtype != bool or value.shape != ()):
        raise ArgumentError(
            f"{name} must return a boolean for each point, got {value.dtype} of shape {value.shape}; "
            "for dim = 1 write x[..., 0], not x"
        )
    if value.dtype.kind not in "bif" or value.ndim > 1 or value.size == 0:
        raise ArgumentError(f"{name} must return a number or a tuple of numbers, got {value.dtype} {value.shape}")
    return value.shape


def compiled(name, make, *arguments):
    """A compiled observer, or the one made before of functions with the same code and values that it refers to."""
    from dynsim._kernels.user_fields import DoesNotCompile

    key = (make.__name__, fingerprint(*arguments))
    if key not in _COMPILED:
        if len(_COMPILED) >= _MOST_COMPILED:
            _COMPILED.pop(next(iter(_COMPILED)))
        try:
            _COMPILED[key] = make(*arguments)
        except DoesNotCompile as reason:
            raise ArgumentError(f"{name} cannot be compiled: {reason}") from None
    return _COMPILED[key]
