"""Problems of a user's own: plain Python functions of one θ and one term, checked and compiled."""

import time
from collections.abc import Callable
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems._probing import losses_in_python, probe, snapshot, takes_params
from dynsim.problems.problem import Problem

_SECONDS = 0.3  # spent on losses in Python before they are compiled, which takes about a second


class UserProblem(Problem):
    """A problem of a user's own functions; made by :meth:`Problem.from_terms` and :meth:`Problem.from_sympy`."""

    def __init__(self, loss, gradient, hessian, *, rows, **known):
        """Compile (function, takes params) of loss, gradient and Hessian; the last two may be None.

        The loss and the Hessian are compiled when they are first used, if all that they refer to is copied here.
        """
        from dynsim._kernels.user_problems import Terms

        self._terms, self._rows, self._seconds = Terms(known["dim"], rows.shape), rows, _SECONDS
        given = [pair and pair[0] for pair in (loss, gradient, hessian)]
        self._loss_given, complete = _kept(loss)
        self._hessian_given, hessian_complete = _kept(hessian)
        if gradient is None:
            formula, self.gradients_field = self._derived()
        else:
            formula, self.gradients_field = _compiled("gradient", self._terms.gradient, gradient)
        super().__init__(None, formula, params=rows.copy(), **known)
        self._fingerprint = fingerprint(*given, rows.shape, self.params, self.weights)
        if not complete:
            self.losses_field  # noqa: B018 - compiled with what it refers to now
        if not hessian_complete:
            self._hessians_field  # noqa: B018

    def _derived(self):
        try:
            return _compiled("gradient", self._terms.derived_gradient, self._loss_given)
        except ArgumentError:
            self.losses_field  # noqa: B018 - where the loss itself does not compile, that is the reason to give
            raise

    def fingerprint(self) -> str:
        """A digest of the functions, their parameters and the weights, as they were when it was defined."""
        return self._fingerprint

    @cached_property
    def losses_field(self):
        """Block field of the terms' losses, for kernels."""
        return _compiled("loss", self._terms.loss, self._loss_given)[1]

    @cached_property
    def gradient_norms_field(self):
        """Block field of a_n‖∇l_n‖ for all terms, for kernels."""
        from dynsim._kernels.fields import gradient_norms_field

        return gradient_norms_field.__wrapped__(self._gradient, cache=False)

    @cached_property
    def _hessians_field(self):
        return _compiled("hessian", self._terms.hessian, self._hessian_given)[1]

    def _few_losses(self, x, term):
        """Losses of columns of x (d, W), for a check: by Python, unless they are compiled or Python is too slow."""
        if "losses_field" not in vars(self):
            function, with_params = self._loss_given
            started = time.perf_counter()
            found = losses_in_python(function, [self._rows] if with_params else [], x, term, self._seconds)
            self._seconds -= time.perf_counter() - started
            if found is not None:
                return found
        return super()._few_losses(x, term)

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """∇²l_n(θ) for all terms: theta (..., dim) -> (..., n_terms, dim, dim).

        By the Hessian that was given, or by differences of gradients of the fourth order, to about nine digits.
        """
        if self._hessian_given is None:
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
        key: (function, takes_params(key, function))
        for key, function in functions.items()
        if function is not None or key == "loss"
    }
    if rows.size and not any(takes for _, takes in given.values()):
        raise ArgumentError(
            f"params has {rows.size} numbers, but no function has an argument for them: loss(theta, n, params)"
        )
    probe(given, n_terms, dim, rows)
    problem = UserProblem(
        given["loss"],
        given.get("gradient"),
        given.get("hessian"),
        rows=rows,
        weights=_check.weights("weights", weights, n_terms, each="each term"),
        dim=dim,
        name=loss.__name__.strip("<>") if name is None else str(name),
        minima=None if minima is None else _reshaped("minima", minima, (-1, dim)),
        kinks=_kinks(kinks, dim),
        bounds=None if bounds is None else _check.box("bounds", bounds, dim),
    )
    if check:
        _checked(problem, derived=gradient is None)
    return problem


def _checked(problem, *, derived):
    from dynsim.problems.checking import check_minima, compared

    if not derived:
        problem.losses_field  # noqa: B018 - to refuse what does not compile now; a derived gradient is made of it
    if problem._hessian_given is not None:
        problem._hessians_field  # noqa: B018
    found = compared(problem, problem._few_losses)
    if not found:
        remedy = "give gradient yourself" if derived else "or pass check=False"
        raise ArgumentError(f"gradient does not fit loss: {found}; {remedy}")
    check_minima(problem)


def _kept(pair):
    """A function with what it refers to now, and whether that is all that it refers to."""
    if pair is None:
        return None, True
    function, complete = snapshot(pair[0])
    return (function, pair[1]), complete


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


def _parameters(params):
    """An array of one or two axes, which the functions get as it is."""
    try:
        rows = np.array(params, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise ArgumentError(f"params must be an array of numbers, got {type(params).__name__}") from None
    rows = np.atleast_1d(rows)
    if rows.ndim > 2:
        raise ArgumentError(f"params must have one axis or two, rows of data, got shape {rows.shape}")
    rows = _check.array("params", rows, ndim=rows.ndim)
    rows.flags.writeable = False
    return rows


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
