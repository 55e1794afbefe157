"""Growth of the second moment over step sizes and batch sizes, or a parameter of the problem."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from tqdm.auto import tqdm

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results.maps import StabilityMap
from dynsim.stability.almost_sure import growth_by_direction
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.linearized import Terms, terms_at
from dynsim.stability.mean_square import growth_rates, mean_square
from dynsim.stability.ranges import CRITERIA, criteria_of, seed_of, step_size_range

_WIDEST = 1e12  # of η λ_max(H) and its inverse: beyond, squares overflow or growth is lost in rounding
_CLOSE = 5e-3  # relative error of a zero that is looked for by bisection
_STDERRS = 4
_ON_KINK = 1e-9


def stability_map(
    problem: Problem | Terms | Callable,
    methods: Mapping[str, Method] | Sequence[Method],
    step_sizes: ArrayLike,
    *,
    at: ArrayLike | Callable | None = None,
    batch_sizes: Sequence[int] | None = None,
    parameter: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    criteria: Sequence[str] = ("one-step", "mean-square", "almost-sure", "deterministic"),
    rng: int | np.random.SeedSequence | np.random.Generator | None = 0,
    progress: bool = False,
) -> StabilityMap:
    """How fast E‖θ − θ*‖² grows or contracts near a minimum θ*, over step sizes and a second axis.

    The growth is lim (1/k) ln E‖θ_k − θ*‖² of the linearized dynamics θ' − θ* = (I − η A)(θ − θ*), E A = H, as in
    AY Lemma 3.2 but after many steps instead of one: for fixed proportions the logarithm of the spectral radius of the
    map S ↦ E (I − ηA) S (I − ηA); for probabilities by gradient norm, which depend on the direction, by iterating over
    directions, with an error: on a grid in two dimensions, with a small population of particles in more, in a
    fraction of a second for each cell. (There the criteria "mean-square" and "almost-sure" take much longer, as they
    ask for more digits: half a minute for each method and value of the second axis.)

    Parameters
    ----------
    problem : Problem, Terms or function
        A problem, or what :func:`dynsim.stability.terms` makes. With ``parameter``, a function that makes one of
        either for a value.
    methods : dict of str to Method, or sequence of Method
        Their own step sizes play no part. Of a sequence the names are those of the methods.
    step_sizes : array_like, shape (s,)
        Step sizes η > 0, ascending.
    at : array_like of shape (dim,), or function, optional
        The minimum θ*; with ``parameter``, a function that gives it for a value. By default the one that the problem
        knows, where it knows one only.
    batch_sizes : sequence of int, shape (k,), optional
        A second axis: batch sizes, ascending, each in place of the methods' own.
    parameter : sequence of float, shape (k,), or dict of one such sequence by name, optional
        A second axis: values of a parameter of ``problem``, ascending. The name is used in drawings.
    criteria : sequence of str, optional
        Criteria of :func:`dynsim.step_size_range` whose critical step sizes are computed too.
    rng : int, SeedSequence, Generator or None, optional
        For what is drawn where probabilities depend on the direction; the same draws for all cells.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    StabilityMap

    Raises
    ------
    ArgumentError
        If step sizes, batch sizes or parameters are not ascending, both of the latter are given, names repeat, or a
        step size is beyond 1e±12/λ_max(H).
    NotApplicable
        If θ* does not fit all terms or is at a kink, or stability is not for the method.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.disparate_groups(20, 2, disparity=5.0, fraction=0.2, rng=0)
    >>> span = ds.step_size_range(problem, ds.SGD(1.0), at=problem.minima[0], criterion="mean-square")
    >>> chart = ds.stability_map(problem, [ds.SGD(1.0)], [0.99 * span.max, 1.01 * span.max])
    >>> chart.growth[0, 0].round(3) < 0
    array([ True, False])
    """
    methods = _named(methods)
    eta = _ascending("step_sizes", step_sizes)
    if not eta[0] > 0:
        raise ArgumentError(f"step_sizes must be positive, got {eta[0]:g}")
    if isinstance(criteria, str):
        raise ArgumentError(f"criteria must be a sequence of names, such as ('one-step',), got {criteria!r}")
    criteria = tuple(_check.choice("criteria", name, CRITERIA) for name in criteria)
    axis, values, case = _second_axis(problem, at, batch_sizes, parameter)
    number = seed_of(rng)
    cells = [(i, j, *case(method, j)) for i, method in enumerate(methods.values()) for j in range(len(values))]
    known = [Dynamics.of(near, method) for _, _, near, method in cells]  # refuses before anything runs
    for dynamics in known:
        _within_reach(eta, dynamics.unit)
    shape = (len(methods), len(values))
    growth, stderr = np.zeros((2, *shape, eta.size))
    critical = {name: np.full((*shape, 2), np.nan) for name in criteria}
    zeros = np.full((*shape, 2), np.nan)
    bar = tqdm(desc="stability map", total=len(cells), leave=False, delay=1, disable=None if progress else True)
    with bar:
        for (i, j, near, method), dynamics in zip(cells, known, strict=True):
            growth[i, j], stderr[i, j] = _growth(dynamics, eta * dynamics.unit, number)
            for name in set(criteria).intersection(criteria_of(near, method)):
                span = step_size_range(near, method, criterion=name, rng=number)
                critical[name][i, j] = span.lower, span.upper
            if "mean-square" in critical:
                zeros[i, j] = critical["mean-square"][i, j]
            else:
                zeros[i, j] = _zero(dynamics, eta * dynamics.unit, growth[i, j], stderr[i, j], number) / dynamics.unit
            bar.update()
    settings = {"methods": {name: repr(method) for name, method in methods.items()}, "seed": number}
    return StabilityMap(tuple(methods), eta, axis, values, growth, stderr, zeros, critical, settings)


def _growth(dynamics, etas, seed):
    """Growth rates and their errors at step sizes (s,) in the units of the dynamics."""
    if dynamics.draws.second is not None:
        return growth_rates(dynamics, etas), 0.0
    return np.array([growth_by_direction(dynamics, eta, seed, coarse=True) for eta in etas.tolist()]).T


def _zero(dynamics, etas, growth, stderr, seed):
    """Bounds (2,) on the step size at which the growth passes 0 on a grid (s,); NaN where it does not."""
    grows = growth > 3 * stderr
    k = int(grows.argmax())
    if not grows[k] or k == 0:
        return np.full(2, np.nan)
    if dynamics.draws.second is not None:
        return np.array(mean_square(dynamics)[:2], dtype=float)
    low, high = etas[k - 1 : k + 1].tolist()
    seen = {low: (growth[k - 1], stderr[k - 1]), high: (growth[k], stderr[k])}

    def rate(eta):
        if eta not in seen:
            value, error = _growth(dynamics, np.array([eta]), seed)
            seen[eta] = value[0], error[0]
        return seen[eta][0]

    if rate(low) >= 0:  # not by more than its error
        return np.array([low, high])
    zero = float(brentq(rate, low, high, xtol=_CLOSE * low))
    rate(zero)
    slope = min(-rate(low) / max(zero - low, _CLOSE * low), rate(high) / max(high - zero, _CLOSE * low))
    error = _CLOSE * low + _STDERRS * seen[zero][1] / slope
    return np.clip([zero - error, zero + error], low, high)


def _within_reach(eta, unit):
    outside = eta[(eta * unit > _WIDEST) | (eta * unit < 1 / _WIDEST)]
    if outside.size:
        raise ArgumentError(
            f"step_sizes must lie within a factor {_WIDEST:g} of 1/λ_max(H) = {1 / unit:.3g}, got {outside[0]:g}"
        )


def _named(methods):
    if isinstance(methods, Mapping):
        named = {str(name): method for name, method in methods.items()}
    else:
        if isinstance(methods, (str, Method)) or not isinstance(methods, Sequence):
            raise ArgumentError(f"methods must be a dict or a list of methods, got {type(methods).__name__}")
        for method in methods:
            _check.instance("methods", method, Method, "a list of methods, such as SGD(step_size=0.04)")
        named = {method.name: method for method in methods}
        if len(named) < len(methods):
            raise ArgumentError("methods have the same name more than once; give a dict of name to method")
    for method in named.values():
        _check.instance("methods", method, Method, "a dict of methods, such as {'SGD': SGD(step_size=0.04)}")
    if not named:
        raise ArgumentError("methods must have at least one method, got none")
    return named


def _ascending(name, values):
    values = _check.array(name, values, ndim=1)
    if values.size == 0 or not (np.diff(values) > 0).all():
        raise ArgumentError(f"{name} must be at least one number, in ascending order")
    return values


def _second_axis(problem, at, batch_sizes, parameter):
    """Name and values of the second axis, and a function (method, index) -> (Terms, method) of its cases."""
    if batch_sizes is not None and parameter is not None:
        raise ArgumentError("give batch_sizes or parameter, not both")
    if parameter is not None:
        name, values = "parameter", parameter
        if isinstance(parameter, Mapping):
            if len(parameter) != 1:
                raise ArgumentError(f"parameter must be one sequence by its name, got {len(parameter)} names")
            name, values = next(iter(parameter.items()))
        values = _ascending("parameter", values)
        if not callable(problem):
            raise ArgumentError(
                f"problem must be a function of the parameter that makes one, got {type(problem).__name__}"
            )
        if at is not None and not callable(at):
            raise ArgumentError(f"at must be a function of the parameter, got {type(at).__name__}")
        near = [_terms(problem(value), None if at is None else at(value)) for value in values.tolist()]
        return str(name), values, lambda method, j: (near[j], method)
    here = _terms(problem, at)
    if batch_sizes is None:
        return None, np.array([np.nan]), lambda method, j: (here, method)
    if not isinstance(batch_sizes, (Sequence, np.ndarray)) or isinstance(batch_sizes, str):
        raise ArgumentError(f"batch_sizes must be a sequence of whole numbers, got {batch_sizes!r}")
    sizes = [_check.count("batch_sizes", size) for size in batch_sizes]
    values = _ascending("batch_sizes", sizes)
    return "batch_size", values, lambda method, j: (here, replace(method, batch_size=sizes[j]))


def _terms(problem, at):
    """The terms at a minimum that fits them."""
    if at is None and isinstance(problem, Problem) and problem.minima is not None and len(problem.minima) == 1:
        at = problem.minima[0]
    if isinstance(problem, Problem):
        _refuse_kinks(problem, at)
    near = terms_at(problem, at)
    if near.gradients is not None:
        worst = np.linalg.norm(near.gradients, axis=1).max()
        raise NotApplicable(
            f"a stability map is about a minimum that fits all terms of {near.name}, but one of their gradients has "
            f"norm {worst:.3g} there; stability.terms(hessians=… or gradients=…) asks whether fluctuations stay bounded"
        )
    return near


def _refuse_kinks(problem, at):
    """Refuse a minimum at a kink, with the way to what there is for it."""
    points = problem.minima if at is None else _check.start("at", at, 1, problem.dim)
    if points is None or not problem.kink_planes.size:
        return
    distances = np.abs(points @ problem.kink_planes[:, :-1].T - problem.kink_planes[:, -1])
    if (distances.min(axis=1) < _ON_KINK).all():
        raise NotApplicable(
            f"{problem.name} has a kink at {'its minima' if at is None else points[0].tolist()} and no Hessians there, "
            "so no growth: ds.step_size_range(problem, method, at=…) is the step size beyond which one step may leave "
            "such a minimum, ds.stability.escape_times(…) how long a scheme stays"
        )
