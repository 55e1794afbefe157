"""Compiled loops over blocks of paths: the only package that knows Numba.

Numba's disk cache of a kernel notices an edit of the kernel's own file, not of the formulas that it inlines from other
files. The guard below empties the cache of this package when any of its sources has changed.
"""

import contextlib
from pathlib import Path


def _drop_stale_cache():
    folder = Path(__file__).parent
    cache = folder / "__pycache__"
    sources = sorted(folder.glob("*.py"))
    stamp = "\n".join(f"{source.name} {source.stat().st_mtime_ns}" for source in sources)
    record = cache / "sources.txt"
    with contextlib.suppress(OSError):  # a read-only installation is never edited
        if record.exists() and record.read_text() == stamp:
            return
        cache.mkdir(exist_ok=True)
        for index in cache.glob("*.nb[ic]"):
            index.unlink(missing_ok=True)
        record.write_text(stamp)


_drop_stale_cache()
