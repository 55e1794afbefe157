"""A user's functions run as plain Python: whether they take and return what they must, and a few losses."""

import inspect
import time
from types import CellType, CodeType, FunctionType

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError

_MOST_PROBED = 64  # terms
_OUTSIDE_DOMAIN = (ValueError, ZeroDivisionError, OverflowError)


def takes_params(name, function):
    """Whether a function has an argument for params; refuses what has not the arguments that it must have."""
    filling = name != "loss"
    form = f"{name}(theta, n, params{', out' if filling else ''})"
    if not inspect.isfunction(getattr(function, "py_func", function)):
        raise ArgumentError(f"{name} must be a plain Python function, {form}, got {type(function).__name__}")
    function = getattr(function, "py_func", function)
    parameters = inspect.signature(function).parameters.values()
    plain = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    names = [p.name for p in parameters if p.default is p.empty]
    if not plain or len(names) - filling not in (2, 3) or (filling and names[-1] != "out"):
        what = f"{form} that fills its last argument, named out" if filling else form
        raise ArgumentError(f"{name} must be {what}; params may be left out; got ({', '.join(map(str, parameters))})")
    if "random" in function.__code__.co_names:
        raise ArgumentError(f"{name} must not draw random numbers: the term n is what is drawn")
    return len(names) - filling == 3


def probe(functions, n_terms, dim, rows):
    """Call functions, (function, takes params) by name, for terms spread evenly; refuse what they must not do."""
    for n in np.unique(np.linspace(0, n_terms - 1, min(n_terms, _MOST_PROBED)).astype(int)).tolist():
        for name, (function, with_params) in functions.items():
            call = _Call(name, function, n, n_terms, dim, [rows] if with_params else [])
            if name == "loss":
                _probe_loss(call, n)
            else:
                _probe_filling(call, (dim,) if name == "gradient" else (dim, dim))


class _Call:
    """What a function returns for term n at a point where it is defined, in plain Python; it must leave θ alone."""

    def __init__(self, name, function, n, n_terms, dim, params):
        self.name, self._plain = name, getattr(function, "py_func", function)
        self._n, self._params, self._dim = n, params, dim
        self._where = f"term {n} of n_terms = {n_terms} and theta of length dim = {dim}"

    def __call__(self, *out, probes=_check.PROBES):
        for size in probes:
            theta = size * (1 + 0.1 * np.arange(self._dim) / self._dim)
            before = theta.copy()
            try:
                with np.errstate(all="ignore"):
                    value = self._plain(theta, self._n, *self._params, *out)
            except _OUTSIDE_DOMAIN as error:
                reason = error
                continue
            except Exception as error:
                reason = error
                break
            if (theta != before).any():
                raise ArgumentError(f"{self.name} must not assign to theta")
            return value
        raise ArgumentError(f"{self.name} fails for {self._where}: {type(reason).__name__}: {reason}")


def _probe_loss(call, n):
    value = call()
    if not isinstance(value, (int, float, np.integer, np.floating)):
        shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) and value.shape else ""
        raise ArgumentError(f"loss must return a number, it returned {type(value).__name__}{shape} for term {n}")


def _probe_filling(call, shape):
    for probes in (_check.PROBES, (-0.5, *_check.PROBES)):  # a second place, where another branch may be taken
        outs = [np.full(shape, filler) for filler in (np.nan, 0.0)]
        for out in outs:
            value = call(out, probes=probes)
            if value is not None:
                raise ArgumentError(f"{call.name} must fill out and return nothing, it returned {type(value).__name__}")
        unset = np.argwhere(np.isnan(outs[0]) & ~np.isnan(outs[1]))
        if unset.size:
            entry = ", ".join(map(str, unset[0]))
            raise ArgumentError(
                f"{call.name} must assign each entry of out, but out[{entry}] depends on what was in it"
            )


def losses_in_python(function, params, x, term, seconds):
    """Losses of columns of x (d, W), without compiling; None where Python fails or takes longer than that."""
    plain = getattr(function, "py_func", function)
    result = np.empty(term.size)
    started = time.perf_counter()
    with np.errstate(all="ignore"):
        for i, n in enumerate(term.tolist()):
            try:
                result[i] = plain(x[:, i].copy(), n, *params)
            except Exception:  # compiled, 1/0 and an overflow are infinite, and log(−1) is NaN
                return None
            spent = time.perf_counter() - started
            if spent > seconds or (i > 2 and spent / (i + 1) * term.size > 2 * seconds):
                return None
    return result


def snapshot(function):
    """(function, complete): a copy that keeps the globals and arrays of now, and whether it can refer to nothing else.

    It can, by a module of the user's or by a function that is compiled for each kind of argument anew.
    """
    if not isinstance(function, FunctionType):
        return function, False
    referred, code_names = [], set(_names(function.__code__))

    def kept(value):
        referred.append(value)
        return value.copy() if isinstance(value, np.ndarray) else value

    names = {name: kept(value) if name in code_names else value for name, value in function.__globals__.items()}
    try:
        cells = function.__closure__ and tuple(CellType(kept(cell.cell_contents)) for cell in function.__closure__)
    except ValueError:  # not bound yet
        return function, False
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    return copy, all(map(_is_fixed, referred))


def _names(code):
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_fixed(value):
    if isinstance(value, tuple):
        return all(map(_is_fixed, value))
    if isinstance(value, (bool, int, float, complex, str, np.generic, np.ndarray)):
        return True
    library = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    return library.partition(".")[0] in ("math", "numpy", "builtins") and not hasattr(value, "py_func")
