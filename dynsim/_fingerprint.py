"""Digests by which a checkpoint knows its own run again: of numbers, arrays, and what functions compute."""

import dataclasses
import hashlib
import types

import numpy as np


def fingerprint(*things):
    """A digest of numbers, strings, arrays, dataclasses, and functions: their code and the values that it refers to."""
    digest = hashlib.sha256()
    for thing in things:
        _feed(digest, thing, set())
    return digest.hexdigest()[:16]


def _feed(digest, thing, seen):
    thing = getattr(thing, "__wrapped__", getattr(thing, "py_func", thing))
    digest.update(f"<{type(thing).__name__}>".encode())
    if isinstance(thing, types.FunctionType):
        _feed_function(digest, thing, seen)
    elif isinstance(thing, np.ndarray | np.generic):
        digest.update(f"{thing.dtype.str} {thing.shape}".encode())
        digest.update(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, tuple | list):
        for item in thing:
            _feed(digest, item, seen)
    elif isinstance(thing, set | frozenset):
        digest.update(repr(sorted(map(repr, thing))).encode())
    elif isinstance(thing, dict):
        for name, item in thing.items():
            digest.update(repr(name).encode())
            _feed(digest, item, seen)
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for f in dataclasses.fields(thing):
            _feed(digest, getattr(thing, f.name), seen)
    elif isinstance(thing, str | bytes | int | float | complex):
        digest.update(repr(thing).encode())
    else:
        digest.update(getattr(thing, "__name__", "").encode())


def _feed_function(digest, function, seen):
    if id(function) in seen:
        return
    seen.add(id(function))
    _feed(digest, (function.__defaults__, function.__kwdefaults__), seen)
    for cell in function.__closure__ or ():
        _feed(digest, cell.cell_contents, seen)
    _feed_code(digest, function.__code__, function.__globals__, seen)


def _feed_code(digest, code, names, seen):
    """The code, that of functions in it, and the values of the globals and of the modules' attributes that it names."""
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _feed_code(digest, constant, names, seen)
        else:
            _feed(digest, constant, seen)
    values = [names[name] for name in code.co_names if name in names]
    for value in values:
        _feed(digest, value, seen)
    for module in (value for value in values if isinstance(value, types.ModuleType)):
        for name in code.co_names:
            if isinstance(
                attribute := getattr(module, name, None), (int, float, complex, str, tuple, np.ndarray, np.generic)
            ):
                _feed(digest, attribute, seen)
