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
_PAYING, _LONGEST_SECONDS = 0.7, 5.0  # or longer, while longer chunks make a step so much cheaper
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

    A block's rows are those of x and, below them, of what else a path remembers, ``memory`` (n_paths, rows) at first.
    ``advance(blocks, first_path, first_step, last_step, save_every, saves, observation)`` is one kernel call on some of
    the blocks; ``label`` stands before the progress bar; ``check()``, if given, raises after a chunk that went wrong,
    and ``goal`` says when to stop before the last step.
    """

    advance: object
    x0: np.ndarray
    n_steps: int
    save_every: int | None
    label: str
    together: int = 2  # so many steps share their noise
    memory: np.ndarray | None = None
    check: object = None
    goal: object = None

    @property
    def every(self):
        """The interval of saves; beyond the end if only start and end are kept."""
        return self.n_steps + 1 if self.save_every is None else self.save_every


@dataclass(frozen=True)
class Outcome:
    """What a run returns.

    x (n_paths, n_saved, dim), the steps they belong to (n_saved,), and the step at which each path blew up (n_paths,),
    inf for never. ``steps[-1]`` is less than n_steps if the goal was met there, or if the run was interrupted: only
    then it is not ``complete``.
    """

    x: np.ndarray
    steps: np.ndarray
    diverged: np.ndarray
    complete: bool


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
    paths = _Paths(run, plan, observation)
    arrays = checkpoint.resume(settings)
    if arrays is not None:
        paths.restore(arrays)
    began_at = paths.step
    chunk, step_seconds = plan.chunk_steps or run.together, math.inf
    bar = tqdm(
        desc=run.label, initial=began_at, total=run.n_steps, unit="step", leave=False, delay=1, disable=_no_bar(plan)
    )
    with ThreadPoolExecutor(plan.threads) as pool, bar, _ctrl_c() as interrupted:
        while not (complete := paths.complete()) and not interrupted.is_set():
            before, began = paths.step, time.perf_counter()
            paths.advance(chunk, pool)
            bar.update(paths.step - before)
            if run.check is not None:
                run.check()
            seconds, last_step_seconds = time.perf_counter() - began, step_seconds
            step_seconds = seconds / (paths.step - before)
            paying = step_seconds < _PAYING * last_step_seconds and seconds < _LONGEST_SECONDS
            if plan.chunk_steps is None and (seconds < _CHUNK_SECONDS or paying):
                chunk *= 2
            if checkpoint.due():
                checkpoint.write(paths.arrays)
    if arrays is None or paths.step > began_at:
        checkpoint.write(paths.arrays)
    if not complete:
        message = f"interrupted after {paths.step} of {run.n_steps} steps; the result is incomplete"
        warnings.warn(message, stacklevel=3)
    elif run.goal is not None:
        run.goal.warn_if_missed(paths.step, paths.blown_up())
    return paths.outcome(complete)


class _Paths:
    """All paths of a run after ``step`` steps, what has been kept of them, and where they have blown up."""

    def __init__(self, run, plan, observation):
        n_paths, dim = run.x0.shape
        _check.fits_in_memory(
            "the trajectories",
            (n_paths, run.n_steps // run.every + 2, dim),
            instead="save fewer of them with save_every, or use fewer paths",
        )
        self.run, self.plan, self.observation = run, plan, observation
        self.step = 0
        self.dim = dim
        self.blocks = _to_blocks(run.x0 if run.memory is None else np.hstack([run.x0, run.memory]), plan.width)
        n_blocks = self.blocks.shape[0]
        n_groups = min(n_blocks, plan.threads if plan.threads == 1 else _GROUPS_PER_THREAD * plan.threads)
        self.groups = [slice(part[0], part[-1] + 1) for part in np.array_split(np.arange(n_blocks), n_groups)]
        self.kept = np.empty((n_paths, saved_steps(run.n_steps, run.save_every).size, dim))
        self.kept[:, 0] = run.x0
        self.diverged = np.full((n_blocks, plan.width), -1)
        observation.lay_out(n_blocks, plan.width, n_groups)

    def advance(self, n_steps, pool):
        """Some steps on, at most n_steps and those whose saved states may be buffered, on the threads of the pool."""
        run, first, every = self.run, self.step, self.run.every
        n_blocks, _, width = self.blocks.shape
        most = max(1, _SAVES_PER_CHUNK // (n_blocks * self.dim * width)) * every
        last = min(first + min(n_steps, most), run.n_steps if run.goal is None else run.goal.next_look(first))
        before = self.blocks.copy()
        saves = np.empty((n_blocks, last // every - first // every, self.dim, width))

        def work(number):
            part = self.groups[number]
            observed = self.observation.arguments(part, number)
            run.advance(self.blocks[part], part.start * self.plan.width, first, last, every, saves[part], observed)

        list(pool.map(work, range(len(self.groups))))
        if saves.shape[1]:
            self.kept[:, first // every + 1 : last // every + 1] = _to_paths(saves, self.kept.shape[0])
        _find_divergence(run, before, self.blocks, self.diverged, first, last, self.observation.nothing())
        self.step = last

    def complete(self):
        """Whether this was the last step, or the goal is met."""
        run = self.run
        return self.step == run.n_steps or (run.goal is not None and run.goal.met(self.step, self.blown_up()))

    def blown_up(self):
        """The steps at which paths blew up (n_paths,), inf for never."""
        diverged = self.diverged.reshape(-1)[: self.kept.shape[0]]
        return np.where(diverged < 0, np.inf, diverged)

    def arrays(self):
        """What a checkpoint keeps, by paths and not by blocks, so that another layout can go on from it."""
        n_paths = self.kept.shape[0]
        return {
            "step": np.array(self.step),
            "x": _to_paths(self.blocks[:, None], n_paths)[:, 0],
            "saved": self.kept[:, : self.step // self.run.every + 1],
            "diverged": self.diverged.reshape(-1)[:n_paths],
            "per_path": self.observation.per_path(),
            "tally": self.observation.tallies.sum(axis=0),
        }

    def restore(self, arrays):
        """Go on from a checkpoint."""
        self.step = int(arrays["step"])
        self.blocks = _to_blocks(arrays["x"], self.plan.width)
        self.kept[:, : self.step // self.run.every + 1] = arrays["saved"]
        self.diverged.reshape(-1)[: self.kept.shape[0]] = arrays["diverged"]
        self.observation.restore(arrays["per_path"], arrays["tally"])

    def outcome(self, complete):
        """The states that were to be kept, as far as the run has come, and the last one."""
        n_paths = self.kept.shape[0]
        steps = saved_steps(self.step, self.run.save_every)
        self.kept[:, steps.size - 1] = _to_paths(self.blocks[:, None], n_paths)[:, 0, : self.dim]
        return Outcome(self.kept[:, : steps.size], steps, self.blown_up(), complete)


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


def _no_bar(plan):
    """tqdm's ``disable``: None leaves it out where stderr is no terminal, which that of a notebook is not either."""
    if not plan.progress:
        return True
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return False if "IPKernelApp" in getattr(shell, "config", ()) else None


def _to_blocks(x, width):
    """(n_paths, dim) to (blocks, dim, width); the lanes left over in the last block repeat the last path."""
    n_blocks = math.ceil(x.shape[0] / width)
    padded = np.concatenate([x, np.repeat(x[-1:], n_blocks * width - x.shape[0], axis=0)])
    return np.ascontiguousarray(padded.reshape(n_blocks, width, -1).transpose(0, 2, 1))


def _to_paths(saves, n_paths):
    """(blocks, saves, dim, width) to (n_paths, saves, dim)."""
    n_blocks, n_saved, dim, width = saves.shape
    return saves.transpose(0, 3, 1, 2).reshape(n_blocks * width, n_saved, dim)[:n_paths]


def _find_divergence(run, before, after, diverged, first, last, nothing):
    """Note the step at which a lane left the ball in this chunk, by running its block again with every step saved."""
    dim, width = run.x0.shape[1], before.shape[2]
    with np.errstate(invalid="ignore"):
        outside = ~(np.abs(after[:, :dim]).max(axis=1) <= DIVERGED)
    fresh = outside & (diverged < 0)
    piece = max(1, _SAVES_PER_CHUNK // (dim * width))
    for b in np.flatnonzero(fresh.any(axis=1)):
        block = before[b : b + 1].copy()
        for start in range(first, last, piece):
            stop = min(start + piece, last)
            saves = np.empty((1, stop - start, dim, width))
            run.advance(block, b * width, start, stop, 1, saves, nothing)
            with np.errstate(invalid="ignore"):
                out = ~(np.abs(saves[0]).max(axis=1) <= DIVERGED)  # (steps, width)
            found = fresh[b] & (diverged[b] < 0) & out.any(axis=0)
            diverged[b, found] = start + 1 + out.argmax(axis=0)[found]
