"""Guards for arguments: each returns the value in its working type, or raises one sentence that names the argument."""

import difflib
import math
import numbers
import os

import numpy as np

from dynsim.errors import ArgumentError, TooLarge

_MOST = 2**41
_FALLBACK_MEMORY = 8 * 2**30  # where the system does not tell


def real(name, value):
    """A finite float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ArgumentError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def positive(name, value):
    """A finite float above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not (math.isfinite(value) and value > 0):
        raise ArgumentError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


def between(name, value, low, high):
    """A float strictly between low and high."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low < value < high:
        raise ArgumentError(f"{name} must lie strictly between {low:g} and {high:g}, got {value!r}")
    return float(value)


def count(name, value, *, least=1):
    """An int of at least ``least`` and at most 2^41, the steps that the counter of the noise has room for."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ArgumentError(f"{name} must be a whole number, at least {least}, got {value!r}")
    if value > _MOST:
        raise ArgumentError(f"{name} must be at most {_MOST}, got {value!r}")
    return int(value)


def near_matches(value, allowed):
    """The end of a message about a name that is not among ``allowed``."""
    close = difflib.get_close_matches(str(value), list(allowed), n=3)
    meant = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it may be {', '.join(map(repr, allowed))}"
    return f"got {value!r}; {meant}"


def choice(name, value, allowed):
    """One of the names in ``allowed``."""
    if value not in allowed:
        raise ArgumentError(f"{name} is not known: {near_matches(value, allowed)}")
    return value


def instance(name, value, kind, what):
    """An object of the type ``kind``, called ``what`` in the message."""
    if not isinstance(value, kind):
        raise ArgumentError(f"{name} must be {what}, got {type(value).__name__}")
    return value


def array(name, value, *, ndim):
    """A finite float64 array with ``ndim`` axes."""
    try:
        result = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be an array of numbers, got {type(value).__name__}") from None
    if result.ndim != ndim:
        raise ArgumentError(f"{name} must have {ndim} axes, got shape {result.shape}")
    if not np.isfinite(result).all():
        raise ArgumentError(f"{name} must be finite, but {np.count_nonzero(~np.isfinite(result))} entries are not")
    return result


def points(name, theta, dim):
    """Points of shape (..., dim) as float64; the last axis must be the dimension."""
    try:
        result = np.asarray(theta, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be an array of numbers, got {type(theta).__name__}") from None
    if result.ndim == 0 or result.shape[-1] != dim:
        raise ArgumentError(f"{name} must have shape (..., {dim}), got {result.shape}")
    return result


def start(name, x0, n_paths, dim):
    """Starting points, broadcast from a scalar, (dim,) or (n_paths, dim) to (n_paths, dim)."""
    try:
        x0 = np.asarray(x0, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be an array of numbers, got {type(x0).__name__}") from None
    if x0.shape not in ((), (dim,), (n_paths, dim)):
        raise ArgumentError(f"{name} must be a scalar or have shape ({dim},) or ({n_paths}, {dim}), got {x0.shape}")
    if not np.isfinite(x0).all():
        raise ArgumentError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(x0))} non-finite entries")
    fits_in_memory("the paths", (n_paths, dim, 4), instead="use fewer of them")
    return np.broadcast_to(x0, (n_paths, dim)).copy()


def interval(name, bounds):
    """A pair (low, high) of finite numbers, low < high."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a pair (low, high), got {bounds!r}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(f"{name} must be finite with low < high, got ({low:g}, {high:g})")
    return low, high


def box(name, bounds, dim):
    """Bounds (dim, 2) of a box, from a pair (low, high) for all coordinates or one for each."""
    shape = np.shape(bounds)
    if shape == (2,):
        bounds = np.broadcast_to(np.asarray(bounds, dtype=object), (dim, 2)).tolist()
    bounds = array(name, bounds, ndim=2)
    if bounds.shape != (dim, 2):
        raise ArgumentError(f"{name} must be (low, high) or have shape ({dim}, 2), got shape {shape}")
    if not (bounds[:, 0] < bounds[:, 1]).all():
        raise ArgumentError(f"{name} must have low < high for each coordinate, got {bounds.tolist()}")
    return bounds


def weights(name, value, n, *, each):
    """Positive numbers (n,), one for ``each``, normalized to sum 1; 1/n for None."""
    if value is None:
        return np.full(n, 1 / n)
    value = array(name, value, ndim=1)
    if value.shape != (n,) or not (value > 0).all():
        raise ArgumentError(f"{name} must be {n} positive numbers, one for {each}")
    value = value / value.max()  # whose sum cannot overflow
    return value / value.sum()


def region(name, function, theta):
    """The mask (...) that a region function gives for theta (..., dim)."""
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of theta (..., dim), got {type(function).__name__}")
    mask = np.asarray(function(theta))
    if mask.shape != theta.shape[:-1] or mask.dtype != bool:
        raise ArgumentError(
            f"{name} must return a boolean for each point, shape {theta.shape[:-1]}, "
            f"got {mask.dtype} of shape {mask.shape}; for dim = 1 write theta[..., 0], not theta"
        )
    return mask


PROBES = (0.5, 1.5, -0.5, 2.5, 10.0, 1e-3, 100.0)  # where a user's function is called, to see what it returns


def probed(name, call):
    """What ``call(x)`` returns at the first of some numbers x at which a user's function is defined."""
    for x in PROBES:
        try:
            with np.errstate(all="ignore"):
                return call(x)
        except (ValueError, ZeroDivisionError, OverflowError) as error:  # outside its domain
            reason = error
        except Exception as error:
            raise ArgumentError(f"{name} fails at x = {x}: {type(error).__name__}: {error}") from None
    raise ArgumentError(f"{name} fails at x = {PROBES}: {type(reason).__name__}: {reason}")


def fits_in_memory(what, shape, *, instead):
    """Refuse a float64 array that would take more than half of the machine's memory."""
    size = 8 * math.prod(shape)
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = _FALLBACK_MEMORY
    if size > memory / 2:
        raise TooLarge(
            f"{what} of shape {tuple(shape)} would take {size / 2**30:.1f} GiB of this machine's "
            f"{memory / 2**30:.1f} GiB; {instead}"
        )
