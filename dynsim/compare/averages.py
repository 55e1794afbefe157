"""Long-run averages under several schemes, with honest errors: what they are, or why they cannot be told."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dynsim import __version__, _check
from dynsim._ensemble import whole_runs
from dynsim.averages import Estimate
from dynsim.chain import iterate
from dynsim.compare.stationary import Basins
from dynsim.compare.text import number, table, with_error
from dynsim.ergodic import time_average
from dynsim.errors import ArgumentError, InfiniteVariance, NotApplicable, PoorMixing, TooShort
from dynsim.landscape import minima
from dynsim.methods import Method
from dynsim.problems import Problem

_MOST_KEPT = 2e7  # numbers of a run that are stored
_FIRST_STEPS = 1000  # of the first try with ``until``
_MOST_COORDINATES = 3  # whose averages are in the table
_MOST_MINIMA = 4  # whose basins are
_ASIDE = 0.01  # how far beside a minimum paths start, of the box: at it, descent without noise would stay on it
_SCATTER_SEED = 0


@dataclass(frozen=True, eq=False)
class AverageComparison:
    """The averages of each scheme side by side; see :func:`compare_averages`."""

    problem: Problem
    averages: dict[str, dict[str, Estimate]]
    refusals: dict[str, dict[str, str]] = field(repr=False)
    notes: tuple[str, ...]
    settings: dict

    def table(self) -> str:
        """The numbers for a terminal."""
        rows = [("", "", "", "95 %", "", "auto-", "", ""), _HEADER]
        for scheme, found in self.averages.items():
            for k, (name, mean) in enumerate(found.items()):
                low, high = mean.interval()
                error = float(mean.stderr)
                trusted = name not in self.refusals[scheme]
                constant = bool(mean.constant)
                value = with_error(float(mean.value), error) if trusted else number(float(mean.value), 4) + " ± ?"
                if constant:
                    value = f"{float(mean.value):.4g} (constant)"
                shown = trusted and not constant
                rows.append(
                    (
                        f"{scheme if k == 0 else '':<9}{name}",
                        value,
                        f"{low:.4g}" if shown else "-",
                        f"{high:.4g}" if shown else "-",
                        number(float(mean.n_effective), 3),
                        number(float(mean.tau), 3),
                        f"{float(mean.r_hat):.3f}",
                        f"{mean.burn_in:g}",
                    )
                )
        c = self.settings
        lines = [
            f"{self.problem.name}, step size {c['step_size']:g}, {c['n_paths']} paths of {c['n_steps']} steps from "
            f"{c['start']}, seed {c['seed']}",
            "",
            table(rows),
            "",
        ]
        for scheme, refused in self.refusals.items():
            lines += [f"{scheme}, {name}: not to be trusted. {reason}" for name, reason in refused.items()]
        return "\n".join([*lines, *self.notes]).rstrip()

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON."""
        return {
            "dynsim": __version__,
            "problem": self.problem.name,
            "settings": self.settings,
            "schemes": {
                scheme: {name: self._numbers(mean, self.refusals[scheme].get(name)) for name, mean in found.items()}
                for scheme, found in self.averages.items()
            },
            "notes": list(self.notes),
        }

    def _numbers(self, mean, refusal):
        low, high = mean.interval()
        return {
            "value": float(mean.value),
            "stderr": float(mean.stderr),
            "interval_95": [float(low), float(high)],
            "n_effective": float(mean.n_effective),
            "tau": float(mean.tau),
            "r_hat": float(mean.r_hat),
            "burn_in": float(mean.burn_in),
            "n_diverged": int(mean.n_diverged),
            "not_to_be_trusted": refusal,
        }

    def draw(self):
        """The picture: running averages of every scheme, a panel for each quantity. Returns a matplotlib Figure."""
        from dynsim.plot import draw_averages

        return draw_averages(self)


_HEADER = ("scheme   average of", "value ± error", "from", "to", "n_eff", "time", "R̂", "burn-in")


@whole_runs()
def compare_averages(
    problem: Problem,
    methods: dict[str, Method],
    *,
    x0=None,
    n_steps: int = 20_000,
    n_paths: int = 64,
    until: float | None = None,
    rng=0,
    threads=None,
    progress: bool = False,
) -> AverageComparison:
    """Long-run averages of loss, gradient norm, coordinates and basins under several methods.

    Parameters
    ----------
    problem : Problem
    methods : dict of Method
        By the names they have in the table; all with the same step size.
    x0 : array_like, optional
        Start of all paths; by default they start beside the known minima in turn, so that a run that does not mix
        is found out.
    n_steps, n_paths, rng, threads, progress
        Of the run, as in :func:`dynsim.iterate`.
    until : float, optional
        Lengthen the run, to at most ``n_steps``, until every standard error is below this share of its average, or of
        the deviation of single values where that is larger.
    """
    n_steps, n_paths = _check.count("n_steps", n_steps), _check.count("n_paths", n_paths)
    if until is not None:
        until = _check.positive("until", until)
    quantities, found = _quantities(problem)
    start, said = _starts(problem, found, x0, n_paths)
    settings = {
        "step_size": {method.step_size for method in methods.values()}.pop(),
        "start": said,
        "n_steps": n_steps,
        "n_paths": n_paths,
        "until": until,
        "seed": rng,
    }
    averages, refusals, notes = {}, {}, []
    if problem.n_terms == 1:
        notes.append(
            "The problem has one term: without noise, all schemes are gradient descent, and averages are of its orbits"
        )
    for scheme, method in methods.items():
        length = n_steps if until is None else min(_FIRST_STEPS, n_steps)
        while True:
            every = max(1, int(np.ceil(n_paths * length * problem.dim / _MOST_KEPT)))
            run = iterate(
                problem,
                method,
                start,
                n_steps=length,
                n_paths=n_paths,
                rng=settings["seed"],
                save_every=every,
                threads=threads,
                progress=progress,
            )
            settings["seed"] = run.settings["seed"]
            if run.n_diverged:
                raise NotApplicable(
                    f"{scheme}: {run.n_diverged} of {n_paths} paths diverged, so there are no long-run averages; "
                    "the step size is too large"
                )
            averages[scheme], refusals[scheme], warned = _averages(run, quantities)
            short = [] if until is None else _inaccurate(averages[scheme], refusals[scheme], until)
            if length == n_steps or not short:
                break
            length = min(2 * length, n_steps)
        notes += [f"{scheme}, {line}" for line in warned]
        if until is not None:
            what = f"errors of {until:g} of the averages"
            notes.append(
                f"{scheme}: {what} not reached in {length} steps for {', '.join(short)}"
                if short
                else f"{scheme}: {what} reached after {length} steps"
            )
    return AverageComparison(problem, averages, refusals, tuple(notes), settings)


def _quantities(problem) -> tuple[dict[str, Callable], np.ndarray]:
    """What is averaged, by name, and the minima."""
    quantities: dict[str, Callable] = {
        "loss": problem.loss,
        "gradient norm": lambda x: np.linalg.norm(problem.gradient(x), axis=-1),
    }
    names = ["θ"] if problem.dim == 1 else [f"θ{j + 1}" for j in range(problem.dim)]
    for j, name in enumerate(names[:_MOST_COORDINATES]):
        quantities[name] = lambda x, j=j: x[..., j]
    if problem.dim > 2 or problem.bounds is None:
        return quantities, np.empty((0, problem.dim)) if problem.minima is None else problem.minima
    points = minima(problem)
    found = points.minima
    if len(found) > 1:
        basins = Basins(points, problem.bounds)
        for j, point in enumerate(found[:_MOST_MINIMA]):
            place = ", ".join(f"{c:.3g}" for c in point)
            quantities[f"basin of {place if problem.dim == 1 else f'({place})'}"] = basins.region(j, beyond=True)
    return quantities, found


def _starts(problem, found, x0, n_paths):
    """Where paths start, (n_paths, dim), and that in words."""
    if x0 is not None:
        point = _check.start("x0", x0, 1, problem.dim)[0]
        return point, f"{point.tolist()}"
    if not len(found):
        raise ArgumentError(f"x0 must be given, as no minima of {problem.name} are known")
    size = np.ptp(problem.bounds, axis=1) if problem.bounds is not None else 1 + np.abs(found).max(axis=0)
    scatter = np.random.default_rng(_SCATTER_SEED).uniform(-1, 1, (n_paths, problem.dim))
    return found[np.arange(n_paths) % len(found)] + _ASIDE * size * scatter, "beside the minima in turn"


def _averages(run, quantities):
    """Estimates by name, why some of them are not to be trusted, and what was warned of."""
    found, refused, warned = {}, {}, []
    for name, phi in quantities.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PoorMixing)
            try:
                found[name] = time_average(run, {name: phi})[name]
            except (TooShort, InfiniteVariance) as error:
                found[name], refused[name] = error.estimate[name], str(error)
        warned += [f"{name}: {line.message}" for line in caught]
    return found, refused, warned


def _inaccurate(found, refused, until):
    """The quantities whose error is larger, or not known; what never changed is exact."""
    return [
        name for name, mean in found.items() if name in refused or float(mean.stderr) > until * abs(float(mean.value))
    ]
