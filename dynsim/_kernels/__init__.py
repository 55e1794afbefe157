"""Compiled loops over blocks of paths: the only package that knows Numba.

Numba's disk cache of a kernel notices an edit of the kernel's own file, not of the formulas that it inlines from other
files. The guard below empties the cache of this package when any of its sources has changed.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from numba.core import config


def _drop_stale_cache():
    folder = Path(__file__).parent
    cache = folder / "__pycache__"
    sources = sorted(folder.rglob("*.py"))
    stamp = "\n".join(f"{source.relative_to(folder)} {source.stat().st_mtime_ns}" for source in sources)
    record = cache / "sources.txt"
    with contextlib.suppress(OSError):  # a read-only installation is never edited
        if record.exists() and record.read_text() == stamp:
            return
        cache.mkdir(exist_ok=True)
        for index in folder.rglob("__pycache__/*.nb[ic]"):
            index.unlink(missing_ok=True)
        record.write_text(stamp)


def _ensure_cache_folder():
    """Where neither this package nor the home folder can be written, Numba would refuse to cache, and to compile."""
    if config.CACHE_DIR or os.access(Path(__file__).parent, os.W_OK):
        return
    home = Path.home()
    nearest = next(
        folder for folder in (home / ".cache" / "numba", home / ".cache", home, *home.parents) if folder.exists()
    )
    if not (os.access(nearest, os.W_OK) and nearest.is_relative_to(home)):
        config.CACHE_DIR = tempfile.mkdtemp(prefix="dynsim-")


_drop_stale_cache()
_ensure_cache_folder()
