"""Observers with a user's function in them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike, Region
from dynsim.errors import ArgumentError
from dynsim.observed import Averages, BatchedMeans, Passages, Visited
from dynsim.observers.base import Observer, compiled, plain, returned_shape
from dynsim.observers.problems import AverageOf, of_problem


@dataclass(frozen=True, eq=False)
class Average(Observer):
    """Time average of a function φ. Result: :class:`~dynsim.observed.Averages`.

    Parameters
    ----------
    function : callable
        φ(x) for x (..., dim): a number, a truth value (an indicator), or a tuple of numbers. Compiled by dynsim: write
        ``x[..., 0]`` for the first coordinate; arithmetic, comparisons, ``&``, ``|`` and NumPy's functions of numbers.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        return compiled(
            "function", user_observers.average, self.function, returned_shape("function", self.function, dim)
        )

    def _start(self, dim):
        return [0.0] * math.prod(returned_shape("function", self.function, dim))

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Averages(n, lanes / max(n, 1), np.isinf(diverged))


@dataclass(frozen=True, eq=False)
class BatchMeans(Observer):
    """Means and variances of φ over 128 to 256 batches of consecutive observations: what errors are estimated from.

    Result: :class:`~dynsim.observed.BatchedMeans`. ``average=φ`` of a run is this observer.

    Parameters
    ----------
    function : callable, AverageOf, or mapping of str to these
        φ, as in :class:`Average`, or ``problem.loss`` of a problem, or ``AverageOf(problem, quantity)``; or several by
        name, each returning one number or truth value, whose errors are then estimated jointly. Of a problem each
        observation costs ``n_terms`` evaluations for each path, which ``every`` makes fewer.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable | AverageOf | Mapping[str, Callable | AverageOf]

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.function, Mapping):
            if not self.function:
                raise ArgumentError("function must name at least one φ")
            for name in self.function:
                _check.instance("a name of φ", name, str, "a string")
            function = {name: of_problem(phi) for name, phi in self.function.items()}
            _refuse_the_same(function)
        else:
            function = of_problem(self.function)
        object.__setattr__(self, "function", function)

    @property
    def _names(self):
        return tuple(self.function) if isinstance(self.function, dict) else ()

    @property
    def _functions(self):
        return tuple(self.function.values()) if self._names else (self.function,)

    def _shape(self, dim, called="function"):
        if not self._names:
            return _shape_of(called, self.function, dim)
        for name, function in self.function.items():
            if _shape_of(f"{called}[{name!r}]", function, dim) != ():
                raise ArgumentError(f"{called}[{name!r}] must return one number, not several; give each its name")
        return (len(self.function),)

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        shape = self._shape(dim)
        object.__setattr__(self, "_is_number", shape == ())  # for _result, which is not told the dim
        functions = tuple(phi.quantity if isinstance(phi, AverageOf) else phi for phi in self._functions)
        if self._names and len(functions) == 1:
            shape = ()
        try:
            return compiled("function", user_observers.batch_means, functions, shape)
        except ArgumentError as refusal:
            methods = any(hasattr(getattr(phi, "__self__", None), "losses_field") for phi in functions)
            if not methods and "'dynsim.problems" not in str(refusal):
                raise
            raise ArgumentError(
                "function cannot be compiled, as it calls a problem: give problem.loss itself, "
                "or observers.AverageOf(problem, 'gradient-norm'), or average over the stored states with time_average"
            ) from None

    def _params(self, dim, n_paths, n_steps):
        from dynsim._kernels.problem_observers import params_of_several

        of_problems = [phi for phi in self._functions if isinstance(phi, AverageOf)]
        return params_of_several([phi._params(dim, n_paths, n_steps) for phi in of_problems])

    def _start(self, dim):
        from dynsim._kernels.user_observers import BATCHES

        return [0.0] * (2 * BATCHES * math.prod(self._shape(dim)))

    def _result(self, lanes, tally, n, diverged, end, unit):
        from dynsim._kernels.user_observers import BATCHES, batch_size

        size = batch_size(n)
        n_batches, n_rest = divmod(n, size)
        means, variances = lanes.reshape(lanes.shape[0], 2, -1, BATCHES).transpose(1, 0, 3, 2)
        return BatchedMeans(
            n,
            means[:, :n_batches].copy(),
            size,
            np.isinf(diverged),
            variances=variances[:, :n_batches].copy(),
            rest=means[:, n_batches].copy() if n_rest else np.zeros_like(means[:, 0]),
            n_rest=n_rest,
            start=self.burn_in * unit,
            interval=self.every * unit,
            shape=() if self._is_number else means.shape[2:],
            names=self._names,
        )


def _refuse_the_same(functions):
    """Refuse functions made in a loop that have all come to see the last value of its variable."""
    seen: dict = {}
    for name, function in functions.items():
        if isinstance(plain(function), FunctionType):
            first, same = seen.setdefault(fingerprint(function), (name, function))
            if same is not function:
                raise ArgumentError(
                    f"the φ named {name!r} computes the same as {first!r}; if they were made in a loop over c, they "
                    "see its last value: write lambda x, c=c: …"
                )


def _shape_of(name, function, dim):
    if isinstance(function, AverageOf):
        function._refuse_another(dim, name)
        return ()
    return returned_shape(name, function, dim)


@dataclass(frozen=True, eq=False)
class FirstPassage(Observer):
    """The first time at which each path is seen in a region. Result: :class:`~dynsim.observed.Passages`.

    Parameters
    ----------
    region : callable
        x (..., dim) -> bool (...), written like φ in :class:`Average`.
    burn_in, every : int, optional
        As in :class:`Observer`. A visit between two observed steps goes unseen.
    """

    region: Region

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        returned_shape("region", self.region, dim, indicator=True)
        return compiled("region", user_observers.first_passage, self.region)

    def _start(self, dim):
        return [math.inf]

    def _result(self, lanes, tally, n, diverged, end, unit):
        return Passages(n, lanes[:, 0].copy(), np.minimum(diverged, end))


@dataclass(frozen=True, eq=False)
class Visits(Observer):
    """Time spent in basins, and transitions between them. Result: :class:`~dynsim.observed.Visited`.

    A transition from basin a to basin b is counted when a path is seen in b and a is the last other basin it was in,
    however long it has been in none of them on the way; so basins with a gap between them count no mere recrossings.

    Parameters
    ----------
    basins : mapping of str to callable, or sequence of callable
        Regions, written like φ in :class:`Average`; where they overlap the first counts.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    basins: Mapping[str, Region] | Sequence[Region]

    def __post_init__(self):
        super().__post_init__()
        basins = self.basins
        if not isinstance(basins, Mapping):
            try:
                basins = {str(b): region for b, region in enumerate(basins)}
            except TypeError:
                raise ArgumentError(f"basins must be regions, by name or in a sequence, got {basins!r}") from None
        if not basins:
            raise ArgumentError("basins must name at least one region")
        object.__setattr__(self, "basins", dict(basins))

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        for name, region in self.basins.items():
            returned_shape(f"basins[{name!r}]", region, dim, indicator=True)
        return compiled("basins", user_observers.visits, tuple(self.basins.values()))

    def _start(self, dim):
        m = len(self.basins)
        return [-1.0] + [0.0] * (2 * m + m * m)

    def _result(self, lanes, tally, n, diverged, end, unit):
        m = len(self.basins)
        seen, after, moves = (part.copy() for part in np.split(lanes[:, 1:], [m, 2 * m], axis=1))
        return Visited(
            n, tuple(self.basins), seen, after, moves.reshape(-1, m, m), self.every * unit, np.isinf(diverged)
        )


@dataclass(frozen=True, eq=False)
class Custom(Observer):
    """An observer of your own. Result: the array of tallies, shape (n_paths, size).

    Parameters
    ----------
    function : callable
        ``function(t, x, tally)``, for one path: x (dim,) is its state at t, the time of an SDE or the step of a chain;
        it updates tally (size,) in place. Plain Python with ``math`` or NumPy scalars; dynsim compiles it.
    start : sequence of float
        What tally is at first; its length is ``size``.
    burn_in, every : int, optional
        As in :class:`Observer`.
    """

    function: Callable
    start: ArrayLike

    def __post_init__(self):
        super().__post_init__()
        try:
            start = np.atleast_1d(np.asarray(self.start, dtype=np.float64))
        except (TypeError, ValueError):
            raise ArgumentError(f"start must be a sequence of numbers, got {self.start!r}") from None
        if start.ndim != 1 or start.size == 0 or np.isnan(start).any():
            raise ArgumentError(f"start must be a sequence of numbers, got {self.start!r}")
        object.__setattr__(self, "start", start)

    def _kernel(self, dim):
        from dynsim._kernels import user_observers

        _check.probed("function", lambda x: plain(self.function)(0.0, np.full(dim, x), self.start.copy()))
        return compiled("function", user_observers.custom, self.function)

    def _start(self, dim):
        return self.start.tolist()

    def _result(self, lanes, tally, n, diverged, end, unit):
        return lanes.copy()
