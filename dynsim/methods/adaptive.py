"""Methods that scale the step by a running size of the gradient: RMSProp, Adam, ACClip."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.methods.base import Method, Update, fraction, nonnegative, zeros


@dataclass(frozen=True, repr=False)
class RMSProp(Method):
    """RMSProp: v ← α v + (1 − α) g², θ ← θ − η g/(ε + √v), v = 0 at the start. L §3.2.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    alpha : float, optional
        α in [0, 1).
    eps : float, optional
        ε > 0.
    elementwise : bool, optional
        g² coordinate by coordinate, as everybody (L's experiments too) has it; False: ‖g‖² for all, as L's formulas.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.RMSProp(0.01, batch_size="full")
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.8329, 0.8329]
    """

    alpha: float = field(default=0.99, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    elementwise: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "alpha", fraction("alpha", self.alpha))
        object.__setattr__(self, "eps", _check.positive("eps", self.eps))
        _check.instance("elementwise", self.elementwise, bool, "True or False")

    def rule(self, problem) -> Update:
        """θ ← θ − η g/(ε + √v)."""
        from dynsim._kernels.methods.rmsprop import rmsprop, rmsprop_scalar

        params = np.array([self.alpha, self.eps])
        if self.elementwise:
            return Update(rmsprop, params, zeros(problem.dim))
        return Update(rmsprop_scalar, params, zeros(1))


@dataclass(frozen=True, repr=False)
class Adam(Method):
    """Adam: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η m̂/(ε + √v̂), m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). L §3.2.

    t counts from 1, and m = v = 0 before.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    beta1, beta2 : float, optional
        In [0, 1).
    eps : float, optional
        ε > 0.
    elementwise : bool, optional
        g² coordinate by coordinate, as everybody (L's experiments too) has it; False: ‖g‖² for all, as L's formulas.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.Adam(0.01, batch_size="full")
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.98, 0.98]
    """

    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    elementwise: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        for name in ("beta1", "beta2"):
            object.__setattr__(self, name, fraction(name, getattr(self, name)))
        object.__setattr__(self, "eps", _check.positive("eps", self.eps))
        _check.instance("elementwise", self.elementwise, bool, "True or False")

    def rule(self, problem) -> Update:
        """θ ← θ − η m̂/(ε + √v̂)."""
        from dynsim._kernels.methods.adam import adam, adam_scalar

        params = np.array([self.beta1, self.beta2, self.eps])
        if self.elementwise:
            return Update(adam, params, zeros(2 * problem.dim))
        return Update(adam_scalar, params, zeros(problem.dim + 1))


@dataclass(frozen=True, repr=False)
class ACClip(Method):
    """Adaptive coordinate-wise clipping, Z Algorithm 1.

    m ← β₁m + (1−β₁)g, ``τ^α ← β₂τ^α + (1−β₂)|g|^α``, ``θ ← θ − η min(τ/(|m| + ε), 1) m``, coordinate by coordinate,
    m = 0 and τ = τ_0 at the start; 0/0 counts as 1.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    alpha : float, optional
        Order of the moment of the gradient, in (0, 2].
    beta1, beta2 : float, optional
        In [0, 1).
    eps : float, optional
        ε ≥ 0.
    tau0 : float, optional
        τ_0 ≥ 0.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.ACClip(0.1, batch_size="full")
    >>> ds.iterate(ds.problems.quadratic([1.0, 4.0]), method, 1.0, n_steps=2).x[0, -1].round(4).tolist()
    [0.997, 0.9881]
    """

    alpha: float = field(default=1.0, kw_only=True)
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.99, kw_only=True)
    eps: float = field(default=1e-5, kw_only=True)
    tau0: float = field(default=0.0, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        for name in ("beta1", "beta2"):
            object.__setattr__(self, name, fraction(name, getattr(self, name)))
        for name in ("eps", "tau0"):
            object.__setattr__(self, name, nonnegative(name, getattr(self, name)))
        object.__setattr__(self, "alpha", _check.positive("alpha", self.alpha))
        if self.alpha > 2:
            raise ArgumentError(f"alpha must lie in (0, 2], got {self.alpha:g}")

    def rule(self, problem) -> Update:
        """θ ← θ − η min(τ/(|m| + ε), 1) m."""
        from dynsim._kernels.methods.acclip import acclip

        start = np.concatenate([np.zeros(problem.dim), np.full(problem.dim, self.tau0**self.alpha)])
        params = np.array([self.alpha, self.beta1, self.beta2, self.eps])
        return Update(acclip, params, lambda x0: np.tile(start, (x0.shape[0], 1)))
