"""Problems of a user's own: plain Python functions of one θ and one term, checked and compiled."""

import inspect
from collections.abc import Callable
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem

_PROBES = (0.5, 1.5, -0.5, 2.5, 10.0, 1e-3, 100.0)  # where a user's function is called, to see what it returns
_OUTSIDE_DOMAIN = (ValueError, ZeroDivisionError, OverflowError)


class UserProblem(Problem):
    """A problem of a user's own functions; made by :meth:`Problem.from_terms` and :meth:`Problem.from_sympy`."""

    def __init__(self, loss, gradient, hessian, *, rows, **known):
        """Compile (function, takes params) of loss, gradient and Hessian; the last two may be None."""
        from dynsim._kernels.user_problems import Terms

        terms = Terms(known["dim"], rows.shape)
        self._functions, self._rows = (loss, gradient, hessian), rows.shape
        loss_formula, losses_field = _compiled("loss", terms.loss, loss)
        if gradient is None:
            gradient_formula, gradients_field = _compiled("gradient", terms.derived_gradient, loss)
        else:
            gradient_formula, gradients_field = _compiled("gradient", terms.gradient, gradient)
        super().__init__(loss_formula, gradient_formula, params=rows, **known)
        self.losses_field, self.gradients_field = losses_field, gradients_field
        self._terms = terms

    def fingerprint(self) -> str:
        """A digest of the functions, their parameters and the weights."""
        return fingerprint(*(f and f[0] for f in self._functions), self._rows, self.params, self.weights)

    @cached_property
    def gradient_norms_field(self):
        """Block field of a_n‖∇l_n‖ for all terms, for kernels."""
        from dynsim._kernels.fields import gradient_norms_field

        return gradient_norms_field.__wrapped__(self._gradient, cache=False)

    @cached_property
    def _hessians_field(self):
        return _compiled("hessian", self._terms.hessian, self._functions[2])[1]

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """∇²l_n(θ) for all terms: theta (..., dim) -> (..., n_terms, dim, dim).

        By the Hessian that was given, or by differences of gradients of the fourth order, to about nine digits.
        """
        if self._functions[2] is None:
            return super().term_hessians(theta)
        theta, lanes = self._lanes(theta)
        result = np.empty((lanes.shape[1], self.n_terms, self.dim, self.dim))
        values = np.empty((lanes.shape[1], self.dim, self.dim))
        for n in range(self.n_terms):
            self._hessians_field(lanes, self.params, n, values)
            result[:, n] = values
        return result.reshape(*theta.shape[:-1], self.n_terms, self.dim, self.dim)


def from_terms(
    loss: Callable,
    gradient: Callable | None = None,
    *,
    n_terms: int,
    dim: int,
    params: ArrayLike = (),
    weights: ArrayLike | None = None,
    name: str | None = None,
    hessian: Callable | None = None,
    minima: ArrayLike | None = None,
    kinks: ArrayLike = (),
    bounds: ArrayLike | None = None,
    check: bool = True,
) -> UserProblem:
    """What :meth:`Problem.from_terms` does."""
    n_terms, dim = _check.count("n_terms", n_terms), _check.count("dim", dim)
    rows = _parameters(params)
    functions = {"loss": loss, "gradient": gradient, "hessian": hessian}
    given = {
        key: (function, _takes_params(key, function))
        for key, function in functions.items()
        if function is not None or key == "loss"
    }
    if rows.size and not any(takes for _, takes in given.values()):
        raise ArgumentError(
            f"params has {rows.size} numbers, but no function has an argument for them: loss(theta, n, params)"
        )
    for n in (0, n_terms - 1):
        _call_loss(*given["loss"], n, n_terms, dim, rows)
        for key, shape in (("gradient", (dim,)), ("hessian", (dim, dim))):
            if key in given:
                _call_filling(key, *given[key], n, n_terms, dim, rows, shape)
    problem = UserProblem(
        given["loss"],
        given.get("gradient"),
        given.get("hessian"),
        rows=rows,
        weights=_weights(weights, n_terms),
        dim=dim,
        name=loss.__name__.strip("<>") if name is None else str(name),
        minima=None if minima is None else _reshaped("minima", minima, (-1, dim)),
        kinks=_kinks(kinks, dim),
        bounds=None if bounds is None else _bounds(bounds, dim),
    )
    if check:
        _checked(problem, derived=gradient is None)
    return problem


def _checked(problem, *, derived):
    from dynsim.problems.checking import check_gradient

    if problem._functions[2] is not None:
        problem._hessians_field  # noqa: B018 - to refuse what does not compile now
    found = check_gradient(problem)
    if not found:
        remedy = "give gradient yourself" if derived else "or pass check=False"
        raise ArgumentError(f"gradient does not fit loss: {found}; {remedy}")


def _compiled(name, compile_, function):
    from dynsim._kernels.user_fields import DoesNotCompile

    try:
        return compile_(function[0], with_params=function[1])
    except DoesNotCompile as reason:
        if compile_.__name__ == "derived_gradient":
            raise ArgumentError(
                f"the gradient of loss cannot be derived: {reason}; give gradient(theta, n, params, out)"
            ) from None
        raise ArgumentError(f"{name} cannot be compiled: {reason}") from None


def _takes_params(name, function):
    """Whether a function has an argument for params; refuses what has not the arguments that it must have."""
    filling = name != "loss"
    form = f"{name}(theta, n, params{', out' if filling else ''})"
    if not inspect.isfunction(getattr(function, "py_func", function)):
        raise ArgumentError(f"{name} must be a plain Python function, {form}, got {type(function).__name__}")
    function = getattr(function, "py_func", function)
    parameters = inspect.signature(function).parameters.values()
    plain = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    names = [p.name for p in parameters if p.default is p.empty]
    if not plain or len(names) - filling not in (2, 3) or (filling and names[-1] != "out"):
        what = f"{form} that fills its last argument, named out" if filling else form
        raise ArgumentError(f"{name} must be {what}; params may be left out; got ({', '.join(map(str, parameters))})")
    if "random" in function.__code__.co_names:
        raise ArgumentError(f"{name} must not draw random numbers: the term n is what is drawn")
    return len(names) - filling == 3


def _call(name, function, n, n_terms, dim, *arguments):
    """What a function returns for term n at a point where it is defined, in plain Python; it must leave θ alone."""
    plain = getattr(function, "py_func", function)
    for probe in _PROBES:
        theta = probe * (1 + 0.1 * np.arange(dim) / dim)
        before = theta.copy()
        try:
            with np.errstate(all="ignore"):
                value = plain(theta, n, *arguments)
        except _OUTSIDE_DOMAIN as error:
            reason = error
            continue
        except Exception as error:
            reason = error
            break
        if (theta != before).any():
            raise ArgumentError(f"{name} must not assign to theta")
        return value
    raise ArgumentError(
        f"{name} fails for term {n} of n_terms = {n_terms} and theta of length dim = {dim}: "
        f"{type(reason).__name__}: {reason}"
    )


def _call_loss(function, with_params, n, n_terms, dim, rows):
    value = _call("loss", function, n, n_terms, dim, *([rows] if with_params else []))
    if not isinstance(value, (int, float, np.integer, np.floating)):
        shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) and value.shape else ""
        raise ArgumentError(f"loss must return a number, it returned {type(value).__name__}{shape} for term {n}")


def _call_filling(name, function, with_params, n, n_terms, dim, rows, shape):
    outs = [np.full(shape, filler) for filler in (np.nan, 0.0)]
    for out in outs:
        value = _call(name, function, n, n_terms, dim, *([rows] if with_params else []), out)
        if value is not None:
            raise ArgumentError(f"{name} must fill out and return nothing, it returned {type(value).__name__}")
    unset = np.argwhere(np.isnan(outs[0]) & ~np.isnan(outs[1]))
    if unset.size:
        raise ArgumentError(
            f"{name} must assign each entry of out, but out[{', '.join(map(str, unset[0]))}] depends on what was in it"
        )


def _parameters(params):
    """An array of one or two axes, which the functions get as it is."""
    try:
        rows = np.array(params, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise ArgumentError(f"params must be an array of numbers, got {type(params).__name__}") from None
    rows = np.atleast_1d(rows)
    if rows.ndim > 2:
        raise ArgumentError(f"params must have one axis or two, rows of data, got shape {rows.shape}")
    return _check.array("params", rows, ndim=rows.ndim)


def _weights(weights, n_terms):
    """Positive weights, normalized to sum 1; 1/n by default."""
    if weights is None:
        return np.full(n_terms, 1 / n_terms)
    weights = _check.array("weights", weights, ndim=1)
    if weights.shape != (n_terms,) or not (weights > 0).all():
        raise ArgumentError(f"weights must be {n_terms} positive numbers, one for each term")
    weights = weights / weights.max()
    return weights / weights.sum()


def _reshaped(name, value, shape):
    try:
        return np.asarray(value, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError):
        wanted = ", ".join("k" if size == -1 else str(size) for size in shape)
        raise ArgumentError(f"{name} must be numbers of shape ({wanted}), got shape {np.shape(value)}") from None


def _kinks(kinks, dim):
    kinks = _check.array("kinks", kinks, ndim=1)
    if kinks.size and dim != 1:
        raise ArgumentError(f"kinks are points on a line, for dim = 1, got {kinks.size} of them for dim = {dim}")
    return np.sort(kinks)


def _bounds(bounds, dim):
    bounds = _check.array("bounds", _reshaped("bounds", bounds, (dim, 2)), ndim=2)
    if not (bounds[:, 0] < bounds[:, 1]).all():
        raise ArgumentError(f"bounds must be pairs (low, high) with low < high, got {bounds.tolist()}")
    return bounds
