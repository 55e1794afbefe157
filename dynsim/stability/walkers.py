"""Walkers on the actual chain that are kept at a distance from a minimum: compiled steps, rescaling, resampling."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim._observation import Observation
from dynsim.chain import _Chain
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import Method
from dynsim.problems import LinearModel, Problem
from dynsim.sampling import Custom
from dynsim.stability.dynamics import update_of
from dynsim.stability.linearized import Terms, terms

POPULATIONS = 32  # independent ones, between which errors are measured
_LINEAR = 1e-6  # distance, where the problem is linear only near θ*: its error is then about this
_RANK = 1e-10  # eigenvalues of H below this share of the largest are its null space
_WORTH_THREADS = 1e-3  # seconds of work, below which handing it to threads costs more
_ALL_PATHS = 2**62  # any path may be told of by the engine's checks


@dataclass(frozen=True, eq=False)
class Place:
    """A problem at its minimum ``at`` (dim,), and the distance at which walkers are kept.

    ``projector`` (dim, dim) takes off the null space of H, None where there is none; ``linear``: gradients are linear
    also far from θ*, for whatever probabilities.
    """

    problem: Problem
    at: np.ndarray
    distance: float
    rank: int
    projector: np.ndarray | None
    linear: bool

    @classmethod
    def of(cls, problem: Problem | Terms, method: Method, at, distance: float | None) -> "Place":
        """That of what :func:`dynsim.stability.empirical` was given, or the refusal."""
        if isinstance(problem, Terms):
            if at is not None:
                raise ArgumentError("at goes with a problem; terms know where they are taken")
            found = problem
        else:
            found = terms(problem, at)
        update_of(method)
        if not method.sampling.memoryless:
            raise NotApplicable(
                f"empirical needs steps that do not depend on the draws before, got {method.sampling!r}"
            )
        if found.gradients is not None:
            largest = float(np.linalg.norm(found.gradients, axis=1).max())
            raise NotApplicable(
                f"empirical needs a minimum of all terms, where distances can die out; at θ* "
                f"a term of {found.name} has a gradient of norm {largest:.3g}, which makes paths fluctuate"
            )
        run = _quadratics(found) if found.problem is None else found.problem
        method.check(run)
        point = np.zeros(found.dim) if found.at is None else found.at
        # a scheme of a user's own may see the distance from θ* also where the gradients are linear
        square = isinstance(run, LinearModel) and run.loss_name == "square"
        linear = (found.problem is None or square) and not isinstance(method.sampling, Custom)
        if distance is None:
            distance = max(1.0, float(np.linalg.norm(point))) * (1.0 if linear else _LINEAR)
        values, vectors = np.linalg.eigh(found.hessian)
        basis = vectors[:, values > _RANK * values[-1]]
        rank = basis.shape[1]
        return cls(run, point, distance, rank, basis @ basis.T if rank < found.dim else None, linear)


def _quadratic(theta, n, params):
    d = theta.size
    total = 0.0
    for j in range(d):
        for k in range(d):
            total += 0.5 * theta[j] * params[n * d + j, k] * theta[k]
    return total


def _quadratic_gradient(theta, n, params, out):
    d = theta.size
    for j in range(d):
        out[j] = 0.0
        for k in range(d):
            out[j] += params[n * d + j, k] * theta[k]


def _quadratics(found):
    """The losses ½ θᵀ H_n θ."""
    if found.features is not None:
        _check.fits_in_memory("the features, dense,", found.features.shape, instead="use fewer of them")
        X = found.features.toarray() if found.is_sparse else found.features
        return LinearModel(np.ascontiguousarray(X), np.zeros(found.n_terms), "square", weights=found.weights.copy())
    made = Problem.from_terms(
        _quadratic,
        _quadratic_gradient,
        n_terms=found.n_terms,
        dim=found.dim,
        params=found.hessians.reshape(-1, found.dim),
        weights=found.weights,
        name=found.name,
        check=False,
    )
    made.lipschitz = found.sizes  # for sampling.Lipschitz
    return made


@dataclass(frozen=True, eq=False)
class Setting:
    """A method at one step size, and what all its walkers share."""

    place: Place
    method: Method
    key: np.ndarray
    per_population: int
    pool: ThreadPoolExecutor
    threads: int


class Walkers:
    """Populations of walkers at a distance ε from θ*: states (populations, rows, walkers), advanced by the engine.

    Distances are those of θ − θ* and, where the method has a memory, of that from its value at rest: both die out or
    grow at one rate. ``ensemble`` is a number that no other walkers under the same key have.
    """

    def __init__(self, setting: Setting, ensemble: int, distance: float):
        place, dim, M = setting.place, setting.place.problem.dim, setting.per_population
        self.chain = _Chain(place.problem, setting.method, setting.key, _ALL_PATHS)
        self.projector, self.distance, self.pool = place.projector, distance, setting.pool
        whole = np.arange(POPULATIONS)
        self.parts = [part for part in np.array_split(whole, setting.threads) if part.size]
        self.first_path, self.step = ensemble * POPULATIONS * M, 0
        self.seconds: list[float] = []  # that a step of the first blocks took
        self.nothing = Observation({}, dim=dim, n_paths=1, n_steps=1).nothing()
        rest = np.concatenate([place.at, self.chain.memory(place.at[None])[0]])
        moving = dim + self.chain.n_memory
        self.center = rest[:moving, None]
        self.rounding = 16 * np.finfo(float).eps * np.abs(self.center).max()
        of_points = self.chain.update.query > 0  # the memory of Nesterov's method; of a velocity, a step is η
        self.unit = np.repeat([1.0, 1.0 if of_points else setting.method.step_size], [dim, self.chain.n_memory])[
            :, None
        ]
        self.generator = np.random.Generator(np.random.Philox(key=setting.key, counter=[0, 0, 0, ensemble]))
        self.state = np.tile(rest[:, None], (POPULATIONS, 1, M))
        offsets = np.zeros((POPULATIONS, moving, M))
        offsets[:, :dim] = self.generator.normal(size=(POPULATIONS, dim, M))
        if of_points:  # which begin where θ does
            offsets[:, dim:] = offsets[:, :dim]
        self._put(offsets)

    def advance(self, n_steps: int) -> np.ndarray:
        """Some steps of all; the log growth of each distance (populations, walkers), which is then ε again."""
        first, last = self.step, self.step + n_steps
        M = self.state.shape[2]

        def work(part):
            span = slice(part[0], part[-1] + 1)
            saves = np.empty((part.size, 0, 1, M))
            self.chain.advance(
                self.state[span], self.first_path + int(part[0]) * M, first, last, last + 1, saves, self.nothing
            )

        began = time.perf_counter()
        if len(self.seconds) < 2:  # of which the first may hold what is done but once
            work(np.arange(POPULATIONS))
            self.seconds.append((time.perf_counter() - began) / n_steps)
        elif n_steps * min(self.seconds) > _WORTH_THREADS:
            list(self.pool.map(work, self.parts))
        else:
            work(np.arange(POPULATIONS))
        self.step = last
        self.chain.check()
        return self._put(self.state[:, : self.center.shape[0]] - self.center)

    def _put(self, offsets):
        """Put the walkers at the distance ε in the directions of their offsets; the log of how far away they were."""
        populations, rows, M = offsets.shape
        if self.projector is not None:
            parts = offsets.reshape(populations, -1, self.projector.shape[0], M)
            offsets = (self.projector @ parts).reshape(offsets.shape)
        size = np.sqrt(((self.unit * offsets) ** 2).sum(axis=1))
        size[size <= self.rounding] = 0.0  # what is left is noise
        scale = np.divide(self.distance, size, out=np.zeros_like(size), where=size > 0)
        self.state[:, :rows] = self.center + offsets * scale[:, None]
        with np.errstate(divide="ignore"):
            return np.log(size / self.distance)

    def select(self, growth: np.ndarray) -> None:
        """Draw the walkers of each population anew, by the squares of their growth; systematic resampling."""
        populations, M = growth.shape
        alive = np.flatnonzero(growth.max(axis=1) > -np.inf)
        u = self.generator.random((populations, 1))
        weight = np.exp(2 * (growth[alive] - growth[alive].max(axis=1, keepdims=True)))
        share = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
        below = np.ceil(M * share - u[alive])
        below[:, -1] = M
        copies = np.diff(np.clip(below, 0, M), axis=1, prepend=0).astype(np.int64)
        chosen = np.repeat(np.tile(np.arange(M), alive.size), copies.ravel()).reshape(alive.size, 1, M)
        self.state[alive] = np.take_along_axis(self.state[alive], chosen, axis=2)
