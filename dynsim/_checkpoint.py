"""Checkpoints: the state of a run in one .npz file with a JSON header, written atomically and never half read."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from dynsim import __version__, _check
from dynsim._random import seed_and_key
from dynsim.errors import ArgumentError, DataError

_FORMAT = 1
_SHARE = 0.02  # of the time of a run that may go into writing checkpoints


class Checkpoint:
    """Where a run keeps its state, and what run it is.

    ``path`` None stands for a run without checkpoints.
    """

    def __init__(self, path, seconds):
        try:
            self._path = None if path is None else Path(path).resolve()
        except (TypeError, ValueError, OSError):
            raise ArgumentError(f"checkpoint must be the path of a file, got {path!r}") from None
        self._seconds = _check.positive("checkpoint_seconds", seconds)
        self._header = self._arrays = None
        self._last, self._cost = time.monotonic(), 0.0
        if self._path is None:
            return
        if not self._path.parent.is_dir():
            raise ArgumentError(f"checkpoint must be in a folder that exists, got {str(path)!r}")
        try:
            exists = self._path.exists()
            os.unlink(self._new_part())
        except OSError as error:
            raise ArgumentError(f"checkpoint {str(path)!r} cannot be written: {error.strerror}") from None
        if exists:
            self._header, self._arrays = _read(self._path)

    def seed_and_key(self, rng):
        """As :func:`dynsim._random.seed_and_key`, but for ``rng=None`` a run is resumed with the seed it began with."""
        if rng is None and self._header is not None:
            rng = np.random.SeedSequence(**self._header["seed"])
        seed, self._key = seed_and_key(rng)
        sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self._seed = {name: getattr(sequence, name) for name in ("entropy", "spawn_key", "pool_size")}
        return seed, self._key

    def resume(self, settings):
        """The arrays to go on from, or None; refuses those of a run with other settings."""
        self._settings = json.loads(json.dumps({**settings, "rng": self._key.tolist(), "dynsim": __version__}))
        if self._header is None:
            return None
        theirs = self._header["settings"]
        for name in sorted({*theirs, *self._settings}):
            if theirs.get(name) != self._settings.get(name):
                raise ArgumentError(
                    f"checkpoint {str(self._path)!r} is of a run with another {name}: it has {theirs.get(name)}, "
                    f"this run {self._settings.get(name)}; give it another path or delete it"
                )
        arrays, self._arrays = self._arrays, None
        return arrays

    def due(self):
        """Whether it is time to write again; rarer where writing takes long."""
        elapsed = time.monotonic() - self._last
        return self._path is not None and elapsed >= max(self._seconds, self._cost / _SHARE)

    def write(self, state):
        """Replace the file by the arrays that ``state()`` gives, atomically: a reader finds old or new ones."""
        if self._path is None:
            return
        began = time.monotonic()
        arrays = state()
        header = {"format": _FORMAT, "seed": self._seed, "settings": self._settings, "digest": _digest(arrays)}
        part = None
        try:
            part = self._new_part()
            with open(part, "wb") as file:
                np.savez(file, header=np.array(json.dumps(header)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self._path)
        except OSError as error:  # a full disk must not cost the run
            warnings.warn(f"checkpoint {str(self._path)!r} was not written: {error.strerror}", stacklevel=2)
            with contextlib.suppress(OSError, TypeError):
                os.unlink(part)
        self._last = time.monotonic()
        self._cost = self._last - began

    def _new_part(self):
        """A file of our own beside the checkpoint, whatever other processes do."""
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name[:100]}.", suffix=".part")
        os.close(descriptor)
        return name


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
        if header["format"] == _FORMAT and header["digest"] == _digest(arrays):
            return header, arrays
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as e:
        if isinstance(e, OSError) and not isinstance(e, EOFError) and e.errno is not None:
            raise DataError(f"checkpoint {str(path)!r} cannot be read: {e.strerror}") from None
    raise DataError(f"checkpoint {str(path)!r} is damaged, or is none; give another path or delete it")


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
