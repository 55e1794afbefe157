"""The tallies of a run's observers: laid out for the kernels, saved in checkpoints, and turned into results."""

import math
import warnings
from collections.abc import Mapping

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim.averages.checks import called
from dynsim.errors import ArgumentError, DynsimError, PoorMixing

_AVERAGE = "average="  # the name of the observer of the average that a run was asked for
_FIRST_LOOK, _GROWTH = 256, math.sqrt(2.0)  # observations before an average is first looked at, and how they grow


def named_observers(observe):
    """The observers by name, from one, a sequence, or a mapping."""
    from dynsim.observers import Observer

    if observe is None:
        return {}
    if isinstance(observe, Observer):
        observe = [observe]
    what = "an observer, such as observers.Moments()"
    if not isinstance(observe, dict):
        try:
            observe = list(observe)
        except TypeError:
            raise ArgumentError(f"observe must be an observer, such as observers.Moments(), got {observe!r}") from None
        for number, observer in enumerate(observe):
            _check.instance(f"observe[{number}]", observer, Observer, what)
        names = [observer.name for observer in observe]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ArgumentError(f"observe has two observers named {twice.pop()!r}; pass a dict with names of your own")
        observe = dict(zip(names, observe, strict=True))
    for name, observer in observe.items():
        _check.instance(f"observe[{name!r}]", observer, Observer, what)
    if _AVERAGE in observe:
        raise ArgumentError(
            f"observe must not use the name {_AVERAGE!r}, which a run's own average has; choose another"
        )
    return observe


def averaging(average, dim):
    """The observer that ``average`` stands for."""
    from dynsim.observers import AverageOf, BatchMeans

    if isinstance(average, BatchMeans):
        return average
    if not (callable(average) or isinstance(average, AverageOf) or (isinstance(average, Mapping) and average)):
        raise ArgumentError(
            "average must be a function of x (..., dim), such as problem.loss, such functions by name, "
            f"observers.AverageOf(problem, quantity) or observers.BatchMeans(function), got {average!r}"
        )
    observer = BatchMeans(average)
    observer._shape(dim, called="average")
    return observer


def tolerances(until):
    """The errors, by kind, that ``until`` allows."""
    if not isinstance(until, Mapping):
        return {"relative": _check.positive("until", until)}
    if not until:
        raise ArgumentError("until must say a relative or an absolute error, got {}")
    kinds = [_check.choice("a kind of error in until", kind, ("relative", "absolute")) for kind in until]
    return {kind: _check.positive(f"until[{kind!r}]", until[kind]) for kind in kinds}


class Goal:
    """The error of its average at which a run may stop before its last step.

    It is looked at after 256 observations, and whenever they have grown by √2 since: at steps that are the same however
    the run is laid out. (The more often one looks, the more often one stops at an error that is small by accident.)

    A φ that has had one value so far is never accurate: it may be an event that is still to be seen.

    Attributes
    ----------
    until : dict
        The errors allowed, by kind, of which the larger counts.
    """

    def __init__(self, until, observation, unit, dt):
        self.until = tolerances(until)
        self._observation, self._unit, self._dt = observation, unit, dt
        observer = observation.observers[_AVERAGE]
        counts = [_FIRST_LOOK]
        while observer.burn_in + observer.every * (counts[-1] - 1) < observation.n_steps:
            counts.append(math.ceil(_GROWTH * counts[-1]))
        looks = unit * np.minimum(observer.burn_in + observer.every * (np.array(counts) - 1), observation.n_steps)
        self._looks = np.unique(np.append(looks, unit * observation.n_steps))

    def next_look(self, step):
        """The first step after this one, both of the kernel, at which the average is looked at."""
        return int(self._looks[np.searchsorted(self._looks, step, side="right")])

    def met(self, step, diverged):
        """Whether the run may stop at this step, or has nothing left to run; always False between two looks."""
        lost = np.isfinite(diverged).all()
        return step in self._looks and bool(lost or self._shortfall(step, diverged) is None)

    def warn_if_missed(self, step, diverged):
        """Say so if the run has ended before the error asked for."""
        if reason := self._shortfall(step, diverged):
            warnings.warn(f"the average is not as accurate as until asks, at the last step: {reason}", stacklevel=4)

    def _shortfall(self, step, diverged):
        """Why the average is not as accurate as asked, or None; nothing about φ may raise in the middle of a run."""
        batched = self._observation.results(step // self._unit, diverged, self._dt, only=_AVERAGE)[_AVERAGE]
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("error", PoorMixing)
                found = batched.estimate()
        except (DynsimError, PoorMixing) as reason:
            return str(reason)
        relative, absolute = self.until.get("relative", 0.0), self.until.get("absolute", 0.0)
        value, stderr = np.ravel(found.value), np.ravel(found.stderr)
        allowed = np.maximum(relative * np.abs(value), absolute)
        if found.constant.any():
            which = int(np.argmax(found.constant))
            after = f" since a burn-in of {found.burn_in:g}" if found.burn_in > 0 else " throughout"
            return (
                f"{called(found.names, which, value.size)} has been {value[which]:.4g}{after}; "
                "what else it may be, and how often, is not known"
            )
        if (stderr <= allowed).all():
            return None
        with np.errstate(divide="ignore"):
            worst = int(np.argmax(stderr / allowed))
        error = f"{value[worst]:.4g} ± {stderr[worst]:.2g}, with {allowed[worst]:.2g} allowed"
        return f"{called(found.names, worst, value.size)} is {error}"


class Observation:
    """What the observers of one run have counted so far.

    Attributes
    ----------
    lanes : ndarray, shape (blocks, rows, width)
        The tallies kept for each path.
    tallies : ndarray, shape (workers, size)
        Those that the paths of a worker share: whole numbers, so that their sum over workers is exact.
    goal : Goal or None
        When the run may stop before its last step.
    """

    def __init__(self, observers, *, dim, n_paths, n_steps, unit=1, dt=1, average=None, until=None):
        """``unit`` steps of the kernel are one step of the user's, the refinement, which takes the time ``dt``."""
        from dynsim._kernels import observing as kernel

        if average is not None:
            observers = observers | {_AVERAGE: averaging(average, dim)}
        elif until is not None:
            raise ArgumentError("until is for a run with average=, whose error it is about")
        self.observers = observers
        self.n_paths, self.n_steps = n_paths, n_steps
        self.goal = None if until is None else Goal(until, self, unit, dt)
        self._kept = [observer._kernel(dim) for observer in observers.values()]  # alive while their code may run
        self._addresses = kernel.addresses(self._kept)
        self._layout = np.zeros((len(observers), kernel.COLUMNS), dtype=np.int64)
        params, start, size = [], [], 0
        for row, observer in zip(self._layout, observers.values(), strict=True):
            own, first = observer._params(dim, n_paths, n_steps), observer._start(dim)
            row[:] = [
                *(observer.burn_in * unit, observer.every * unit),
                *(len(params), len(params) + len(own)),
                *(len(start), len(start) + len(first)),
                *(size, size + observer._tally_size()),
            ]
            params.extend(own)
            start.extend(first)
            size += observer._tally_size()
        self._params = np.array(params, dtype=np.float64)
        self._start = np.array(start, dtype=np.float64)
        self._size = size
        self._lanes_at, self._tally_at = kernel.LANES, kernel.TALLY
        _check.fits_in_memory("what the observers keep", (n_paths, len(start)), instead="use fewer paths")

    def lay_out(self, n_blocks, width, n_workers):
        """Fresh tallies for blocks of paths and for workers."""
        self.lanes = np.empty((n_blocks, self._start.size, width))
        self.lanes[:] = self._start[:, None]
        self.tallies = np.zeros((n_workers, self._size))

    def arguments(self, blocks, worker):
        """What a kernel call on some of the blocks (a slice) is given."""
        return self._addresses, self._layout, self._params, self.lanes[blocks], self.tallies[worker], self.n_paths

    def nothing(self):
        """The same where nobody is to observe: when steps are repeated to find the one at which a path blew up."""
        return self._addresses[:0], self._layout[:0], self._params, np.empty((1, 0, 1)), np.empty(0), 0

    def per_path(self):
        """The lanes by paths, (n_paths, rows)."""
        n_blocks, rows, width = self.lanes.shape
        return self.lanes.transpose(0, 2, 1).reshape(n_blocks * width, rows)[: self.n_paths]

    def restore(self, per_path, tally):
        """Go on from the tallies of a checkpoint."""
        n_blocks, rows, width = self.lanes.shape
        padded = np.zeros((n_blocks * width, rows))
        padded[: self.n_paths] = per_path
        self.lanes[:] = padded.reshape(n_blocks, width, rows).transpose(0, 2, 1)
        self.tallies[0] = tally

    def results(self, step, diverged, unit, only=None):
        """What each observer, or only one, has found by a step, ``unit`` of time apart.

        ``diverged`` (n_paths,) are times, or inf.
        """
        per_path, tally = self.per_path(), self.tallies.sum(axis=0)
        found = {}
        for (name, observer), row in zip(self.observers.items(), self._layout, strict=True):
            if only is None or name == only:
                lanes = per_path[:, row[self._lanes_at] : row[self._lanes_at + 1]]
                part = tally[row[self._tally_at] : row[self._tally_at + 1]]
                n = max(0, (step - observer.burn_in) // observer.every + 1)
                found[name] = observer._result(lanes, part, n, diverged, step * unit, unit)
        return found

    def fingerprints(self):
        """What a checkpoint knows the observers by: those of the user, and the average."""
        own = {name: observer for name, observer in self.observers.items() if name != _AVERAGE}
        found = {"observe": fingerprint(own)}
        return found if _AVERAGE not in self.observers else found | {"average": fingerprint(self.observers[_AVERAGE])}

    def found(self, step, diverged, unit):
        """The same as ``results`` for a run: what its observers have found, and the average that it was asked for."""
        results = self.results(step, diverged, unit)
        return {"averaged": results.pop(_AVERAGE, None), "observed": results}
