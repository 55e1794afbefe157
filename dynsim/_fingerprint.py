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
    if isinstance(thing, types.FunctionType):
        if id(thing) in seen:
            return
        seen.add(id(thing))
        _feed(digest, thing.__code__, seen)
        _feed(digest, thing.__defaults__, seen)
        for cell in thing.__closure__ or ():
            _feed(digest, cell.cell_contents, seen)
        for name in thing.__code__.co_names:
            _feed(digest, thing.__globals__.get(name), seen)
    elif isinstance(thing, types.CodeType):
        digest.update(thing.co_code)
        for constant in thing.co_consts:
            _feed(digest, constant, seen)
        digest.update(repr(thing.co_names).encode())
    elif isinstance(thing, np.ndarray):
        digest.update(f"{thing.dtype.str} {thing.shape}".encode())
        digest.update(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, tuple | list | set | frozenset):
        digest.update(f"{type(thing).__name__} {len(thing)}".encode())
        for item in sorted(thing, key=repr) if isinstance(thing, set | frozenset) else thing:
            _feed(digest, item, seen)
    elif isinstance(thing, dict):
        for name, item in thing.items():
            digest.update(repr(name).encode())
            _feed(digest, item, seen)
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        digest.update(type(thing).__name__.encode())
        for f in dataclasses.fields(thing):
            _feed(digest, getattr(thing, f.name), seen)
    elif isinstance(thing, types.ModuleType):
        digest.update(thing.__name__.encode())
    else:
        digest.update(f"{type(thing).__name__} ".encode())
        digest.update(repr(thing).encode() if isinstance(thing, str | bytes | int | float | complex) else b"")
