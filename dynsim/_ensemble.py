"""The one driver of all time loops: blocks of paths, chunks of steps, threads, saving, and paths that blow up."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from dynsim import _check

# A path outside this ball has blown up: its square still fits a float64, and nothing a user wants is out there.
DIVERGED = 1e100
_CHUNK_SECONDS = 0.1  # between two looks at Ctrl-C and the progress bar
_FIRST_CHUNK = 32
_SAVES_PER_CHUNK = 2**21  # float64 values buffered between kernel and result
_LANES = (8, 512)
_BLOCK_VALUES = 2**15  # what one block keeps in the cache, in float64 values


@dataclass(frozen=True)
class Plan:
    """How a run is laid out on the machine. No field changes a result."""

    threads: int
    width: int
    chunk_steps: int | None
    progress: bool

    @classmethod
    def make(cls, n_paths, values_per_lane, *, threads=None, block_width=None, chunk_steps=None, progress=False):
        """Choose what is not given: all cores, and blocks that stay in the cache."""
        threads = _usable_cores() if threads is None else _check.count("threads", threads)
        if block_width is None:
            low, high = _LANES
            per_thread = math.ceil(n_paths / threads)
            wanted = min(_BLOCK_VALUES // values_per_lane, max(per_thread, low))
            block_width = 2 ** int(math.log2(min(max(wanted, low), high)))
        else:
            block_width = min(_check.count("block_width", block_width), n_paths)
        if chunk_steps is not None:
            chunk_steps = _check.count("chunk_steps", chunk_steps)
        return cls(threads, block_width, chunk_steps, bool(progress))


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def saved_steps(n_steps, save_every):
    """Step numbers that are kept: every save_every-th, always the first and the last; those two only for None."""
    if save_every is None:
        return np.array([0, n_steps])
    steps = np.arange(0, n_steps + 1, save_every)
    return steps if steps[-1] == n_steps else np.append(steps, n_steps)


def run_ensemble(advance, x0, n_steps, save_every, plan, label):
    """Advance all paths by n_steps and return (x (n_paths, n_saved, dim), diverged_step (n_paths,), -1 for never).

    ``advance(blocks, first_path, first_step, last_step, save_every, saves)`` is one kernel call on some of the blocks;
    ``label`` stands before the progress bar.
    """
    n_paths, dim = x0.shape
    every = n_steps + 1 if save_every is None else save_every
    _check.fits_in_memory(
        "the trajectories",
        (n_paths, n_steps // every + 2, dim),
        instead="save fewer of them with save_every, or use fewer paths",
    )
    steps = saved_steps(n_steps, save_every)
    result = np.empty((n_paths, steps.size, dim))
    result[:, 0] = x0
    blocks = _to_blocks(x0, plan.width)
    diverged = np.full((blocks.shape[0], plan.width), -1)
    groups = np.array_split(np.arange(blocks.shape[0]), min(plan.threads, blocks.shape[0]))
    chunk = plan.chunk_steps or _FIRST_CHUNK
    most = max(1, _SAVES_PER_CHUNK // blocks.size) * every
    step = 0
    bar = tqdm(desc=label, total=n_steps, unit="step", leave=False, disable=None if plan.progress else True)
    with ThreadPoolExecutor(plan.threads) as pool, bar:
        while step < n_steps:
            last = min(step + min(chunk, most), n_steps)
            before = blocks.copy()
            saves = np.empty((blocks.shape[0], last // every - step // every, dim, plan.width))
            began = time.perf_counter()

            def work(group, first=step, last=last, saves=saves):
                part = slice(group[0], group[-1] + 1)
                advance(blocks[part], group[0] * plan.width, first, last, every, saves[part])

            list(pool.map(work, groups))
            seconds = time.perf_counter() - began
            if saves.shape[1]:
                kept = slice(step // every + 1, last // every + 1)
                result[:, kept] = _to_paths(saves, n_paths)
            _find_divergence(advance, before, blocks, diverged, step, last)
            bar.update(last - step)
            step = last
            if plan.chunk_steps is None and seconds < _CHUNK_SECONDS:
                chunk *= 2
    result[:, -1] = _to_paths(blocks[:, None], n_paths)[:, 0]
    return result, diverged.reshape(-1)[:n_paths]


def _to_blocks(x, width):
    """(n_paths, dim) to (blocks, dim, width); the lanes left over in the last block repeat the last path."""
    n_blocks = math.ceil(x.shape[0] / width)
    padded = np.concatenate([x, np.repeat(x[-1:], n_blocks * width - x.shape[0], axis=0)])
    return np.ascontiguousarray(padded.reshape(n_blocks, width, -1).transpose(0, 2, 1))


def _to_paths(saves, n_paths):
    """(blocks, saves, dim, width) to (n_paths, saves, dim)."""
    n_blocks, n_saves, dim, width = saves.shape
    return saves.transpose(0, 3, 1, 2).reshape(n_blocks * width, n_saves, dim)[:n_paths]


def _find_divergence(advance, before, after, diverged, first, last):
    """Note the step at which a lane left the ball in this chunk, by running its block again with every step saved."""
    with np.errstate(invalid="ignore"):
        outside = ~(np.abs(after).max(axis=1) <= DIVERGED)
    fresh = outside & (diverged < 0)
    dim, width = before.shape[1:]
    piece = max(1, _SAVES_PER_CHUNK // (dim * width))
    for b in np.flatnonzero(fresh.any(axis=1)):
        block = before[b : b + 1].copy()
        for start in range(first, last, piece):
            stop = min(start + piece, last)
            saves = np.empty((1, stop - start, dim, width))
            advance(block, b * width, start, stop, 1, saves)
            with np.errstate(invalid="ignore"):
                out = ~(np.abs(saves[0]).max(axis=1) <= DIVERGED)  # (steps, width)
            found = fresh[b] & (diverged[b] < 0) & out.any(axis=0)
            diverged[b, found] = start + 1 + out.argmax(axis=0)[found]
