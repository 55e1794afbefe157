"""Averages over the time and the paths of what has been kept of a run."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.averages import ESTIMATORS, Batches, Estimate, estimate
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.saved import evenly
from dynsim.observed import BatchedMeans
from dynsim.observed.base import listed
from dynsim.observers.problems import AverageOf, of_problem
from dynsim.results import Trajectories

_VALUES_AT_ONCE = 2**22  # float64 values of x that φ is given at once


def time_average(
    source: Trajectories | BatchedMeans | ArrayLike,
    phi: Callable | AverageOf | Mapping[str, Callable | AverageOf] | None = None,
    *,
    burn_in: float | str = "auto",
    method: str = "autoregressive",
) -> Estimate:
    """Average φ over paths and time, (1/(M n)) Σ_i Σ_k φ(x_i(t_k)), with an error that knows of correlation in time.

    By Birkhoff's theorem that is ∫ φ dμ for an ergodic measure μ of the dynamics, Z (6.3); the error is that of the
    central limit theorem for dependent values, Var ≈ (1/(M n)) Σ_k cov(φ_0, φ_k), and is refused where the run does not
    show that it holds.

    Parameters
    ----------
    source : Trajectories, BatchedMeans or array_like, shape (n_paths, n_saved, dim)
        A run; what :class:`dynsim.observers.BatchMeans` has kept of one; or values at equally spaced times, whose unit
        is then the spacing.
    phi : callable, observers.AverageOf, or mapping of str to these, optional
        φ(x) for x (..., dim), such as ``problem.loss``, returns numbers or truth values (...), or (..., q), or a tuple
        of q arrays (...). Several by name return (...) each; they are estimated jointly. The coordinates themselves by
        default.
    burn_in : float or "auto", optional
        Time to leave out at the beginning, in the unit of the run.
    method : str, optional
        Estimator of the error, one of ``dynsim.averages.ESTIMATORS``.

    Returns
    -------
    Estimate
        ``value`` of the shape of φ(x) at one point: () or (q,). Paths that have diverged are left out and counted.

    Raises
    ------
    ArgumentError
        If ``source`` is not as above, its times are not equally spaced (but for the last save of a run, which is left
        out where it falls out of step), an array is not finite, φ does not return what it should, or another argument
        is out of its range.
    NotApplicable
        If all paths have diverged, or φ is not finite on one.
    TooShort
        If the error cannot be told from so few, too short or too different paths.
    InfiniteVariance
        If φ has tails so heavy that no such error exists.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.ergodic import time_average
    >>> ou = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> paths = ds.integrate(ou, 0.0, 200.0, dt=0.05, n_paths=20, rng=0)
    >>> right = time_average(paths, lambda x: x[..., 0] > 0)
    >>> bool(abs(right.value - 0.5) < 5 * right.stderr)
    True
    >>> both = time_average(paths, {"mean": lambda x: x[..., 0], "square": lambda x: x[..., 0] ** 2})
    >>> both.cov.shape
    (2, 2)
    """
    _check.choice("method", method, ESTIMATORS)
    if not isinstance(burn_in, str) and _check.real("burn_in", burn_in) < 0:
        raise ArgumentError(f"burn_in must be at least 0, got {burn_in!r}")
    if isinstance(source, BatchedMeans):
        if phi is not None:
            raise ArgumentError("phi must be None for batch means: they are those of a φ already")
        return source.estimate(burn_in=burn_in, method=method)
    x, start, interval, numbers, n_diverged = _series(source)
    names = tuple(phi) if isinstance(phi, Mapping) else ()
    if isinstance(phi, Mapping) and not (names and all(isinstance(name, str) for name in names)):
        raise ArgumentError(f"phi must name at least one function, by strings, got {phi!r}")
    at_once = max(1, _VALUES_AT_ONCE // x[0].size)
    parts, shape = [], ()
    for first in range(0, numbers.size, at_once):
        part = numbers[first : first + at_once]
        chunk = x if part.size == x.shape[0] else x[part]
        values = _values(phi, chunk, part)
        shape = values.shape[2:]
        flat = values.reshape(*values.shape[:2], -1).astype(np.float64, copy=False)
        if where := not_finite(flat, part):
            raise NotApplicable(f"φ is {where}")
        parts.append(Batches.of_series(flat, start=start, interval=interval, positions=chunk.mean(axis=1)))
    begun = x[numbers, 0]
    found = replace(_together(parts), start_point=begun[0] if (begun == begun[0]).all() else None)
    return estimate(found, method=method, burn_in=burn_in, shape=shape, names=names, n_diverged=n_diverged)


def _series(source):
    """x (n_paths, n, dim) at equally spaced times, their start and spacing, the paths to use, and how many are not."""
    if not isinstance(source, Trajectories):
        x = states_of("source", source, kinds="Trajectories, BatchedMeans")
        return x, 0.0, 1.0, np.arange(x.shape[0]), 0
    numbers = np.flatnonzero(np.isinf(source.diverged))
    if numbers.size == 0:
        raise NotApplicable(f"all {source.n_paths} paths have diverged, so there is no average over time")
    t = np.asarray(source.t, dtype=np.float64)
    n = evenly("source", t)
    if n < 3:
        raise ArgumentError(
            f"source has kept {n} times of each path (save_every={source.settings.get('save_every')}), too few to "
            "average over; keep more, or run it with average=φ, which keeps none"
        )
    return source.x[:, :n], float(t[0]), float(t[1] - t[0]), numbers, source.n_paths - numbers.size


def states_of(name: str, source, *, least: int = 3, kinds: str = "Trajectories") -> np.ndarray:
    """The array (n_paths, n_saved, dim) of at least so many states of each path, or a refusal."""
    try:
        x = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{name} must be {kinds} or an array of shape (n_paths, n_saved, dim), got {type(source).__name__}"
        ) from None
    if x.ndim != 3:
        ways = {1: "for one path of numbers write x[None, :, None]", 2: "for paths of numbers write x[:, :, None]"}
        hint = ways.get(x.ndim, "the axes are those of paths, times and coordinates")
        raise ArgumentError(f"{name} must have shape (n_paths, n_saved, dim), got {x.shape}; {hint}")
    if x.size == 0 or x.shape[1] < least:
        raise ArgumentError(f"{name} must have paths of at least {least} values, got shape {x.shape}")
    if where := not_finite(x, np.arange(x.shape[0])):
        raise ArgumentError(f"{name} is {where}")
    return x


def not_finite(values: np.ndarray, numbers: np.ndarray) -> str:
    """Where values (m, n, q) have NaN or infinity in them, if anywhere: on which paths, and where first."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(values.sum(axis=(1, 2)))  # infinite for sums that overflow, too: then look closer
    if finite.all():
        return ""
    wrong = ~np.isfinite(values).all(axis=2)
    paths = np.flatnonzero(wrong.any(axis=1))
    if paths.size == 0:
        return ""
    return (
        f"not finite on {listed('path', numbers[paths])}; on path {numbers[paths[0]]} first at saved time number "
        f"{int(wrong[paths[0]].argmax())}"
    )


def _values(phi, x, numbers):
    """φ of x (m, n, dim), checked: (m, n) or (m, n, q)."""
    if phi is None:
        return x
    if isinstance(phi, Mapping):
        return np.stack([_value(f"phi[{name!r}]", function, x, scalar=True) for name, function in phi.items()], axis=-1)
    return _value("phi", phi, x)


def _value(name, function, x, scalar=False):
    function = of_problem(function)
    if isinstance(function, AverageOf):
        function = function._at
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of x (..., dim), got {type(function).__name__}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused, with the path
            value = function(x)
            value = np.stack(value, axis=-1) if isinstance(value, tuple) else np.asarray(value)
    except Exception as error:
        raise ArgumentError(f"{name} fails for x of shape {x.shape}: {type(error).__name__}: {error}") from None
    many = not scalar and value.ndim == 3 and value.shape[2] > 0
    if value.dtype.kind not in "biuf" or value.shape[:2] != x.shape[:2] or not (value.ndim == 2 or many):
        wanted = f"{x.shape[:2]}" if scalar else f"{x.shape[:2]} or ({x.shape[0]}, {x.shape[1]}, q)"
        raise ArgumentError(
            f"{name} must return a number for each point, shape {wanted} for x of shape {x.shape}, "
            f"got {value.dtype} of shape {value.shape}; write x[..., 0] for the first coordinate"
        )
    return value


def _together(parts):
    """The batches of all paths."""
    if len(parts) == 1:
        return parts[0]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_PATH}
    rest = {name: getattr(parts[0], name) for name in ("size", "n_rest", "start", "interval")}
    return Batches(**joined, **rest)


_BY_PATH = ("means", "variances", "rest", "positions")
