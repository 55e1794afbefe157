"""Methods that remember where they came from: heavy ball and Nesterov."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.methods.base import Method, Update, fraction, zeros
from dynsim.schedules import Schedule, as_schedule


@dataclass(frozen=True, repr=False)
class _Momentum(Method):
    momentum: float | Schedule = field(default=0.9, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        momentum = as_schedule(self.momentum) if callable(self.momentum) else fraction("momentum", self.momentum)
        object.__setattr__(self, "momentum", momentum)

    def schedules(self):
        """η_k and μ_k."""
        return self.step_size, self.momentum

    def check_schedules(self, n_steps: int) -> None:
        """μ_k must lie in [0, 1)."""
        super().check_schedules(n_steps)
        if isinstance(self.momentum, Schedule):
            self.momentum.check(n_steps, name="momentum", below=1.0)


@dataclass(frozen=True, repr=False)
class HeavyBall(_Momentum):
    """Stochastic gradient descent with momentum: v ← μ v + g, θ ← θ − η v, v = 0 at the start. L §3.2.

    For a constant step size that is Polyak's heavy ball θ_{k+1} = θ_k − η g_k + μ (θ_k − θ_{k−1}), Z §2.2.1.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    momentum : float, Schedule or function of k, optional
        μ in [0, 1).

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.HeavyBall(0.1, batch_size="full", momentum=0.5)
    >>> ds.iterate(ds.problems.quadratic([1.0]), method, 1.0, n_steps=3).x[0, :, 0].round(4).tolist()
    [1.0, 0.9, 0.76, 0.614]
    """

    def rule(self, problem) -> Update:
        """v ← μ v + g, θ ← θ − η v."""
        from dynsim._kernels.methods.momentum import heavy_ball

        return Update(heavy_ball, memory=zeros(problem.dim))


@dataclass(frozen=True, repr=False)
class Nesterov(_Momentum):
    """Nesterov's accelerated gradient: θ_{k+1} = q_k − η g(q_k), q_{k+1} = θ_{k+1} + μ_k (θ_{k+1} − θ_k). Z (2.4).

    The gradient is estimated at q, with q_0 = θ_0. For a μ-strongly convex, L-smooth loss Z Theorem 2.1.3 takes η = 1/L
    and momentum (√Q − 1)/(√Q + 1), Q = L/μ.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    momentum : float, Schedule or function of k, optional
        In [0, 1). For a convex loss that is not strongly so: ``lambda k: (k + 1) / (k + 4)``.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.Nesterov(0.1, batch_size="full", momentum=0.5)
    >>> ds.iterate(ds.problems.quadratic([1.0]), method, 1.0, n_steps=3).x[0, :, 0].round(4).tolist()
    [1.0, 0.9, 0.765, 0.6278]
    """

    def rule(self, problem) -> Update:
        """θ' = q − η g, q ← θ' + μ (θ' − θ)."""
        from dynsim._kernels.methods.momentum import nesterov

        return Update(nesterov, memory=np.copy, query=problem.dim)
