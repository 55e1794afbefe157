"""Maps x → F(x), with their derivative: what everything here is about."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from dynsim import _check
from dynsim._ensemble import DIVERGED
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

_DIFFERENCE = np.cbrt(np.finfo(float).eps)  # of central differences: its error h² and the rounding 1e-16/h are alike
_SAME = 1e-9  # relative, between a point alone and among others: far above rounding, far below a mistake


@dataclass(frozen=True, eq=False)
class Map:
    """A map F of R^dim into itself, vectorized over leading axes.

    Parameters
    ----------
    function : callable
        x (..., dim) -> F(x) (..., dim).
    dim : int
        Dimension of the state: that of θ and, below it, of what the method remembers.
    jacobian : callable, optional
        x (..., dim) -> DF(x) (..., dim, dim); by default central differences, right to about nine digits.
    n_observed : int, optional
        The first so many coordinates are θ; ``dim`` by default.
    name : str, optional
        For labels.
    modulo : array_like, scalar or shape (dim,), optional
        Periods of coordinates that are angles, inf for those that are none: points a period apart count as the same
        when periods, bands and basins are looked for. The function itself need not reduce them.
    start : callable, optional
        θ (..., n_observed) -> x (..., dim), the state with the memory that a run begins with; zeros by default.
    observable : callable, optional
        θ (..., n_observed) -> (...), what diagrams show by default: the loss of a problem, else the first coordinate.

    Raises
    ------
    ArgumentError
        If a function is none, fails, returns another shape, is not vectorized, or writes in its argument.

    Examples
    --------
    >>> import dynsim as ds
    >>> logistic = ds.dynamics.Map(lambda x: 3.2 * x * (1 - x), 1, lambda x: (3.2 - 6.4 * x)[..., None])
    >>> ds.dynamics.orbit(logistic, 0.3, 1000).period().tolist()
    [2]
    """

    function: Callable[[np.ndarray], np.ndarray]
    dim: int
    jacobian: Callable[[np.ndarray], np.ndarray] = field(default=None)  # type: ignore[assignment]
    _: KW_ONLY
    n_observed: int = field(default=None)  # type: ignore[assignment]
    name: str = "map"
    modulo: Any = np.inf  # a number or several, an array (dim,) once made
    start: Callable[[np.ndarray], np.ndarray] | None = None
    observable: Callable[[np.ndarray], np.ndarray] | None = None
    # x (m, dim), n_steps, kept or not -> F^n(x) and θ after each step (m, n_steps, n_observed), where that is compiled
    _advance: Callable | None = field(default=None, repr=False)

    def __post_init__(self):
        dim = _check.count("dim", self.dim)
        n_observed = dim if self.n_observed is None else _check.count("n_observed", self.n_observed)
        if n_observed > dim:
            raise ArgumentError(f"n_observed must be at most dim = {dim}, got {n_observed}")
        _probe("function", self.function, dim, (dim,))
        if self.jacobian is None:
            object.__setattr__(self, "jacobian", lambda x: differences(self.function, x))
        else:
            _probe("jacobian", self.jacobian, dim, (dim, dim))
        modulo = (
            np.broadcast_to(np.asarray(self.modulo, dtype=np.float64), (dim,))
            if np.size(self.modulo) in (1, dim)
            else None
        )
        if modulo is None or not (modulo > 0).all():
            raise ArgumentError(f"modulo must be positive, a number or {dim} of them, got {self.modulo!r}")
        object.__setattr__(self, "modulo", modulo)
        object.__setattr__(self, "n_observed", n_observed)

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """F(x) for x (..., dim)."""
        return self.function(_check.points("x", x, self.dim))

    def states(self, x0: ArrayLike, name: str = "x0") -> np.ndarray:
        """States (m, dim) that begin at x0: a scalar, (dim,) or (m, dim), or as many coordinates of θ alone."""
        x0 = np.asarray(x0, dtype=object)
        x0 = np.broadcast_to(x0, (self.n_observed,)) if x0.ndim == 0 else x0
        x = np.atleast_2d(_check.array(name, x0, ndim=x0.ndim))
        if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] not in (self.dim, self.n_observed):
            sizes = " or ".join(map(str, sorted({self.n_observed, self.dim})))
            raise ArgumentError(f"{name} must be a scalar or have shape (d,) or (m, d), d = {sizes}, got {x0.shape}")
        if x.shape[1] == self.dim:
            return x.copy()
        if self.start is not None:
            return self.start(x)
        return np.hstack([x, np.zeros((x.shape[0], self.dim - self.n_observed))])


def advanced(system: Map, x: np.ndarray, n_steps: int, *, n_kept: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """F^n(x) for x (m, dim), and θ after each of the last ``n_kept`` ≤ n steps, (m, n_kept, n_observed)."""
    if system._advance is not None:
        if n_steps > n_kept:
            x, _ = system._advance(x, n_steps - n_kept, False)
        return system._advance(x, n_kept, True) if n_kept else (x, np.empty((len(x), 0, system.n_observed)))
    kept = np.empty((x.shape[0], n_kept, system.n_observed))
    with np.errstate(all="ignore"):  # paths that blow up are told of by those who call
        for _ in range(n_steps - n_kept):
            x = system.function(x)
        for k in range(n_kept):
            x = system.function(x)
            kept[:, k] = x[:, : system.n_observed]
    return x, kept


def followed(system: Map, x: np.ndarray, n_steps: int) -> np.ndarray:
    """x (m, dim) and the whole states after each of n steps, with what a method remembers: (m, n + 1, dim)."""
    states = np.empty((len(x), n_steps + 1, system.dim))
    states[:, 0] = x
    if system.n_observed == system.dim:
        _, states[:, 1:] = advanced(system, x, n_steps, n_kept=n_steps)
    else:
        with np.errstate(all="ignore"):
            for k in range(n_steps):
                states[:, k + 1] = system.function(states[:, k])
    return states


def multipliers(system: Map, cycle: np.ndarray) -> np.ndarray:
    """Eigenvalues of DF(x_p) ⋯ DF(x_1) for a cycle (p, dim), complex, largest first; inf where these are not finite."""
    product = np.eye(system.dim)
    with np.errstate(all="ignore"):
        for derivative in system.jacobian(cycle):
            product = derivative @ product
    if not np.isfinite(product).all():
        return np.full(system.dim, np.inf, dtype=complex)
    values = np.linalg.eigvals(product).astype(complex)
    return values[np.argsort(-np.abs(values), kind="stable")]


def check_map(name, value):
    """A map, or the refusal that says how to get one."""
    return _check.instance(name, value, Map, "a map, such as descent(problem, SGD(0.1, batch_size='full'))")


def outside(x: np.ndarray) -> np.ndarray:
    """Whether points (..., d) are beyond where a path counts as diverged, or not finite."""
    with np.errstate(invalid="ignore"):
        return ~(np.abs(x) <= DIVERGED).all(axis=-1)


def separation(a: np.ndarray, b: np.ndarray, modulo: np.ndarray) -> np.ndarray:
    """The largest |a_j − b_j| over the coordinates, those with a period on their circle: (..., d) -> (...)."""
    gap = np.abs(a - b)
    for j in np.flatnonzero(np.isfinite(modulo)):
        gap[..., j] %= modulo[j]
        gap[..., j] = np.minimum(gap[..., j], modulo[j] - gap[..., j])
    return gap.max(axis=-1)


def differences(function, x):
    """DF by central differences, steps in proportion to the coordinates."""
    x = np.asarray(x, dtype=np.float64)
    columns = []
    for j in range(x.shape[-1]):
        step = np.zeros_like(x)
        step[..., j] = _DIFFERENCE * np.maximum(1.0, np.abs(x[..., j]))
        high, low = x + step, x - step
        columns.append((function(high) - function(low)) / (high - low)[..., j, None])
    return np.stack(columns, axis=-1)


def _probe(name, function, dim, shape):
    """Refuse what is no function of points (..., dim) with values (..., *shape), a point at a time or many."""
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of x (..., {dim}), got {type(function).__name__}")
    scale = np.linspace(0.5, 1.0, 6 * dim).reshape(2, 3, dim)
    for leading in ((), (2, 3)):
        given: list[np.ndarray] = []

        def call(x, leading=leading, given=given):
            return function(_kept(given, _at(x * scale, leading)))

        value = np.asarray(_check.probed(name, call))
        if not np.array_equal(*given[-2:]):
            raise ArgumentError(f"{name} must not write in its argument x: return a new array, without out=x or x *= …")
        if value.shape != (*leading, *shape) or value.dtype.kind not in "fiu":
            raise ArgumentError(
                f"{name} must return numbers of shape {(*leading, *shape)} for x of shape {(*leading, dim)}, "
                f"got {value.dtype} of shape {value.shape}; write x[..., 0] for the first coordinate"
            )
    many, one = (_check.probed(name, lambda x, at=at: at(function, x * scale)) for at in (_first_of_all, _first_alone))
    with np.errstate(invalid="ignore"):
        if not np.allclose(many, one, rtol=_SAME, atol=_SAME, equal_nan=True):
            raise ArgumentError(
                f"{name} must treat each point alone, but among others one of them gets another value; "
                "coordinates are along the last axis: write x[..., 0] for the first"
            )


def _at(points, leading):
    return points if leading else points[0, 0]


def _kept(given, points):
    """The points, put on a list beside a copy."""
    given += points, points.copy()
    return points


def _first_of_all(function, points):
    return function(points)[0, 0]


def _first_alone(function, points):
    return function(points[0, 0])
