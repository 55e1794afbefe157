"""The one driver of all time loops: blocks of paths, chunks of steps, threads, saving, and paths that blow up."""

import contextlib
import math
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from dynsim import _check

# A path outside this ball has blown up: its square still fits a float64, and nothing a user wants is out there.
DIVERGED = 1e100
_CHUNK_SECONDS = 0.1  # between two looks at Ctrl-C and the progress bar
_SAVES_PER_CHUNK = 2**21  # float64 values buffered between kernel and result
_LANES = (8, 512)
_BLOCK_VALUES = 2**13  # what one block keeps in the first cache, in float64 values
_GROUPS_PER_THREAD = 4  # so that a thread that is held up leaves its share to the others


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


@dataclass(frozen=True)
class Run:
    """What is to be computed: steps of all paths from x0 (n_paths, dim), of which some are kept.

    ``advance(blocks, first_path, first_step, last_step, save_every, saves, observation)`` is one kernel call on some of
    the blocks; ``label`` stands before the progress bar.
    """

    advance: object
    x0: np.ndarray
    n_steps: int
    save_every: int | None
    label: str
    together: int = 2  # so many steps share their noise

    @property
    def every(self):
        """The interval of saves; beyond the end if only start and end are kept."""
        return self.n_steps + 1 if self.save_every is None else self.save_every


@dataclass(frozen=True)
class Outcome:
    """What a run returns.

    x (n_paths, n_saved, dim), the steps they belong to (n_saved,), and the step at which each path blew up (n_paths,),
    −1 for never. ``steps[-1]`` is less than n_steps if the run was interrupted.
    """

    x: np.ndarray
    steps: np.ndarray
    diverged: np.ndarray


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def saved_steps(n_steps, save_every):
    """Step numbers that are kept: every save_every-th, always the first and the last; those two only for None."""
    if save_every is None:
        return np.array([0, n_steps])
    steps = np.arange(0, n_steps + 1, save_every)
    return steps if steps[-1] == n_steps else np.append(steps, n_steps)


def run_ensemble(run, plan, observation, checkpoint, settings):
    """Advance all paths by n_steps, or from where a checkpoint left them; the observers' tallies go to ``observation``.

    Ctrl-C ends the run after the current chunk, with what has been computed; a second one raises.
    """
    n_paths, dim = run.x0.shape
    n_steps, every = run.n_steps, run.every
    _check.fits_in_memory(
        "the trajectories",
        (n_paths, n_steps // every + 2, dim),
        instead="save fewer of them with save_every, or use fewer paths",
    )
    steps = saved_steps(n_steps, run.save_every)
    result = np.empty((n_paths, steps.size, dim))
    result[:, 0] = run.x0
    blocks = to_blocks(run.x0, plan.width)
    n_blocks = blocks.shape[0]
    n_groups = min(n_blocks, plan.threads if plan.threads == 1 else _GROUPS_PER_THREAD * plan.threads)
    groups = np.array_split(np.arange(n_blocks), n_groups)
    observation.lay_out(n_blocks, plan.width, n_groups)
    diverged = np.full((n_blocks, plan.width), -1)
    step = 0
    arrays = checkpoint.resume(settings)
    if arrays is not None:
        step = int(arrays["step"])
        blocks = to_blocks(arrays["x"], plan.width)
        result[:, : step // every + 1] = arrays["saved"]
        diverged.reshape(-1)[:n_paths] = arrays["diverged"]
        observation.restore(arrays["per_path"], arrays["tally"])

    def state():
        return {
            "step": np.array(step),
            "x": _to_paths(blocks[:, None], n_paths)[:, 0],
            "saved": result[:, : step // every + 1],
            "diverged": diverged.reshape(-1)[:n_paths],
            "per_path": observation.per_path(),
            "tally": observation.tallies.sum(axis=0),
        }

    chunk = plan.chunk_steps or run.together
    most = max(1, _SAVES_PER_CHUNK // blocks.size) * every
    bar = tqdm(
        desc=run.label, initial=step, total=n_steps, unit="step", leave=False, delay=1, disable=_no_bar(plan.progress)
    )
    with ThreadPoolExecutor(plan.threads) as pool, bar, _ctrl_c() as interrupted:
        while step < n_steps and not interrupted.is_set():
            last = min(step + min(chunk, most), n_steps)
            before = blocks.copy()
            saves = np.empty((n_blocks, last // every - step // every, dim, plan.width))
            began = time.perf_counter()

            def work(number, first=step, last=last, saves=saves):
                part = slice(groups[number][0], groups[number][-1] + 1)
                first_path = groups[number][0] * plan.width
                observed = observation.arguments(part, number)
                run.advance(blocks[part], first_path, first, last, every, saves[part], observed)

            list(pool.map(work, range(n_groups)))
            seconds = time.perf_counter() - began
            if saves.shape[1]:
                kept = slice(step // every + 1, last // every + 1)
                result[:, kept] = _to_paths(saves, n_paths)
            _find_divergence(run.advance, before, blocks, diverged, step, last, observation.nothing())
            bar.update(last - step)
            step = last
            if plan.chunk_steps is None and seconds < _CHUNK_SECONDS:
                chunk *= 2
            if checkpoint.due():
                checkpoint.write(state)
    if arrays is None or step > int(arrays["step"]):
        checkpoint.write(state)
    if step < n_steps:
        warnings.warn(f"interrupted after {step} of {n_steps} steps; the result is incomplete", stacklevel=3)
        steps = saved_steps(step, run.save_every)
        result = result[:, : steps.size]
    result[:, -1] = _to_paths(blocks[:, None], n_paths)[:, 0]
    return Outcome(result, steps, diverged.reshape(-1)[:n_paths])


@contextlib.contextmanager
def _ctrl_c():
    """An event that Ctrl-C sets instead of raising, the first time; where Python's own handler is in charge."""
    event = threading.Event()

    def stop(number, frame):
        event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handler(stop):
        yield event


@contextlib.contextmanager
def whole_runs():
    """Within it, or in a function that it decorates, Ctrl-C raises as usual: for who can do nothing with half a run."""

    def stop(number, frame):
        raise KeyboardInterrupt

    with _handler(stop):
        yield


@contextlib.contextmanager
def _handler(handler):
    """Put a handler of SIGINT in the place of Python's own, if that is in charge and this is the main thread."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _no_bar(progress):
    """tqdm's ``disable``: None leaves it out where stderr is no terminal, which that of a notebook is not either."""
    if not progress:
        return True
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return False if "IPKernelApp" in getattr(shell, "config", ()) else None


def to_blocks(x, width):
    """(n_paths, dim) to (blocks, dim, width); the lanes left over in the last block repeat the last path."""
    n_blocks = math.ceil(x.shape[0] / width)
    padded = np.concatenate([x, np.repeat(x[-1:], n_blocks * width - x.shape[0], axis=0)])
    return np.ascontiguousarray(padded.reshape(n_blocks, width, -1).transpose(0, 2, 1))


def _to_paths(saves, n_paths):
    """(blocks, saves, dim, width) to (n_paths, saves, dim)."""
    n_blocks, n_saved, dim, width = saves.shape
    return saves.transpose(0, 3, 1, 2).reshape(n_blocks * width, n_saved, dim)[:n_paths]


def _find_divergence(advance, before, after, diverged, first, last, nothing):
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
            advance(block, b * width, start, stop, 1, saves, nothing)
            with np.errstate(invalid="ignore"):
                out = ~(np.abs(saves[0]).max(axis=1) <= DIVERGED)  # (steps, width)
            found = fresh[b] & (diverged[b] < 0) & out.any(axis=0)
            diverged[b, found] = start + 1 + out.argmax(axis=0)[found]
