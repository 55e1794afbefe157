"""For which step sizes SGD and RR hold on to the minimum of a linear regression, by every criterion."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm.auto import tqdm

from dynsim import __version__, _check
from dynsim._random import seed_and_key
from dynsim.compare.text import number, table, with_error
from dynsim.errors import ArgumentError
from dynsim.methods import RR, SGD
from dynsim.problems import LinearModel, Table
from dynsim.results import StepSizeRange
from dynsim.results.maps import StabilityMap
from dynsim.stability.fluctuations import stationary_covariance
from dynsim.stability.linearized import terms
from dynsim.stability.maps import stability_map
from dynsim.stability.ranges import CRITERIA, criteria_of, step_size_range

_SCHEMES = {"SGD": SGD(1.0), "RR": RR(1.0)}  # stability does not depend on their own step sizes
_SHARES = (0.05, 0.2, 0.5, 0.9)  # of SGD's mean-square threshold, at which fluctuations are looked at
_STEP_SIZES = 12  # of the map
_BATCHES = (1, 4, 16)  # of the map, and that of the table
_MAPPED = ("one-step", "deterministic")  # criteria of the map, to which "mean-square" comes from its zeros
_NAMED = 6  # features listed in the title
_CONSTANT = 1e-12  # deviation of a column, as a share of its largest entry, below which it is rounding


@dataclass(frozen=True, eq=False)
class LinearStability:
    """What :func:`compare_stability` finds; all dicts are by the names of the schemes.

    ``spans`` are by criterion first, None where a scheme does not have it. ``residual`` is the largest ‖∇l_n(θ*)‖, 0
    where θ* fits all data; where it does not, ``variances`` are E‖θ − θ*‖² at ``step_sizes`` (k,).
    ``null_space`` is the dimension of the directions that no row depends on.
    """

    problem: LinearModel
    data: Table | None
    spans: dict[str, dict[str, StepSizeRange | None]]
    chart: StabilityMap = field(repr=False)
    residual: float
    step_sizes: np.ndarray
    variances: dict
    null_space: int
    settings: dict

    @property
    def title(self) -> str:
        """What it is about."""
        if self.data is None:
            return self.problem.name
        names = self.data.features
        listed = ", ".join(names if len(names) <= _NAMED else (*names[: _NAMED - 1], f"… ({len(names)} columns)"))
        return f"{self.data.name}: {self.data.target} by {listed}; {self.problem.n_terms} rows"

    def table(self) -> str:
        """The numbers for a terminal."""
        c = self.settings
        rows: list[tuple[str, ...]] = [("", "stable up to step size", "", ""), ("criterion", "SGD", "RR", "RR / SGD")]
        for criterion, spans in self.spans.items():
            rows.append((criterion, *(_cell(span) for span in spans.values()), _ratio(spans["RR"], spans["SGD"])))
        drawn = "one term" if c["batch_size"] == 1 else f"{c['batch_size']} terms"
        lines = [
            f"{self.title}, dim {self.problem.dim}; {drawn} drawn in a step, seed {c['seed']}",
            *self._preparation(),
            "θ* fits all data" if self.residual == 0 else self._misfit(),
            "",
            table(rows),
            "",
            "one-step: E‖θ − θ*‖² grows in no single step, AY Lemma 3.2. mean-square: E‖θ_k − θ*‖² → 0. almost-sure:",
            "θ_k → θ* with probability 1. deterministic: E θ_k → θ* for SGD, as full-batch gradient descent.",
            "[lower, upper]: bounds, where they differ in the digits shown. ±: one standard error.",
        ]
        if self.chart.values.size > 1:
            lines += [
                f"Picture: the mean-square line of RR is the table's at batch size {c['batch_size']}, elsewhere found "
                "by bisection with",
                "short runs, to about 1 %; all other lines are as exact as the table.",
            ]
        if any(_vacuous(spans["RR"]) for spans in self.spans.values()):
            lines.append("lemma, RR: AY (3.11) as printed holds for no step size; one-step is its quadratic form.")
        if self.residual > 0:
            lines += ["", *self._fluctuations()]
        return "\n".join(lines)

    def _preparation(self):
        """What was done to the columns, and what is left out."""
        if self.data is not None:
            yield (
                "columns standardized to mean 0 and deviation 1, intercept added; --raw takes them as they are"
                if self.settings["standardized"]
                else "columns as they are, no intercept"
            )
        if self.null_space > 0:
            yield f"null space of dimension {self.null_space} left out: there nothing moves"

    def _misfit(self):
        return (
            f"θ* does not fit all data: the largest residual gradient ‖∇l_n(θ*)‖ is {number(self.residual, 4)}, so no "
            "step size makes θ_k\nconverge to it. The criteria are those of the feature rows H_n = x_n x_nᵀ: whether "
            "fluctuations about θ* stay bounded"
        )

    def _fluctuations(self):
        rows = [("stationary E‖θ − θ*‖²", *[""] * len(self.variances)), ("step size", *self.variances)]
        rows += [
            (number(eta), *(f"{variance[k]:.4g}" for variance in self.variances.values()))
            for k, eta in enumerate(self.step_sizes)
        ]
        return (
            table(rows),
            "Least squares: exact for SGD, inf beyond its mean-square range. RR: the leading order in the step size.",
        )

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON."""
        return {
            "dynsim": __version__,
            "problem": self.title,
            "settings": self.settings,
            "null_space": self.null_space,
            "largest_residual_gradient": self.residual,
            "criteria": {
                criterion: {name: span and _numbers(span) for name, span in spans.items()}
                for criterion, spans in self.spans.items()
            },
            "stationary_variance": {
                "step_size": self.step_sizes.tolist(),
                **{name: variance.tolist() for name, variance in self.variances.items()},
            },
            "map": {
                "step_size": self.chart.step_sizes.tolist(),
                "batch_size": self.chart.values.astype(int).tolist(),
                "growth": dict(zip(self.chart.names, self.chart.growth.tolist(), strict=True)),
                "stderr": dict(zip(self.chart.names, self.chart.stderr.tolist(), strict=True)),
                "critical_step_size": {
                    criterion: dict(zip(self.chart.names, bounds.tolist(), strict=True))
                    for criterion, bounds in self.chart.critical.items()
                },
            },
        }

    def draw(self):
        """The picture: the map over step size and batch size. Returns a matplotlib Figure."""
        from dynsim.plot import draw_stability

        return draw_stability(self)


def compare_stability(
    problem: LinearModel, *, data: Table | None = None, standardized=False, batch_size=1, rng=0, progress=False
) -> LinearStability:
    """Every criterion of stability for SGD and RR at the least-squares θ*, and growth over step and batch sizes.

    Parameters
    ----------
    problem : LinearModel
        With the square loss.
    data : Table, optional
        What it was made of, for names.
    standardized : bool, optional
        Whether it was standardized and given an intercept, to be told in the table.
    batch_size : int, optional
        Terms drawn in a step, where the criteria are listed.
    rng : int, SeedSequence, Generator or None, optional
        For what is found by simulation.
    progress : bool, optional
        Whether to show progress.
    """
    _check.instance("problem", problem, LinearModel, "a linear model, such as problems.linear_model(X, y)")
    if problem.loss_name != "square":
        raise ArgumentError(f"problem must have the square loss, got {problem.loss_name!r}")
    batch_size = _check.count("batch_size", batch_size)
    seed, key = seed_and_key(rng)
    seed = seed if isinstance(seed, int) else int(key[0])
    methods = {name: replace(scheme, batch_size=batch_size) for name, scheme in _SCHEMES.items()}
    thin = _thin(problem)
    rows = terms(gradients=thin.X, weights=thin.weights)
    spans = _spans(rows, methods, seed, progress)
    return LinearStability(
        problem,
        data,
        spans,
        _map(rows, spans, batch_size, seed, progress),
        *_fluctuations(thin, methods, spans),
        problem.dim - thin.dim + int(spans["deterministic"]["SGD"].details["null_space"]),
        {"batch_size": batch_size, "seed": seed, "standardized": standardized, "intercept": standardized},
    )


def model_of_table(data: Table, *, raw=False) -> LinearModel:
    """Least squares on a table with any number of rows: columns standardized and an intercept, or as they are.

    Parameters
    ----------
    data : Table
        From ``problems.load_data``.
    raw : bool, optional
        Whether columns are taken as they are, without an intercept.

    Raises
    ------
    ArgumentError
        If a column is constant, or the squares of its entries overflow.
    """
    X, y = data.X, data.y
    if not raw:
        columns = {**dict(zip(data.features, X.T, strict=True)), data.target: y}
        for name, column in columns.items():
            with np.errstate(over="ignore", invalid="ignore"):
                spread = column.std()
            if not np.isfinite(spread):
                raise ArgumentError(f"column {name!r} of {data.name} cannot be standardized: its squares overflow")
            if spread <= _CONSTANT * np.abs(column).max():
                raise ArgumentError(
                    f"column {name!r} of {data.name} is constant, so it cannot be standardized: leave it out, or take "
                    "columns as they are with --raw"
                )
        X, y = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
        X = np.column_stack([np.ones(len(X)), X])
    return LinearModel(X, y, "square", weights=np.full(len(X), 1 / len(X)))


def _thin(problem):
    """The same in no more coordinates than rows: a rotation, on which no criterion depends."""
    if problem.n_terms >= problem.dim:
        return problem
    left, sizes, _ = np.linalg.svd(problem.X, full_matrices=False)
    return LinearModel(left * sizes, problem.y, "square", weights=problem.weights)


def _spans(rows, methods, seed, progress):
    """All criteria that one of the methods has, the strictest first."""
    spans: dict = {criterion: dict.fromkeys(methods) for criterion in CRITERIA}
    cells = [(c, name) for name, method in methods.items() for c in criteria_of(rows, method)]
    for criterion, name in tqdm(cells, desc="criteria", leave=False, delay=1, disable=None if progress else True):
        spans[criterion][name] = step_size_range(rows, methods[name], criterion=criterion, rng=seed)
    return {criterion: of for criterion, of in spans.items() if any(of.values())}


def _map(rows, spans, batch_size, seed, progress):
    """From well below the smallest critical step size of one drawn term to beyond the largest there is."""
    least, most = step_size_range(rows, _SCHEMES["SGD"]).max, spans["deterministic"]["SGD"].max
    batches = sorted({min(B, rows.n_terms) for B in _BATCHES} | {batch_size})
    chart = stability_map(
        rows,
        _SCHEMES,
        np.geomspace(0.4 * least, 1.6 * most, _STEP_SIZES),
        batch_sizes=batches,
        criteria=_MAPPED,
        rng=seed,
        progress=progress,
    )
    growing = chart.zeros.copy()
    growing[:, batches.index(batch_size)] = [(span.lower, span.upper) for span in spans["mean-square"].values()]
    one_step, deterministic = (chart.critical[name] for name in _MAPPED)
    return replace(chart, critical={"one-step": one_step, "mean-square": growing, "deterministic": deterministic})


def _fluctuations(problem, methods, spans) -> tuple[float, np.ndarray, dict]:
    """Largest ‖∇l_n(θ*)‖, and if it is not 0, step sizes and the stationary variances there."""
    fitted = terms(problem, problem.least_squares())
    if fitted.gradients is None:
        return 0.0, np.zeros(0), {}
    step_sizes = spans["mean-square"]["SGD"].max * np.array(_SHARES)
    found = {name: stationary_covariance(fitted, method, step_sizes=step_sizes) for name, method in methods.items()}
    variances = {name: result.variance for name, result in found.items()}
    return float(np.linalg.norm(fitted.gradients, axis=1).max()), step_sizes, variances


def _vacuous(span):
    return span is not None and bool(span.details.get("vacuous"))


def _middle(span):
    """Estimate and standard error of a critical step size that was found by simulation, else None."""
    error = float(span.details.get("stderr", 0.0))
    return (0.5 * (span.lower + span.upper), error) if error > 0 else None


def _cell(span):
    """A critical step size with what is not known of it."""
    if span is None:
        return "-"
    if _vacuous(span):
        return "0 (vacuous)"
    if _middle(span) is not None:
        return with_error(*_middle(span))
    return _interval(span.lower, span.upper, 4)


def _interval(low, high, digits):
    """Bounds; one number where they agree to the digits shown."""
    low, high = number(low, digits), number(high, digits)
    return low if low == high else f"[{low}, {high}]"


def _ratio(above, below):
    """How many times larger one critical step size is than another."""
    if above is None or below is None or _vacuous(above):
        return "-"
    if _middle(above) is None and _middle(below) is None:
        return _interval(above.lower / below.upper, above.upper / below.lower, 3)
    (a, a_error), (b, b_error) = (_middle(span) or (0.5 * (span.lower + span.upper), 0.0) for span in (above, below))
    return with_error(a / b, a / b * math.hypot(a_error / a, b_error / b))


def _numbers(span):
    found = {"lower": span.lower, "upper": span.upper, "exact": span.exact}
    found |= {name: float(span.details[name]) for name in ("stderr", "null_space") if name in span.details}
    return found | {"vacuous": True} if _vacuous(span) else found
