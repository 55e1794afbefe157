"""SGD and RR on a linear model for real data: how fast, how low, how steady?"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from dynsim import __version__, _check
from dynsim._ensemble import whole_runs
from dynsim.chain import iterate
from dynsim.compare.text import diverged_line, number, table
from dynsim.methods import RR, SGD
from dynsim.problems import LinearModel, Table
from dynsim.results import StepSizeRange, Trajectories
from dynsim.stability import step_size_range, terms

_SAVED = 200  # points in time kept for the picture
_STARTS = 50  # subsets of the data from whose exact fit the search for the best fit starts
BAND = (0.1, 0.5, 0.9)  # quantiles over paths that are shown


@dataclass(frozen=True, eq=False)
class DataScheme:
    """What is known of one scheme; ``loss`` (3, n_saved) and ``final`` (3, dim) are quantiles 10, 50, 90 % over paths.

    Paths that diverged are left out of both; where none is left they are NaN. ``final`` is in units of the data.
    """

    name: str
    method: SGD
    trajectories: Trajectories = field(repr=False)
    loss: np.ndarray = field(repr=False)
    final: np.ndarray
    holds: StepSizeRange | None  # no range where no minimum can fit all data


@dataclass(frozen=True, eq=False)
class DataComparison:
    """The schemes side by side; see :func:`compare_on_data`."""

    problem: LinearModel
    data: Table
    best: np.ndarray
    schemes: tuple[DataScheme, ...]
    settings: dict

    @property
    def names(self) -> tuple:
        """Names of the parameters."""
        return ("intercept", *self.data.features)

    def table(self) -> str:
        """The numbers for a terminal."""
        c = self.settings
        rows: list[tuple[str, ...]] = [
            ("", "loss after", f"{c['n_steps']} steps", "", "", "stable up to"),
            ("scheme", "10 %", "median", "90 %", "diverged", "step size"),
        ]
        for s in self.schemes:
            losses, diverged = [number(v, 4) for v in s.loss[:, -1]], str(s.trajectories.n_diverged)
            rows.append((s.name, *losses, diverged, _bound(s.holds)))
        best = self.problem.loss(self.best)
        parameters = [("final", "best fit", *(c for s in self.schemes for c in (s.name, "")))]
        parameters.append(("parameters", "found", *["median", "10 to 90 %"] * len(self.schemes)))
        found = self.problem.coefficients(self.best)
        for j, name in enumerate(self.names):
            row = [name, number(found[j], 4)]
            for low, median, high in (s.final[:, j] for s in self.schemes):
                row += [number(median, 4), "-" if np.isnan(low) else f"{number(low, 4)} to {number(high, 4)}"]
            parameters.append(tuple(row))
        lines = [
            f"{self.data.name}: {self.data.target} by {', '.join(self.data.features)}; {self.problem.n_terms} rows",
            f"source: {self.data.source}",
            f"{self.problem.loss_name} loss on standardized data, step size {c['step_size']:g}, start 0, "
            f"{c['n_paths']} paths, seed {c['seed']}; lowest loss found {number(float(best), 4)}",
            "",
            table(rows),
            "",
            table(parameters),
            "",
        ]
        if self.problem.curvature_at_fit is None:
            lines.append("Quantiles over paths.")
        else:
            lines += [
                "Quantiles over paths. Stable: one-step criterion of AY Lemma 3.2 for features like these at a",
                "minimum that fits all data; here it bounds the pull back from afar (square loss) and says nothing",
                "of outliers.",
            ]
        lines += [
            diverged_line(s.name, s.trajectories) + "; they are left out of the quantiles"
            for s in self.schemes
            if s.trajectories.n_diverged
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON."""
        return {
            "dynsim": __version__,
            "data": {"name": self.data.name, "target": self.data.target, "source": self.data.source},
            "parameters": list(self.names),
            "settings": self.settings,
            "best_fit": {
                "loss": float(self.problem.loss(self.best)),
                "coefficients": self.problem.coefficients(self.best).tolist(),
            },
            "schemes": {s.name: _numbers(s) for s in self.schemes},
        }

    def draw(self):
        """The picture: loss against iterations, final parameters, and the fit. Returns a matplotlib Figure."""
        from dynsim.plot import draw_data

        return draw_data(self)


def _numbers(s):
    quantiles = ("quantile_10", "median", "quantile_90")
    return {
        "method": repr(s.method),
        "loss": {"step": s.trajectories.t.tolist(), **dict(zip(quantiles, _plain(s.loss), strict=True))},
        "final_coefficients": dict(zip(quantiles, _plain(s.final), strict=True)),
        "diverged": s.trajectories.n_diverged,
        "first_divergence": float(s.trajectories.diverged.min()) if s.trajectories.n_diverged else None,
        "stable_step_sizes": s.holds and {"lower": s.holds.lower, "upper": s.holds.upper, "exact": s.holds.exact},
    }


def _bound(holds):
    if holds is None:
        return "-"
    return number(holds.lower) if holds.exact else f"{number(holds.lower)} to {number(holds.upper)}"


def _plain(values):
    """Nested lists with None for NaN, which JSON does not have."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in values]


@whole_runs()
def compare_on_data(
    problem, data, step_size, *, n_steps=5000, n_paths=2000, rng=0, threads=None, progress=False
) -> DataComparison:
    """Run SGD and RR on a linear model with one step size and the same random numbers, from θ = 0.

    Parameters
    ----------
    problem : LinearModel
        With an intercept.
    data : Table
        What it was made of: names and source.
    step_size : float
    n_steps, n_paths, rng, threads, progress
        As in :func:`dynsim.iterate`.
    """
    methods = (SGD(step_size), RR(step_size))
    n_steps = _check.count("n_steps", n_steps)
    best = best_fit(problem)
    schemes = []
    for method in methods:
        run = iterate(
            problem,
            method,
            0.0,
            n_steps=n_steps,
            n_paths=n_paths,
            rng=rng,
            save_every=max(1, n_steps // _SAVED) | 1,  # odd, lest a cycle of two steps be seen at one phase only
            threads=threads,
            progress=progress,
        )
        rng = run.settings["seed"]  # the next scheme sees the same numbers, whatever rng was
        schemes.append(_scheme(problem, method, run, best))
    settings = {
        "loss": problem.loss_name,
        "step_size": methods[0].step_size,
        "n_steps": n_steps,
        "n_paths": n_paths,
        "seed": rng,
    }
    return DataComparison(problem, data, best, tuple(schemes), settings)


def _scheme(problem, method, run, best):
    kept = run.x[np.isinf(run.diverged)]
    if kept.shape[0]:
        with np.errstate(over="ignore"):
            loss = np.quantile(problem.loss(kept), BAND, axis=0)
        final = np.quantile(problem.coefficients(kept[:, -1]), BAND, axis=0)
    else:
        loss, final = np.full((3, run.t.size), np.nan), np.full((3, problem.dim), np.nan)
    holds = None
    if problem.curvature_at_fit is not None:  # else no minimum can fit all data
        fitted = terms(gradients=np.sqrt(problem.curvature_at_fit) * problem.X, weights=problem.weights)
        holds = step_size_range(fitted, method)
    return DataScheme(method.name, method, run, loss, final, holds)


def best_fit(problem) -> np.ndarray:
    """The lowest minimum of a linear model that a multi-start search finds, shape (dim,).

    Starts from least squares and from the exact fits of random subsets of dim rows, some of which hold no outlier. The
    logistic and the Poisson loss are convex, and there a start at 0 is as good as any.
    """
    if problem.curvature_at_fit is None:
        return minimize(problem.loss, np.zeros(problem.dim), jac=problem.gradient, method="BFGS").x
    start = problem.least_squares()
    if problem.loss_name == "square":
        return start
    rng = np.random.default_rng(0)
    starts = [start]
    for _ in range(_STARTS):
        rows = rng.choice(problem.n_terms, size=problem.dim, replace=False)
        starts.append(np.linalg.lstsq(problem.X[rows], problem.y[rows], rcond=None)[0])
    runs = [minimize(problem.loss, theta, jac=problem.gradient, method="BFGS") for theta in starts]
    return min(runs, key=lambda run: run.fun).x
