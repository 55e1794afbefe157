"""The tallies of a run's observers: laid out for the kernels, saved in checkpoints, and turned into results."""

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError


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
    return observe


class Observation:
    """What the observers of one run have counted so far.

    Attributes
    ----------
    lanes : ndarray, shape (blocks, rows, width)
        The tallies kept for each path.
    tallies : ndarray, shape (workers, size)
        Those that the paths of a worker share: whole numbers, so that their sum over workers is exact.
    """

    def __init__(self, observers, *, dim, n_paths, n_steps, unit=1):
        """``unit`` steps of the kernel are one step of the user's: the refinement."""
        from dynsim._kernels import observing as kernel

        self.observers = observers
        self.n_paths, self.n_steps = n_paths, n_steps
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

    def results(self, step, diverged, unit):
        """What each observer has found by a step, ``unit`` of time apart; ``diverged`` (n_paths,) are times, or inf."""
        per_path, tally = self.per_path(), self.tallies.sum(axis=0)
        found = {}
        for (name, observer), row in zip(self.observers.items(), self._layout, strict=True):
            lanes = per_path[:, row[self._lanes_at] : row[self._lanes_at + 1]]
            part = tally[row[self._tally_at] : row[self._tally_at + 1]]
            n = max(0, (step - observer.burn_in) // observer.every + 1)
            found[name] = observer._result(lanes, part, n, diverged, step * unit, unit)
        return found
