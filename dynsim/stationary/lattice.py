"""All states that a chain can reach, where they are finitely many."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim.errors import DynsimError, NotALattice

if TYPE_CHECKING:
    from dynsim._kernels.lattice import Store

_RESOLUTION = 1e-6  # of the shortest first step or distance of kinks: states nearer to each other are no lattice
_FIRST_CAPACITY = 1024
_PROBES = 2**12  # points whose outcomes are computed at once, where there are more than a few
_NUMBERS = 2**21  # and the most numbers that this may take
_FARTHEST = 512  # steps that a guess goes ahead
_WORTHWHILE = 0.25  # of the guesses: if so many are states, the next ones go farther
_RETRY = 16  # rounds without guesses


class Lattice(NamedTuple):
    """The states (m, dim) in lexicographic order, the transition matrix (m, m), the start, and states on kinks."""

    states: np.ndarray
    transition: sparse.csr_array
    start: int
    on_kinks: np.ndarray


def reachable(step: Callable, start: np.ndarray, kink_planes: np.ndarray, max_states: int, name: str) -> Lattice:
    """All states that can be reached from ``start``, by a search that is exact but for rounding.

    States are joined when they agree to rounding, and one within rounding of a kink is put on it. In one dimension a
    search goes only a few states ahead at a time; so the outcomes of points along the steps of the last round are
    computed with it, which is right on a lattice and, elsewhere, given up.

    Parameters
    ----------
    step : callable
        ``step(theta)``: where a step from theta (q, dim) leads, (q, K, dim), and with what probability, (q, K).
    start : ndarray, shape (dim,)
    kink_planes : ndarray, shape (n, dim + 1)
        Rows [a, b]: the hyperplanes a·θ = b.
    max_states : int
    name : str
        What this is a chain of, for messages.

    Raises
    ------
    NotALattice
        If there are more than ``max_states``, if two come closer than a lattice allows, or if floating point cannot
        tell them apart.
    TooLarge
        If what the search remembers does not fit in memory.
    """
    search = _Search(step, start, kink_planes, max_states, name)
    while search.round():
        pass
    return search.result()


class _Search:
    """The state of a search: the store of the kernels, and how far guesses go."""

    def __init__(self, step, start, kink_planes, max_states, name):
        from dynsim._kernels import lattice as kernels

        self.kernels, self.step, self.max_states, self.name = kernels, step, max_states, name
        norms = np.sqrt((kink_planes[:, :-1] ** 2).sum(axis=1))
        self.planes = (kink_planes / norms[:, None])[norms > 0]
        targets, probability = step(start[None])
        self.resolution, self.size = self._scales(start, targets[0])
        self.store = self._room(_FIRST_CAPACITY, probability.shape[1])
        self.done_pending, self.ahead, self.rounds = 0, 1, 0
        self._begin(start)

    def _scales(self, start, targets):
        """Side of the cells in which states are looked up, and the size of positions, for the unit of rounding."""
        steps = np.abs(targets - start)
        offsets = np.unique(self.planes[:, -1] * np.sign(self.planes[:, 0])) if start.size == 1 else np.zeros(0)
        lengths = np.append(steps[steps > 0], np.diff(offsets))
        size = max(np.abs(start).max(), steps.max(), np.abs(offsets).max(initial=0.0))
        resolution = _RESOLUTION * lengths.min() if lengths.size else 1.0
        if not self.kernels.rounding(np.zeros(1), 0, size) <= resolution / 4:
            self._refuse_unresolved(size, lengths.min(initial=math.inf))
        return float(resolution), float(size)

    def _refuse_unresolved(self, size, length):
        raise NotALattice(
            f"{self.name}: in floating point, positions of the size {size:.1e} are not told apart finely enough for "
            f"steps and kinks {length:.1e} apart"
        )

    def _begin(self, start):
        """The start is row 0."""
        store, kernels = self.store, self.kernels
        store.points[0], store.cells[0] = start, np.floor(start / self.resolution + 0.5)
        store.flags[0] = kernels.REACHED
        for n in (kernels.N_POINTS, kernels.N_REACHED, kernels.N_PENDING):
            store.counts[n] = 1
        kernels.rebuild(store)

    def _room(self, capacity, n_outcomes, old: "Store | None" = None) -> "Store":
        """A store with so many rows, the first of them those of the old one."""
        dim = self.dim = self.planes.shape[1] - 1
        what, instead = "the states of the chain and their outcomes", "lower max_states"
        _check.fits_in_memory(what, (capacity, 3 * dim + n_outcomes * (dim + 2) + 6), instead=instead)
        wide, one = (capacity, dim), (capacity,)
        kinds = [(wide, float), (wide, float), (wide, np.int64), ((capacity, n_outcomes, dim), float)]
        kinds += [((capacity, n_outcomes), float), ((capacity, n_outcomes), np.int64)]
        kinds += [(one, np.int64)] * 4
        rows = [np.zeros(shape, dtype=kind) for shape, kind in kinds]
        rest = [np.zeros(4 * capacity, dtype=np.int64), np.zeros(5, dtype=np.int64), np.zeros((3, dim), dtype=np.int64)]
        store = self.kernels.Store(*rows, *rest)
        if old is not None:
            for new_rows, old_rows in zip(rows, old, strict=False):
                new_rows[: old_rows.shape[0]] = old_rows
            store.counts[:] = old.counts
            self.kernels.rebuild(store)
        return store

    def round(self):
        """Compute the outcomes of the states that wait for them, and of guesses; whether any do."""
        front = self.store.pending[self.done_pending : self.store.counts[self.kernels.N_PENDING]]
        if front.size == 0:
            return False
        n_outcomes = self.store.probabilities.shape[1]
        most = max(1, min(_PROBES, _NUMBERS // (n_outcomes * self.dim)))
        front = front[:most].copy()
        self.done_pending += front.size
        self._put_on_kinks(front)
        guesses = self._guesses(front, most)
        rows = np.concatenate([front, guesses])
        try:
            targets, probability = self.step(self.store.points[rows])
        except DynsimError:  # which a guess may be the reason of
            if not guesses.size:
                raise
            rows, guesses = front, guesses[:0]
            targets, probability = self.step(self.store.points[rows])
        self._keep(rows, targets, probability)
        self._explore()
        self._learn(guesses)
        return True

    def _keep(self, rows, targets, probability):
        """Store outcomes; the states among the rows become ready."""
        store, kernels = self.store, self.kernels
        store.targets[rows], store.probabilities[rows] = targets, probability
        store.flags[rows] |= kernels.EVALUATED
        reached = rows[(store.flags[rows] & kernels.REACHED) > 0]
        first = store.counts[kernels.N_READY]
        store.ready[first : first + reached.size] = reached
        store.counts[kernels.N_READY] += reached.size

    def _guesses(self, front, most):
        """Rows for points ahead of the front, each along the step that led to its state."""
        ahead = min(self.ahead, most // front.size)
        if ahead < 2:
            return np.zeros(0, dtype=np.int64)
        while self.store.points.shape[0] < self.store.counts[self.kernels.N_POINTS] + front.size * ahead:
            self._grow()
        far = np.arange(1, ahead)[:, None, None]
        points = (self.store.points[front] + far * self.store.steps[front]).reshape(-1, self.dim)
        rows = np.tile(front, ahead - 1)
        self.kernels.guess(points, rows, self.size, self.resolution, self.store)
        rows = rows[rows >= 0]
        self._put_on_kinks(rows)
        return rows

    def _learn(self, guesses):
        """Guess farther ahead where guesses turn out to be states."""
        self.rounds += 1
        if guesses.size:
            hits = np.count_nonzero(self.store.flags[guesses] & self.kernels.REACHED)
            self.ahead = min(2 * self.ahead, _FARTHEST) if hits >= _WORTHWHILE * guesses.size else self.ahead // 2
        elif self.ahead < 2 and self.rounds % _RETRY == 0:
            self.ahead = 2

    def _grow(self):
        self.store = self._room(2 * self.store.points.shape[0], self.store.probabilities.shape[1], self.store)

    def _explore(self):
        kernels = self.kernels
        while (status := kernels.explore(self.max_states, self.size, self.resolution, self.store)) == kernels.FULL:
            self._grow()
        if status == kernels.TOO_CLOSE:
            raise NotALattice(
                f"{self.name} reaches states closer than any lattice of its steps: they are not finitely many"
            )
        if status == kernels.TOO_MANY:
            raise NotALattice(
                f"{self.name} reaches more than {self.max_states} states: "
                "they do not form a finite lattice that small (raise max_states, or use the SDE and simulation)"
            )
        if status == kernels.NOT_FINITE:
            raise NotALattice(f"{self.name} reaches states that are not finite: it diverges")
        if status == kernels.UNRESOLVED:
            reached = self.store.points[: self.store.counts[kernels.N_POINTS]]
            self._refuse_unresolved(np.abs(reached).max(), self.resolution / _RESOLUTION)

    def _put_on_kinks(self, rows):
        """Points within rounding of a kink are put on it, so that its convention decides there, and not rounding."""
        x = self.store.points[rows]
        for i, n in np.argwhere(self._at_kinks(x, self.store.depths[rows])):
            _put_onto(x[i], self.planes[n])
        self.store.points[rows] = x

    def _at_kinks(self, x, depths):
        """Which of the points x (q, dim) lie within rounding of which of the kinks, (q, n)."""
        size = np.maximum(np.abs(x).max(axis=1), self.size)
        near = (self.kernels.ROUNDING + depths) * self.kernels.EPS * size
        return np.abs(x @ self.planes[:, :-1].T - self.planes[:, -1]) <= near[:, None]

    def result(self):
        """The states in order, and the matrix."""
        store, kernels = self.store, self.kernels
        rows = np.flatnonzero(store.flags[: store.counts[kernels.N_POINTS]] & kernels.REACHED)
        points = store.points[rows]
        order = np.lexsort(points.T[::-1])
        rank = np.full(store.flags.size, -1)
        rank[rows[order]] = np.arange(rows.size)
        edges, values = store.edges[rows[order]], store.probabilities[rows[order]]
        used = edges >= 0
        m = rows.size
        row_of = np.broadcast_to(np.arange(m)[:, None], used.shape)[used]
        transition = sparse.csr_array((values[used], (row_of, rank[edges[used]])), shape=(m, m))
        transition.sum_duplicates()
        states = points[order]
        on_kinks = np.flatnonzero(self._at_kinks(states, store.depths[rows[order]]).any(axis=1))
        return Lattice(states, transition, int(rank[0]), on_kinks)


def _put_onto(x, plane):
    """Move the point x (dim,) onto a plane, exactly so where it is at right angles to a coordinate."""
    normal = plane[:-1]
    across = np.flatnonzero(normal)
    if across.size == 1:
        x[across[0]] = plane[-1] * normal[across[0]]
    else:
        x -= (x @ normal - plane[-1]) * normal
