"""What all methods have in common."""

from collections.abc import Callable
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.noise import Noise
from dynsim.sampling import Estimator, Sampling, Uniform
from dynsim.sampling.shuffled import covariance_of_full, whole
from dynsim.schedules import Constant, Schedule, as_schedule

if TYPE_CHECKING:
    from dynsim._typing import ArrayLike
    from dynsim.problems import Problem

FULL = "full"


@dataclass(frozen=True, eq=False)
class Update:
    """How kernels make a step from an estimated gradient.

    ``memory(x0)``, (n_paths, dim) -> (n_paths, rows), is what the method's rows of the state begin with; ``query`` the
    first row of the point where the gradient is estimated, 0 being θ itself.
    """

    kernel: object
    params: np.ndarray = field(default_factory=lambda: np.zeros(0))
    memory: Callable = lambda x0: x0[:, :0]
    query: int = 0
    n_uniforms: int = 0


def zeros(count: int) -> Callable:
    """A memory of so many zeros."""
    return lambda x0: np.zeros((x0.shape[0], count))


@dataclass(frozen=True, repr=False)
class Method:
    """Base of the methods, never made by itself: step size, sampling scheme, batch size, noise added to the gradient.

    Parameters
    ----------
    step_size : float or Schedule
        η > 0, or one for each step from :mod:`dynsim.schedules`.
    sampling : Sampling, optional
        Which terms are drawn; ``sampling.Uniform()`` by default.
    batch_size : int or "full", optional
        Terms drawn in a step, whose reweighted gradients are averaged; "full" for ∇L itself.
    noise : Noise, optional
        Noise from :mod:`dynsim.noise` that is added to the estimated gradient in each step.
    """

    step_size: float | Schedule
    sampling: Sampling = field(default_factory=Uniform)
    _: KW_ONLY
    batch_size: int | str = 1
    noise: Noise | None = None

    compares_losses = False  # of the terms, in each step

    def __post_init__(self):
        step_size = as_schedule(self.step_size)
        constant = isinstance(step_size, Constant)
        object.__setattr__(self, "step_size", float(step_size.value) if constant else step_size)
        _check.instance("sampling", self.sampling, Sampling, "a scheme of dynsim.sampling, such as sampling.Uniform()")
        if isinstance(self.batch_size, str):
            _check.choice("batch_size", self.batch_size, (FULL,))
            if type(self.sampling) is not Uniform:
                raise ArgumentError(
                    f"batch_size='full' draws nothing, so sampling must not be given, got {self.sampling!r}"
                )
        else:
            object.__setattr__(self, "batch_size", _check.count("batch_size", self.batch_size))
        if self.noise is not None:
            _check.instance("noise", self.noise, Noise, "a law of dynsim.noise, such as noise.Gaussian(0.1)")

    @property
    def name(self) -> str:
        """Short name for tables and legends."""
        scheme = "" if type(self.sampling) is Uniform else f", {self.sampling.name}"
        return type(self).__name__ + scheme

    def __repr__(self):
        shown = []
        for f in fields(self):
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            value = getattr(self, f.name)
            if f.init and (f.name in ("step_size", "sampling") or value != default):
                shown.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def check(self, problem: "Problem") -> None:
        """Raise if the method does not fit the problem."""
        if not isinstance(self.batch_size, str):
            self.sampling.check(problem, self.batch_size)

    def estimator(self, problem: "Problem") -> Estimator:
        """How kernels estimate the gradient."""
        if isinstance(self.batch_size, str):
            return whole(problem)
        return self.sampling.estimator(problem, self.batch_size)

    def gradient_covariance(self, problem: "Problem", theta: "ArrayLike") -> np.ndarray:
        """Covariance of the estimated gradient, without ``noise``: theta (..., dim) -> (..., dim, dim)."""
        if isinstance(self.batch_size, str):
            return covariance_of_full(problem, theta)
        return self.sampling.covariance(problem, theta, self.batch_size)

    def rule(self, problem: "Problem") -> Update:
        """How kernels make a step from it."""
        raise NotImplementedError

    def schedules(self) -> tuple[float | Schedule, ...]:
        """What takes a value for each step, the step size first."""
        return (self.step_size,)

    def check_schedules(self, n_steps: int) -> None:
        """Raise if a schedule leaves its range within a run."""
        if isinstance(self.step_size, Schedule):
            self.step_size.check(n_steps)

    def rates(self, first: int, last: int) -> np.ndarray:
        """The values of :meth:`schedules` for steps first ≤ k < last, shape (steps, m)."""
        k = np.arange(first, last)
        columns = [s(k) if isinstance(s, Schedule) else np.full(k.size, s) for s in self.schedules()]
        return np.ascontiguousarray(np.stack(columns, axis=1))


def plain_sgd(verb: str, method: Method, *, independent: bool = True) -> None:
    """Refuse for ``verb`` what is not SGD with a constant step size that draws one term in a step, without noise."""
    from dynsim.methods.descent import SGD

    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if type(method) is not SGD:
        raise NotApplicable(f"{verb} is for SGD (with any sampling scheme), got {method.name}")
    if isinstance(method.step_size, Schedule):
        raise NotApplicable(f"{verb} needs a constant step size, got {method.step_size!r}")
    if method.noise is not None:
        raise NotApplicable(f"{verb} does not know noise added to the gradient, got {method.noise!r}")
    if method.batch_size != 1:
        raise NotApplicable(f"{verb} is for one term drawn in a step, got batch_size={method.batch_size!r}")
    if not method.sampling.memoryless:
        raise NotApplicable(f"{verb} needs steps that do not depend on the draws before, got {method.sampling!r}")
    if independent and not method.sampling.independent:
        raise NotApplicable(f"{verb} needs steps that are drawn independently by p_n(θ), got {method.sampling!r}")


def fraction(name: str, value: float) -> float:
    """A float in [0, 1)."""
    value = _check.real(name, value)
    if not 0 <= value < 1:
        raise ArgumentError(f"{name} must lie in [0, 1), got {value:g}")
    return value


def nonnegative(name: str, value: float) -> float:
    """A finite float, at least 0."""
    value = _check.real(name, value)
    if value < 0:
        raise ArgumentError(f"{name} must not be negative, got {value:g}")
    return value
