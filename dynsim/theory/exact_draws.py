"""All steps that SGD may make from the states of a run: time averages of expectations over the next draw."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim.averages import Batches, Estimate, estimate
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.saved import SavedStates
from dynsim.methods import SGD
from dynsim.problems import Problem
from dynsim.results import Trajectories
from dynsim.stationary.outcomes import outcomes
from dynsim.theory.neighborhood import check_sgd

_LEAST = 3  # states of a path
_NUMBERS = 2**21  # float64 values that are held at a time


@dataclass(frozen=True, eq=False)
class Draws:
    """The steps d = −ηg of SGD with a constant step size, all that may be drawn at once."""

    verb: str
    problem: Problem
    method: SGD
    count: int

    @classmethod
    def of(cls, verb, problem, method):
        """Refuse what has no finite number of steps with known probabilities."""
        _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
        check_sgd(verb, method)
        _, p = outcomes(verb, problem, method, np.zeros(problem.dim))
        return cls(verb, problem, method, p.size)

    @property
    def eta(self) -> float:
        """η."""
        return float(self.method.step_size)  # type: ignore[arg-type]  # outcomes refuses schedules

    def steps(self, theta):
        """Probabilities (P, K) and d (P, K, dim) at theta (P, dim)."""
        targets, p = outcomes(self.verb, self.problem, self.method, theta)
        return p, np.where(p[..., None] > 0, targets - theta[:, None, :], 0.0)

    def loss_change(self, theta, p, d):
        """E L(θ + d) − L(θ), (P,)."""
        return (p * self.problem.loss(theta[:, None, :] + d)).sum(axis=1) - self.problem.loss(theta)

    def _refuse_other(self, run):
        settings = run.settings if isinstance(run, Trajectories) else {}
        if "dt" in settings:
            raise ArgumentError(f"run must be one of {self.method!r}, not of an SDE with dt={settings['dt']!r}")
        if settings.get("method", repr(self.method)) != repr(self.method):
            raise ArgumentError(f"run must be one of {self.method!r}, this is one of {settings['method']}")

    def averaged(self, run, columns, names, *, per_step, burn_in) -> Estimate:
        """Joint time average of ``columns(theta, p, d)``, (P, q), over the states of the paths that stay finite.

        ``per_step`` says how many numbers are held for one step from one state.
        """
        states = SavedStates.of(run, self.problem.dim).even()
        self._refuse_other(run)
        if states.t.size < _LEAST:
            raise ArgumentError(f"run must have at least {_LEAST} states of each path, got {states.t.size}")
        x = states.x[states.whole]
        if x.size == 0:
            raise ArgumentError("run must have at least one path that stays finite to the end")
        flat = x.reshape(-1, self.problem.dim)
        values = np.empty((len(flat), len(names)))
        size = max(1, _NUMBERS // (self.count * per_step))
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, len(flat), size):
                theta = flat[first : first + size]
                values[first : first + size] = columns(theta, *self.steps(theta))
        if not np.isfinite(values).all():
            where = flat[np.argwhere(~np.isfinite(values))[0, 0]]
            raise NotApplicable(
                f"the loss of {self.problem.name} is not finite after a step from θ = {where.tolist()}, so it has no "
                "expectation"
            )
        interval = float(states.t[1] - states.t[0])
        batches = Batches.of_series(
            values.reshape(*x.shape[:2], -1), start=float(states.t[0]), interval=interval, positions=x.mean(axis=1)
        )
        lost = int(np.count_nonzero(~states.whole))
        return estimate(batches, burn_in=burn_in, shape=(len(names),), names=tuple(names), n_diverged=lost)
