"""How long steps may be for a scheme to hold on to either minimum of AY §2.1, and how long it stays."""

from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from dynsim import __version__, _check
from dynsim.compare.text import number, probability, table
from dynsim.errors import NotApplicable, TooLarge
from dynsim.methods import RR, SGD
from dynsim.problems.two_valleys import TwoValleys
from dynsim.results import StepSizeRange
from dynsim.sampling import Balanced
from dynsim.stability.escape import escape_times
from dynsim.stability.ranges import step_size_range

_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5)  # of the critical step size, at which escape is timed
_MOST_STATES = 20_000  # of a chain
_LISTED = (0.5, 0.9, 1.1, 1.5)  # of them in the table


@dataclass(frozen=True, eq=False)
class Hold:
    """A scheme at a minimum; ``log_mean`` (m,) is that of the steps until it leaves, NaN where that is not known."""

    scheme: str
    minimum: float
    holds: StepSizeRange
    step_sizes: np.ndarray
    log_mean: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class HoldComparison:
    """All schemes at all minima; see :func:`compare_holds`."""

    problem: TwoValleys
    holds: tuple[Hold, ...]
    no_chain = f"no exact chain of up to {_MOST_STATES} states that rounding resolves"  # where times are NaN

    def table(self) -> str:
        """The numbers for a terminal."""
        rows: list[tuple[str, ...]] = [
            ("", "", "holds below", "mean steps until", "it leaves at", "step size /", "critical one"),
            ("minimum", "scheme", "step size", *(f"{share:g}" for share in _LISTED)),
        ]
        listed = [_SHARES.index(share) for share in _LISTED]
        for h in self.holds:
            times = (probability(None if np.isnan(h.log_mean[k]) else h.log_mean[k]) for k in listed)
            rows.append((number(h.minimum, 4), h.scheme, number(h.holds.max, 4), *times))
        lines = [
            self.problem.name,
            "",
            table(rows),
            "",
            "Holds: below that step size no single step from the minimum crosses the barrier at 0; several may.",
            "Mean steps: from the exact chain that starts at the minimum; step sizes rounded to two digits.",
        ]
        if any(np.isnan(h.log_mean).any() for h in self.holds):
            lines.append(f"-: not known, {self.no_chain}.")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """The numbers, ready for JSON. Times come as logarithms, since some overflow."""
        return {
            "dynsim": __version__,
            "problem": self.problem.name,
            "holds": [
                {
                    "scheme": h.scheme,
                    "minimum": h.minimum,
                    "critical_step_size": h.holds.max,
                    "step_size": h.step_sizes.tolist(),
                    "log_mean_steps_to_leave": h.log_mean.tolist(),
                }
                for h in self.holds
            ],
        }

    def draw(self):
        """The picture: time to leave against step size, a panel for each minimum. Returns a matplotlib Figure."""
        from dynsim.plot import draw_holds

        return draw_holds(self)


def compare_holds(problem: TwoValleys, *, progress=False) -> HoldComparison:
    """Critical step sizes and escape times of SGD, RR and Balanced at both minima of ``problems.two_valleys``.

    Parameters
    ----------
    problem : Problem
        ``problems.two_valleys(...)``.
    progress : bool, optional
        Whether to show progress.
    """
    _check.instance("problem", problem, TwoValleys, "problems.two_valleys(...)")
    methods = (SGD(1.0), RR(1.0), SGD(1.0, Balanced()))
    cases = [(minimum, method) for minimum in problem.minima for method in methods]
    bar = tqdm(cases, desc="escape times", leave=False, delay=1, disable=None if progress else True)
    return HoldComparison(problem, tuple(_hold(problem, method, minimum) for minimum, method in bar))


def _hold(problem, method, minimum):
    holds = step_size_range(problem, method, at=minimum)
    step_sizes = np.array([float(f"{share * holds.max:.2g}") for share in _SHARES])  # that chains have few states
    log_mean = np.array([_log_mean_steps(problem, method, minimum, eta) for eta in step_sizes])
    return Hold(method.name, float(minimum[0]), holds, step_sizes, log_mean)


def _log_mean_steps(problem, method, minimum, step_size):
    try:
        found = escape_times(problem, method, minimum, step_sizes=[step_size], max_states=_MOST_STATES)
    except (NotApplicable, TooLarge):  # not on a lattice of few states
        return np.nan
    return float(found.log_mean[0])
