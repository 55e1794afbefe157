"""Gradient descent on estimated gradients: as they are, clipped, or normalized."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.methods.base import Method, Update, nonnegative
from dynsim.sampling import Balanced, GradientNorm, Uniform
from dynsim.schedules import Schedule, as_schedule

_NAMES = {Uniform: "SGD", GradientNorm: "RR", Balanced: "Balanced"}


@dataclass(frozen=True, repr=False)
class SGD(Method):
    """Stochastic gradient descent θ ← θ − η (a_n/p_n) ∇l_n(θ), n drawn with probability p_n.

    AY (3.2) with uniform sampling, AY (3.5) with ``sampling.GradientNorm()``, AY (2.2) with fixed proportions.

    Parameters
    ----------
    step_size : float or Schedule
        η > 0, or one for each step from :mod:`dynsim.schedules`.
    sampling : Sampling, optional
        Which terms are drawn; ``sampling.Uniform()`` by default.
    batch_size : int or "full", optional
        Terms drawn in a step, whose reweighted gradients are averaged; "full" for ∇L itself: gradient descent.
    noise : Noise, optional
        Noise from :mod:`dynsim.noise` that is added to the estimated gradient in each step.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.SGD(step_size=0.04)
    SGD(step_size=0.04, sampling=Uniform())
    >>> ds.SGD(step_size=0.04, batch_size="full").name
    'GD'
    """

    @property
    def name(self) -> str:
        """Short name for tables and legends."""
        if self.batch_size == "full":
            return "GD"
        return _NAMES.get(type(self.sampling), f"SGD, {self.sampling.name}")

    def rule(self, problem) -> Update:
        """θ ← θ − η g."""
        from dynsim._kernels.methods.descent import sgd

        return Update(sgd)


def RR(step_size: float | Schedule) -> SGD:
    """Resampling and reweighting, AY (3.5): ``SGD`` with ``sampling.GradientNorm()``.

    Parameters
    ----------
    step_size : float or Schedule
        η > 0.

    Examples
    --------
    >>> import dynsim as ds
    >>> ds.RR(step_size=0.04)
    SGD(step_size=0.04, sampling=GradientNorm())
    """
    return SGD(step_size, GradientNorm())


@dataclass(frozen=True, repr=False)
class GClip(Method):
    """Gradients clipped in norm: θ ← θ − η_k min(1, τ_k/‖g‖) g. Z (GClip).

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    threshold : float or Schedule
        τ_k > 0. Z Theorem 4.4.2 takes τ_k = G k^{1/α} from k = 1:
        ``schedules.Custom(lambda k: G * (k + 1) ** (1 / alpha))``.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.GClip(0.1, batch_size="full", threshold=1.0)
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.9497, 0.8064]
    """

    threshold: float | Schedule = field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        _set_threshold(self, "threshold", self.threshold)

    def rule(self, problem) -> Update:
        """θ ← θ − η min(1, τ/‖g‖) g."""
        from dynsim._kernels.methods.clipping import clipped

        return Update(clipped)

    def schedules(self):
        """η_k and τ_k."""
        return self.step_size, self.threshold

    def check_schedules(self, n_steps: int) -> None:
        """η_k and τ_k must be positive."""
        super().check_schedules(n_steps)
        if isinstance(self.threshold, Schedule):
            self.threshold.check(n_steps, name="threshold")


def _set_threshold(method, name, value):
    value = as_schedule(value) if callable(value) else _check.positive(name, value)
    object.__setattr__(method, name, value)


@dataclass(frozen=True, repr=False)
class Clipped(Method):
    """Clipped gradient descent θ ← θ − min(η, γη/‖g‖) g. Z (3.5).

    The same as :class:`GClip` with the threshold γ; the name under which Z's chapter 3 has it.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    gamma : float
        γ > 0.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.Clipped(0.1, batch_size="full", gamma=1.0)
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.9497, 0.8064]
    """

    gamma: float = field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "gamma", _check.positive("gamma", self.gamma))

    def rule(self, problem) -> Update:
        """θ ← θ − min(η, γη/‖g‖) g."""
        from dynsim._kernels.methods.clipping import clipped

        return Update(clipped)

    def schedules(self):
        """η_k and γ."""
        return self.step_size, self.gamma


@dataclass(frozen=True, repr=False)
class Normalized(Method):
    """Normalized gradient descent θ ← θ − η/(‖g‖ + β) g. Z (3.6). No step where ‖g‖ + β = 0.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    beta : float, optional
        β ≥ 0. With β = γ and the same η/γ for η, its step is between half of that of :class:`Clipped` and the whole.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.Normalized(0.1, batch_size="full", beta=1.0)
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.9601, 0.8453]
    """

    beta: float = field(default=0.0, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "beta", nonnegative("beta", self.beta))

    def rule(self, problem) -> Update:
        """θ ← θ − η/(‖g‖ + β) g."""
        from dynsim._kernels.methods.normalized import normalized

        return Update(normalized, np.array([self.beta]))


@dataclass(frozen=True, repr=False)
class ProjectedGClip(GClip):
    """:class:`GClip`, each step followed by the projection onto a ball. Z (proj-GClip) and Theorem 4.4.2.

    Parameters
    ----------
    step_size, sampling, batch_size, noise, threshold
        As for :class:`GClip`.
    radius : float
        Of the ball, above 0.
    center : sequence of float, optional
        Of the ball, shape (dim,); 0 by default.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.ProjectedGClip(0.1, batch_size="full", threshold=1.0, radius=1.0)
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.7079, 0.5827]
    """

    radius: float = field(kw_only=True)
    center: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "radius", _check.positive("radius", self.radius))
        if self.center is not None:
            object.__setattr__(self, "center", tuple(_check.array("center", self.center, ndim=1).tolist()))

    def check(self, problem) -> None:
        """The center must be a point of the problem."""
        super().check(problem)
        if self.center is not None and len(self.center) != problem.dim:
            raise ArgumentError(f"center must have shape ({problem.dim},), got ({len(self.center)},)")

    def rule(self, problem) -> Update:
        """θ ← Π(θ − η min(1, τ/‖g‖) g)."""
        from dynsim._kernels.methods.clipping import projected

        center = np.zeros(problem.dim) if self.center is None else self.center
        return Update(projected, np.array([self.radius, *center]))


@dataclass(frozen=True, repr=False)
class CClip(GClip):
    """Gradients clipped coordinate by coordinate: ``θ_j ← θ_j − η_k min(1, τ_k B_j/|g_j|) g_j``. Z (CClip).

    Parameters
    ----------
    step_size, sampling, batch_size, noise, threshold
        As for :class:`GClip`. Z Theorem 4.5.1 takes τ_k B_j = B_j k^{1/α}.
    scales : sequence of float, optional
        B_j > 0, shape (dim,); 1 by default.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.CClip(0.1, batch_size="full", threshold=1.0)
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.81, 0.8]
    """

    scales: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if self.scales is not None:
            values = _check.array("scales", self.scales, ndim=1)
            if not (values > 0).all():
                raise ArgumentError(f"scales must be positive, got {values.min():g}")
            object.__setattr__(self, "scales", tuple(values.tolist()))

    def check(self, problem) -> None:
        """There must be a scale for each coordinate."""
        super().check(problem)
        if self.scales is not None and len(self.scales) != problem.dim:
            raise ArgumentError(f"scales must have shape ({problem.dim},), got ({len(self.scales)},)")

    def rule(self, problem) -> Update:
        """θ_j ← θ_j − η min(1, τ B_j/|g_j|) g_j."""
        from dynsim._kernels.methods.clipping import coordinates_clipped

        return Update(coordinates_clipped, np.ones(problem.dim) if self.scales is None else np.array(self.scales))
