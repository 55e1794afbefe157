"""A number, or several, with its error."""

import dataclasses
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dynsim import _check
from dynsim.averages.batches import Batches
from dynsim.errors import ArgumentError


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """A time average with its error.

    ``value`` has the shape of φ's value: () for one number, (q,) for several. So have all attributes that are not
    numbers of the run. ``print`` shows value ± standard error.

    Attributes
    ----------
    value : ndarray, shape () or (q,)
        The average over chains and time.
    stderr : ndarray
        Its standard error.
    dof : ndarray
        Degrees of freedom of Student's t in :meth:`interval`.
    cov : ndarray, shape (q, q)
        Joint covariance of the averages, (1, 1) for one number: its diagonal is the square of ``stderr``.
    n_effective : ndarray
        Independent observations that would give this error: Var(φ)/stderr².
    tau : ndarray
        Integrated autocorrelation time 1 + 2 Σ ρ_k in the unit of the run, n_observations/n_effective intervals.
    r_hat : ndarray
        Rank-normalized split R̂ of the batch means; near 1 where chains agree. nan for fewer than 4 batches.
    between : ndarray of bool
        Where the scatter between chains, larger than the correlation within them explains, has set the error.
    constant : ndarray of bool
        Where φ had one value throughout: the average is exact, and its standard error 0.
    n_paths : int
        Chains averaged over.
    n_diverged : int
        Chains left out because they blew up.
    n_observations : int
        Of each chain, after burn-in.
    burn_in : float
        Time that was left out at the beginning, in the unit of the run.
    method : str
        Name of the estimator of the error; ends in "transformed" for a function of averages.
    names : tuple of str
        Of several φ that were given by name; ``estimate["loss"]`` is the one of that name, ``estimate[0]`` the first.
    batches : Batches, optional
        What it was estimated from, after burn-in; None for a function of averages.
    """

    value: np.ndarray
    stderr: np.ndarray
    dof: np.ndarray
    cov: np.ndarray = field(repr=False)
    n_effective: np.ndarray
    tau: np.ndarray
    r_hat: np.ndarray
    between: np.ndarray
    constant: np.ndarray
    n_paths: int
    n_diverged: int
    n_observations: int
    burn_in: float
    method: str
    names: tuple = ()
    batches: Batches | None = field(default=None, repr=False)

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Ends of a confidence interval, value ± t·stderr with Student's t.

        Parameters
        ----------
        confidence : float, optional
            Between 0 and 1.
        """
        from scipy.special import stdtrit

        reach = stdtrit(self.dof, 0.5 + 0.5 * _check.between("confidence", confidence, 0, 1)) * self.stderr
        return self.value - reach, self.value + reach

    def transform(self, function: Callable) -> "Estimate":
        """The estimate of a function f of the averages, by the delta method: ``cov → J cov Jᵀ`` with J = f′(value).

        J is taken by central differences over a standard error.

        Good where the function is nearly linear within a standard error or two of ``value``.

        Parameters
        ----------
        function : callable
            Of the averages, an array like ``value``; returns a number or an array of shape (r,).

        Raises
        ------
        ArgumentError
            If it returns something else, or is not finite within a standard error of ``value``.

        Examples
        --------
        The coefficient of variation of a chain, from the averages of x and x²:

        >>> import numpy as np
        >>> from dynsim.averages import Batches, estimate
        >>> x = np.random.default_rng(0).exponential(size=(4, 5000, 1))
        >>> both = estimate(Batches.of_series(np.concatenate([x, x**2], axis=2)), shape=(2,), names=("x", "x²"))
        >>> both["x"], both.transform(lambda m: np.sqrt(m[1] / m[0] ** 2 - 1))
        (0.9929 ± 0.0066 (n_eff 22 365, τ 0.894), 1.0011 ± 0.0064)
        """
        if not callable(function):
            raise ArgumentError(f"function must be callable, got {type(function).__name__}")
        center = self.value.ravel()
        value = self._called(function, center)
        jacobian = np.zeros((value.size, center.size))
        for j, step in enumerate(self.stderr.ravel().tolist()):
            if step > 0:
                shift = np.zeros(center.size)
                shift[j] = step
                after, before = (self._called(function, center + sign * shift) for sign in (1, -1))
                jacobian[:, j] = (after - before).ravel() / (2 * step)
        cov = jacobian @ self.cov @ jacobian.T
        stderr = np.sqrt(np.maximum(np.diagonal(cov), 0.0)).reshape(value.shape)
        unknown = np.full(value.shape, np.nan)
        return dataclasses.replace(
            self,
            value=value,
            stderr=stderr,
            dof=np.full(value.shape, self.dof.min()),
            cov=cov,
            n_effective=unknown,
            tau=unknown,
            r_hat=np.full(value.shape, self.r_hat.max()),
            between=np.full(value.shape, self.between.any()),
            constant=stderr == 0,
            method=f"{self.method}, transformed",
            names=(),
            batches=None,
        )

    def _called(self, function, averages):
        """What the function of a user returns at some averages, checked."""
        try:
            result = np.asarray(function(averages.reshape(self.value.shape)), dtype=np.float64)
        except (TypeError, ValueError, IndexError) as error:
            raise ArgumentError(
                f"function must take averages of shape {self.value.shape}: {type(error).__name__}: {error}"
            ) from None
        if result.ndim > 1 or result.size == 0:
            raise ArgumentError(f"function must return a number or an array of shape (r,), got shape {result.shape}")
        if not np.isfinite(result).all():
            raise ArgumentError(f"function must be finite about the averages, got {result} at {averages}")
        return result

    def __getitem__(self, which) -> "Estimate":
        """One of several averages, by its name or number."""
        if self.value.ndim == 0:
            raise ArgumentError(f"this is the estimate of one number, it has no parts such as {which!r}")
        if isinstance(which, str):
            which = self.names.index(_check.choice("name", which, self.names)) if self.names else self._no(which)
        elif isinstance(which, bool) or not isinstance(which, numbers.Integral):
            self._no(which)
        if not -self.value.size <= which < self.value.size:
            raise IndexError(f"there are {self.value.size} averages, got {which}")
        j = int(which) % self.value.size
        parts: dict[str, Any] = {name: np.asarray(getattr(self, name)[j]) for name in _OF_EACH}
        batches = self.batches.of_one(j) if self.batches is not None else None
        return dataclasses.replace(
            self, **parts, cov=self.cov[j : j + 1, j : j + 1], names=self.names[j : j + 1], batches=batches
        )

    def _no(self, which):
        raise ArgumentError(f"an average is chosen by its number, or its name if φ had names, got {which!r}")

    def __len__(self):
        if self.value.ndim == 0:
            raise TypeError("this is the estimate of one number, without a length")
        return self.value.size

    def __iter__(self):
        return (self[j] for j in range(len(self)))

    def __float__(self):
        if self.value.size != 1:
            raise TypeError(f"only the estimate of one number is a float, this one is of {self.value.size}")
        return float(self.value.ravel()[0])

    def __repr__(self):
        labels = [f"{name}: " for name in self.names] if self.names and self.value.ndim else [""] * self.value.size
        lines = [label + self._line(j) for j, label in enumerate(labels)]
        return lines[0] if self.value.ndim == 0 else "[" + "\n ".join(lines) + "]"

    def _line(self, j):
        value, stderr, n_effective, tau = (
            float(getattr(self, name).flat[j]) for name in ("value", "stderr", "n_effective", "tau")
        )
        if self.constant.flat[j]:
            return f"{value:g} (constant)"
        text = with_error(value, stderr)
        notes = [f"n_eff {_thousands(n_effective)}", f"τ {tau:.3g}"] if np.isfinite(tau) else []
        if self.between.flat[j]:
            notes.append("error from the scatter between chains")
        return f"{text} ({', '.join(notes)})" if notes else text

    def plot(self, ax=None, **style):
        """Draw the running average of each φ with its band of 95 %, and return the Axes."""
        from dynsim.plot import plot_estimate

        return plot_estimate(self, ax, **style)


_OF_EACH = ("value", "stderr", "dof", "n_effective", "tau", "r_hat", "between", "constant")


def with_error(value: float, stderr: float) -> str:
    """A number with its standard error, both to two digits of the error: ``0.1234 ± 0.0021``."""
    if not (np.isfinite(stderr) and np.isfinite(value) and stderr > 0):
        return f"{value:g} ± {stderr:g}"
    power = int(np.floor(np.log10(stderr)))
    if float(f"{stderr:.1e}") >= 10.0 ** (power + 1):  # 0.0999 is 0.10
        power += 1
    digits = 1 - power
    if not -3 <= digits <= 10:
        scale = int(np.floor(np.log10(max(abs(value), stderr))))
        digits = max(digits + scale, 0)
        return f"({value / 10.0**scale:.{digits}f} ± {stderr / 10.0**scale:.{digits}f})e{scale}"
    unit = 10.0**-digits
    shown = (round(value / unit) * unit, round(stderr / unit) * unit) if digits < 0 else (value, stderr)
    return f"{shown[0]:.{max(digits, 0)}f} ± {shown[1]:.{max(digits, 0)}f}"


def _thousands(number):
    return f"{number:,.0f}".replace(",", " ") if number >= 10 else f"{number:.2g}"
