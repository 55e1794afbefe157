"""Step sizes over time: a schedule is a value that gives the step size η_k of step k = 0, 1, ….

Wherever a method takes a step size, it takes a positive number, a schedule, or a function of the step number.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPAN = 2**20  # steps looked at together


class Schedule:
    """Base of the schedules. One of your own: a subclass with ``_values``, or simply a function, see ``Custom``."""

    _monotone = False  # if it is, the first and the last value tell whether all are positive and finite

    def __call__(self, k: ArrayLike) -> np.ndarray:
        """The step sizes η_k of the steps k ≥ 0: integers (...) -> float64 (...)."""
        steps = np.asarray(k)
        if steps.dtype.kind not in "iu" or (steps.size and steps.min() < 0):
            raise ArgumentError(f"k must be step numbers, whole and from 0 on, got {k!r}")
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(self._values(steps.astype(np.float64)), dtype=np.float64)

    def check(self, n_steps: int, *, name: str = "step_size", below: float = math.inf) -> None:
        """Refuse the schedule if it is not positive, or not below a bound, in the steps 0, …, n_steps − 1.

        Parameters
        ----------
        n_steps : int
        name : str, optional
            What the message calls it.
        below : float, optional
            The bound, inf by default: then 0 is refused, and else allowed.

        Raises
        ------
        ArgumentError
            Names the first such step and its value.
        """
        n_steps = _check.count("n_steps", n_steps)
        if self._monotone and _in_range(self(np.array([0, n_steps - 1])), below).all():
            return
        for first in range(0, n_steps, _SPAN):
            values = self(np.arange(first, min(first + _SPAN, n_steps)))
            good = _in_range(values, below)
            if not good.all():
                k = int(np.argmin(good))
                raise ArgumentError(
                    f"{name} must be {'positive and finite' if below == math.inf else f'in [0, {below:g})'} in every "
                    f"step of the run, but {self!r} gives {values[k]:g} at step {first + k} of 0 to {n_steps - 1}"
                )

    def plot(self, n_steps: int, ax: "Axes | None" = None, **style: Any) -> "Axes":
        """Draw the step size of the first ``n_steps`` steps; return the Axes."""
        from dynsim.plot import plot_schedule

        return plot_schedule(self, _check.count("n_steps", n_steps), ax, **style)

    def _values(self, k):
        """η_k for k (...) float64."""
        raise NotImplementedError

    def _keep(self, guard, *names, **limits):
        for name in names:
            object.__setattr__(self, name, guard(name, getattr(self, name), **limits))


def _in_range(values, below):
    return ((values > 0) if below == math.inf else (values >= 0)) & (values < below)


class _Monotone(Schedule):
    _monotone = True


@dataclass(frozen=True)
class Constant(_Monotone):
    """η_k = value.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Constant(0.1)([0, 1000])
    array([0.1, 0.1])
    """

    value: float

    def __post_init__(self):
        self._keep(_check.positive, "value")

    def _values(self, k):
        return np.full_like(k, self.value)


@dataclass(frozen=True)
class Polynomial(_Monotone):
    """η_k = γ/(k + m)^p, AY Theorem 3.4.

    There the steps are numbered from 1: AY's schedule with their m is ``Polynomial(gamma, m + 1, p)``. The theorem
    asks for ½ < p ≤ 1, and for 2αγ > 1 if p = 1, α being the least curvature near the minimum.

    Parameters
    ----------
    gamma, m, p : float
        Positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Polynomial(gamma=1.0, m=10, p=1)([0, 10, 90])
    array([0.1 , 0.05, 0.01])
    """

    gamma: float
    m: float
    p: float

    def __post_init__(self):
        self._keep(_check.positive, "gamma", "m", "p")

    def _values(self, k):
        return self.gamma / (k + self.m) ** self.p


@dataclass(frozen=True)
class _FromTo(_Monotone):
    """η_k = start (1 − s) + end s, where s runs from 0 to 1 as a function of k/(n_steps − 1), and stays there."""

    start: float
    end: float
    n_steps: int

    def __post_init__(self):
        self._keep(_check.positive, "start")
        self._keep(_nonnegative, "end")
        self._keep(_check.count, "n_steps", least=2)

    def _values(self, k):
        part = self._part(np.minimum(k / (self.n_steps - 1), 1.0))
        return self.start * (1 - part) + self.end * part


@dataclass(frozen=True)
class Linear(_FromTo):
    """From ``start`` at step 0 evenly to ``end`` at step n_steps − 1, and ``end`` ever after.

    AY §4.2, Figure 4 (2): ``Linear(2e-3, 1e-5, 5000)``.

    Parameters
    ----------
    start, end : float
        Positive. ``end`` may be 0, if the run ends earlier.
    n_steps : int
        At least 2.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Linear(0.5, 0.1, n_steps=5)([0, 1, 4, 5])
    array([0.5, 0.4, 0.1, 0.1])
    """

    def _part(self, time):
        return time


@dataclass(frozen=True)
class Geometric(_Monotone):
    """η_k = start · ratio^k.

    Parameters
    ----------
    start, ratio : float
        Positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Geometric(0.8, ratio=0.5)([0, 1, 2])
    array([0.8, 0.4, 0.2])
    """

    start: float
    ratio: float

    def __post_init__(self):
        self._keep(_check.positive, "start", "ratio")

    def _values(self, k):
        return self.start * self.ratio**k


@dataclass(frozen=True)
class Step(_Monotone):
    """Multiplied by ``factor`` after every ``every`` steps: η_k = start · factor^⌊k/every⌋.

    Parameters
    ----------
    start, factor : float
        Positive.
    every : int

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Step(0.8, factor=0.5, every=10)([0, 9, 10, 25])
    array([0.8, 0.8, 0.4, 0.2])
    """

    start: float
    factor: float
    every: int

    def __post_init__(self):
        self._keep(_check.positive, "start", "factor")
        self._keep(_check.count, "every")

    def _values(self, k):
        return self.start * self.factor ** (k // self.every)


@dataclass(frozen=True)
class Cosine(_FromTo):
    """Half a cosine from ``start`` at step 0 to ``end`` at step n_steps − 1, and ``end`` ever after.

    η_k = end + (start − end) (1 + cos(πk/(n_steps − 1)))/2.

    Parameters
    ----------
    start, end : float
        Positive. ``end`` may be 0, if the run ends earlier.
    n_steps : int
        At least 2.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Cosine(0.5, 0.1, n_steps=5)([0, 2, 4, 5])
    array([0.5, 0.3, 0.1, 0.1])
    """

    def _part(self, time):
        return np.sin(0.5 * np.pi * time) ** 2  # (1 − cos)/2, exact at both ends


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Another schedule, multiplied by (k + 1)/n_steps in the first ``n_steps`` steps; both count from step 0.

    Parameters
    ----------
    schedule : float or Schedule
        A positive number stands for ``Constant``.
    n_steps : int

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.WarmUp(0.4, n_steps=4)([0, 1, 3, 4])
    array([0.1, 0.2, 0.4, 0.4])
    """

    schedule: Schedule
    n_steps: int

    def __post_init__(self):
        object.__setattr__(self, "schedule", as_schedule(self.schedule, name="schedule"))
        self._keep(_check.count, "n_steps")

    @property
    def _monotone(self):  # the factor is positive
        return self.schedule._monotone

    def _values(self, k):
        return np.minimum((k + 1) / self.n_steps, 1.0) * self.schedule._values(k)


@dataclass(frozen=True)
class InverseSquareRoot(_Monotone):
    """η = scale/√n_steps in every step: the constant step size for a known horizon T = n_steps, Z Theorem 3.4.5.

    For 1/√k in step k see ``Polynomial`` with p = ½.

    Parameters
    ----------
    scale : float
        Positive.
    n_steps : int
        T.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.InverseSquareRoot(1.0, n_steps=400)([0, 399])
    array([0.05, 0.05])
    """

    scale: float
    n_steps: int

    def __post_init__(self):
        self._keep(_check.positive, "scale")
        self._keep(_check.count, "n_steps")

    def _values(self, k):
        return np.full_like(k, self.scale / math.sqrt(self.n_steps))


@dataclass(frozen=True, repr=False)
class Custom(Schedule):
    """A function of your own: η_k = function(k), called with one int at a time.

    It must be a function in the mathematical sense: a run may ask for the same step more than once, or for later steps
    first.

    Parameters
    ----------
    function : callable
        ``function(k) -> float``.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.Custom(lambda k: 0.1 if k < 100 else 0.01)([0, 100])
    array([0.1 , 0.01])
    """

    function: Callable[[int], float]

    def __post_init__(self):
        if not callable(self.function):
            raise ArgumentError(f"function must be a function of the step number, got {type(self.function).__name__}")

    def __repr__(self):  # without an address in memory: a checkpoint knows its run by it, too
        return f"Custom({getattr(self.function, '__name__', type(self.function).__name__)})"

    def _values(self, k):
        return np.array([self._value(int(step)) for step in k.flat], dtype=np.float64).reshape(k.shape)

    def _value(self, k):
        try:
            value = self.function(k)
        except Exception as error:
            raise ArgumentError(
                f"the step size's function fails at step {k}: {type(error).__name__}: {error}"
            ) from None
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ArgumentError(f"the step size's function must return a number, got {value!r} at step {k}")
        return float(value)


def as_schedule(step_size: float | Schedule | Callable[[int], float], *, name: str = "step_size") -> Schedule:
    """The schedule that a step size stands for.

    Parameters
    ----------
    step_size : float, Schedule or callable
        A positive finite number stands for ``Constant``, a function of the step number for ``Custom``.
    name : str, optional
        What the message calls it.

    Raises
    ------
    ArgumentError
        If it is anything else.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.schedules.as_schedule(0.1)
    Constant(value=0.1)
    """
    if isinstance(step_size, Schedule):
        return step_size
    if callable(step_size) and not isinstance(step_size, type):
        return Custom(step_size)
    try:
        return Constant(_check.positive(name, step_size))
    except ArgumentError as error:
        raise ArgumentError(f"{error}; it may also be a schedule, such as schedules.Linear(0.1, 0.01, 1000)") from None


def _nonnegative(name, value):
    if _check.real(name, value) < 0:
        raise ArgumentError(f"{name} must not be negative, got {value!r}")
    return float(value)
