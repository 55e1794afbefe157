"""Methods that remember where they came from: heavy ball and Nesterov."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.errors import ArgumentError
from dynsim.methods.base import Method, Update, fraction, zeros
from dynsim.schedules import Schedule

_MOST_LOOKED_AT = 2**20


@dataclass(frozen=True, repr=False)
class _Momentum(Method):
    momentum: float | Schedule = field(default=0.9, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.momentum, Schedule):
            object.__setattr__(self, "momentum", fraction("momentum", self.momentum))

    def schedules(self):
        """η_k and μ_k."""
        return self.step_size, self.momentum

    def check_schedules(self, n_steps: int) -> None:
        """μ_k must lie in [0, 1)."""
        super().check_schedules(n_steps)
        if isinstance(self.momentum, Schedule):
            values = self.momentum(np.arange(min(n_steps, _MOST_LOOKED_AT)))
            if not ((values >= 0) & (values < 1)).all():
                k = int(np.argmin((values >= 0) & (values < 1)))
                raise ArgumentError(f"momentum must lie in [0, 1) in every step, it is {values[k]:g} at step {k}")


@dataclass(frozen=True, repr=False)
class HeavyBall(_Momentum):
    """Stochastic gradient descent with momentum: v ← μ v + g, θ ← θ − η v, v = 0 at the start. L §3.2.

    For a constant step size that is Polyak's heavy ball θ_{k+1} = θ_k − η g_k + μ (θ_k − θ_{k−1}), Z §2.2.1.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    momentum : float or Schedule, optional
        μ in [0, 1).
    """

    def update(self, problem) -> Update:
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
    momentum : float or Schedule, optional
        In [0, 1). For a convex loss that is not strongly so: ``schedules.Custom(lambda k: (k + 1) / (k + 4))``.
    """

    def update(self, problem) -> Update:
        """θ' = q − η g, q ← θ' + μ (θ' − θ)."""
        from dynsim._kernels.methods.momentum import nesterov

        return Update(nesterov, memory=np.copy, query=problem.dim)
