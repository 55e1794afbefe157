"""L's convergence speed of one step, by enumeration of the draws and by the closed formulas."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD, Adam, HeavyBall, Method, RMSProp
from dynsim.problems import Problem

# The running quantities of each method in the order of its memory.
_REMEMBERED: dict[type, tuple[str, ...]] = {SGD: (), HeavyBall: ("v",), RMSProp: ("v",), Adam: ("m", "v")}


@dataclass(frozen=True, eq=False)
class ConvergenceSpeed:
    """Expected approach to a target in one step, from :func:`dynsim.convergence_speed`.

    Attributes
    ----------
    speed : ndarray, shape (...)
        S(p), summed over all terms that may be drawn.
    formula : ndarray, shape (...)
        S(p) by L's closed formula, corrected; the same up to rounding.
    printed : ndarray, shape (...)
        L's formula as printed: for ``RMSProp`` and ``Adam`` with the scalar ‖G‖² even where the method is elementwise,
        and for ``Adam`` with the cross term over (1 − β₁ᵗ)².
    settings : dict
        What made it.
    """

    speed: np.ndarray
    formula: np.ndarray
    printed: np.ndarray
    settings: dict = field(repr=False)


def convergence_speed(
    problem: Problem,
    method: Method,
    theta: ArrayLike,
    *,
    target: ArrayLike | None = None,
    state: Mapping[str, ArrayLike] | None = None,
) -> ConvergenceSpeed:
    """L's S(p) = −E[‖θ' − θ*‖² − ‖θ − θ*‖²]: how far one step from θ is expected to come nearer to a target θ*.

    With G = (a_n/p_n) ∇l_n(θ), n drawn with probability p_n(θ), and δ = θ − θ*, L §2.1 and Appendices C, D and E have

    * ``SGD``: S = 2η δ·E[G] − η² E‖G‖²
    * ``HeavyBall``: S = −η²μ²‖v‖² − 2η²μ v·E[G] − η² E‖G‖² + 2ημ δ·v + 2η δ·E[G]
    * ``RMSProp``: S = −E[η²‖G‖²/s² − 2η δ·G/s], s = ε + √(αv + (1−α)‖G‖²)
    * ``Adam``: S = −E[η²‖m̂‖²/s² − 2η δ·m̂/s], m̂ = (β₁m + (1−β₁)G)/(1−β₁ᵗ), s = ε + √((β₂v + (1−β₂)‖G‖²)/(1−β₂ᵗ))

    with m, v as they are before the step. The elementwise RMSProp and Adam have these coordinate by coordinate. For SGD
    and HeavyBall p enters by E‖G‖² alone, so that p^GN is the fastest; for the others it is not in general.

    Parameters
    ----------
    problem : Problem
    method : SGD, HeavyBall, RMSProp or Adam
        With one term drawn in a step, by a scheme of independent draws.
    theta : array_like, shape (..., dim)
    target : array_like, shape (dim,) or (..., dim), or a number
        θ*, to be given, such as ``problem.minima[0]`` where that is known.
    state : mapping, optional
        The running quantities before the step, by name; without it, those at the start of a run. ``"t"``: the number
        of the step to be made, from 1, which also picks η from a schedule. ``"v"``: HeavyBall's velocity, RMSProp's
        and Adam's mean square (for a scalar one of shape (...)). ``"m"``: Adam's mean gradient, given with ``"t"``.
        Arrays of shape (dim,) or (..., dim), or a number for all coordinates.

    Returns
    -------
    ConvergenceSpeed
        Three arrays of shape (...).

    Raises
    ------
    ArgumentError
        If there is no target, or the state has a name or shape that the method does not know.
    NotApplicable
        For another method, batches, noise, or a scheme whose draws are not independent.
    TooLarge
        If the gradients of all terms at all points would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -3.0])  # gradients −1 and 3 at 0, minimum at −1
    >>> for scheme in (ds.sampling.Uniform(), ds.sampling.GradientNorm()):
    ...     print(ds.convergence_speed(problem, ds.SGD(0.1, scheme), [0.0], target=-1.0).speed.round(12))
    0.15
    0.16
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check_method(method)
    method.check(problem)
    theta = _check.points("theta", theta, problem.dim)
    delta = theta - _target(problem, target, theta)
    t, memory = _state(problem, method, state, theta)
    method.check_schedules(t)
    held = (*theta.shape[:-1], problem.n_terms, problem.dim)
    _check.fits_in_memory("the gradients of all terms", held, instead="give fewer points at once")
    method.sampling.refuse_bias(problem, theta)
    p = method.sampling.probabilities(problem, theta)
    g = method.sampling.reweighting(problem, theta)[..., None] * problem.term_gradients(theta)
    moves = _moves(problem, method, g, t, memory)
    # ‖θ' − θ*‖² − ‖θ − θ*‖² for each draw, without the cancellation
    speed = -(p * (moves * (moves + 2 * delta[..., None, :])).sum(axis=-1)).sum(axis=-1)
    formula, printed = _formulas(method, p, g, delta, t, memory)
    settings = {"problem": problem.name, "method": repr(method), "t": t}
    return ConvergenceSpeed(speed, formula, printed, settings)


def _check_method(method):
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if type(method) not in _REMEMBERED:
        known = ", ".join(kind.__name__ for kind in _REMEMBERED)
        raise NotApplicable(f"convergence_speed has formulas for {known}, got {method!r}")
    if method.batch_size != 1:
        raise NotApplicable(f"convergence_speed is for one term drawn in a step, got batch_size={method.batch_size!r}")
    if method.noise is not None:
        raise NotApplicable(f"convergence_speed does not know noise added to the gradient, got {method.noise!r}")
    if not method.sampling.independent:
        raise NotApplicable(
            f"convergence_speed needs steps that are drawn independently by p_n(θ), got {method.sampling!r}"
        )


def _target(problem, target, theta):
    shape = f"a number, or of shape ({problem.dim},) or {theta.shape}"
    if target is None:
        known = "" if problem.minima is None else f"; {problem.name} knows problem.minima[0]"
        raise ArgumentError(f"target must be the θ* that the speed is measured towards, {shape}, got None{known}")
    return _broadcast("target", target, theta.shape, shape)


def _broadcast(name, value, shape, wanted):
    """Finite numbers, broadcast to a shape."""
    try:
        result = np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except (TypeError, ValueError):
        got = np.shape(value) if isinstance(value, np.ndarray | list | tuple) else type(value).__name__
        raise ArgumentError(f"{name} must be {wanted}, got {got}") from None
    if not np.isfinite(result).all():
        raise ArgumentError(f"{name} must be finite, but {np.count_nonzero(~np.isfinite(result))} entries are not")
    return result


def _state(problem, method, state, theta):
    """t, and the running quantities by name, each of shape (..., rows)."""
    names = _REMEMBERED[type(method)]
    state = {} if state is None else state
    _check.instance("state", state, Mapping, "a mapping of names to values, such as {'t': 3}")
    for name in state:
        if name not in (*names, "t"):
            allowed = ", ".join(repr(allowed) for allowed in (*names, "t"))
            raise ArgumentError(f"state may have {allowed} for {type(method).__name__}, got {name!r}")
    if state and "t" not in state and isinstance(method, Adam):
        raise ArgumentError("state must have 't', the number of the step from 1, where it has 'm' or 'v' of Adam")
    t = _check.count("state['t']", state.get("t", 1))
    return t, {name: _quantity(name, state.get(name, 0.0), method, theta.shape) for name in names}


def _quantity(name, value, method, shape):
    dim = shape[-1]
    squares = name == "v" and not isinstance(method, HeavyBall)
    if squares and not method.elementwise:
        wanted = f"a number or of shape {shape[:-1]} for elementwise=False"
        result = _broadcast(f"state[{name!r}]", value, shape[:-1], wanted)[..., None]
    else:
        result = _broadcast(f"state[{name!r}]", value, shape, f"a number, or of shape ({dim},) or {shape}")
    if squares and (result < 0).any():
        raise ArgumentError(f"state[{name!r}] must not be negative, got {result.min():g}")
    return result


def _moves(problem, method, g, t, memory):
    """θ' − θ for each drawn term, (..., n_terms, dim), by the method's own update."""
    update = method.rule(problem)
    remembered = [np.broadcast_to(m[..., None, :], (*g.shape[:-1], m.shape[-1])) for m in memory.values()]
    rows = np.concatenate([np.zeros_like(g), *remembered], axis=-1)  # none of the methods looks at θ itself
    state = np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]).T)
    lanes = np.ascontiguousarray(g.reshape(-1, problem.dim).T)
    no_fields = (np.zeros(3, dtype=np.int64), problem.params, problem.weights.copy())
    no_uniforms = np.empty((0, lanes.shape[1]))
    update.kernel(no_fields, t - 1, method.rates(t - 1, t)[0], lanes, no_uniforms, update.params, state)
    return state[: problem.dim].T.reshape(g.shape)


def _formulas(method, p, g, delta, t, memory):
    """S(p) by L's formula, corrected and as printed."""
    rates = method.rates(t - 1, t)[0]
    if isinstance(method, SGD | HeavyBall):
        v = memory.get("v", np.zeros_like(delta))
        result = _with_momentum(p, g, delta, rates[0], rates[1] if rates.size > 1 else 0.0, v)
        return result, result.copy()
    square, v = g**2, memory["v"][..., None, :]
    norm_square, total = square.sum(axis=-1, keepdims=True), v.sum(axis=-1, keepdims=True)
    own = (square, v) if method.elementwise else (norm_square, total)
    if isinstance(method, RMSProp):

        def scale(square, v):
            return method.eps + np.sqrt(method.alpha * v + (1 - method.alpha) * square)

        direction, excess = g, 1.0
    else:

        def scale(square, v):
            return method.eps + np.sqrt((method.beta2 * v + (1 - method.beta2) * square) / (1 - method.beta2**t))

        excess = 1 / (1 - method.beta1**t)
        direction = (method.beta1 * memory["m"][..., None, :] + (1 - method.beta1) * g) * excess
    formula = _scaled(p, direction, delta, rates[0], scale(*own))
    return formula, _scaled(p, direction, delta, rates[0], scale(norm_square, total), cross=excess)


def _with_momentum(p, g, delta, eta, mu, v):
    """L §3.2, SGD with momentum; for μ = 0, L §2.1."""
    mean = np.einsum("...n,...nj->...j", p, g)
    mean_square = np.einsum("...n,...nj,...nj->...", p, g, g)
    return (
        -(eta**2) * mu**2 * (v * v).sum(axis=-1)
        - 2 * eta**2 * mu * (v * mean).sum(axis=-1)
        - eta**2 * mean_square
        + 2 * eta * mu * (delta * v).sum(axis=-1)
        + 2 * eta * (delta * mean).sum(axis=-1)
    )


def _scaled(p, direction, delta, eta, scale, *, cross=1.0):
    """−E[η²‖d/s‖² − 2ηδ·d/s], L Appendices D and E; ``cross`` multiplies the second part."""
    step = direction / scale
    inner = (step * delta[..., None, :]).sum(axis=-1)
    return -(p * (eta**2 * (step**2).sum(axis=-1) - 2 * eta * cross * inner)).sum(axis=-1)
