"""Digests by which a checkpoint knows its own run again: of numbers, arrays, and what functions compute."""

import dataclasses
import enum
import hashlib
import types

import numpy as np

_LIBRARIES = {"numpy", "math", "scipy", "numba", "builtins"}  # whose attributes stay what they are


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
    elif isinstance(thing, enum.Enum):
        digest.update(thing.name.encode())
        _feed(digest, thing.value, seen)
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
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    enclosed = {name: cell.cell_contents for name, cell in cells.items() if cell != types.CellType()}  # bound ones
    _feed_code(digest, function.__code__, function.__globals__ | enclosed, seen)


def _feed_code(digest, code, names, seen):
    """The code, that of functions in it, and what it names: globals, and attributes of modules and classes."""
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _feed_code(digest, constant, names, seen)
        else:
            _feed(digest, constant, seen)
    for name in (*code.co_freevars, *code.co_names):
        if name in names:
            _feed(digest, names[name], seen)
            _feed_attributes(digest, names[name], _attributes(code), seen)


def _attributes(code):
    """Names that may be those of attributes: of the code and of functions in it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return {*code.co_names}.union(*map(_attributes, inner))


def _feed_attributes(digest, owner, names, seen):
    """The numbers, arrays and functions among the attributes of a module or class, and of the modules in it."""
    if not isinstance(owner, types.ModuleType | type) or id(owner) in seen or _is_library(owner):
        return
    seen.add(id(owner))
    for name in sorted(names & vars(owner).keys()):
        digest.update(name.encode())
        _feed(digest, getattr(owner, name), seen)
        _feed_attributes(digest, getattr(owner, name), names, seen)
    seen.remove(id(owner))  # another function may name other attributes


def _is_library(owner):
    name = owner.__name__ if isinstance(owner, types.ModuleType) else owner.__module__
    return name.partition(".")[0] in _LIBRARIES
