"""Gradient descent across the edge of stability: what it settles on, against the step size."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import __version__, _check
from dynsim.compare.text import number, table, with_error
from dynsim.dynamics import Bifurcation, LyapunovExponents, bifurcation, descent, lyapunov_exponents
from dynsim.errors import ArgumentError, InfiniteVariance, TooShort
from dynsim.landscape import minima, sharpness
from dynsim.methods import SGD
from dynsim.problems import Problem

_SPAN = (0.5, 2.5)  # default range of step sizes, of the edge of stability 2/sharpness
_ASIDE = 0.03  # how far beside a minimum orbits start, of the box or of the minimum's size
_MOST_STARTS = 4
_MOST_ROWS = 16  # of the table
_STEPS = 8000  # behind each exponent
_STDERRS = 4  # by which an exponent is above 0 for chaos

QUANTITIES = ("loss", "gradient-norm", "coordinate")


@dataclass(frozen=True, eq=False)
class EdgeOfStability:
    """A bifurcation diagram over step sizes, with Lyapunov exponents; see :func:`edge_of_stability`."""

    problem: Problem
    edge: float
    diagram: Bifurcation = field(repr=False)
    exponents: dict[float, list[LyapunovExponents]] = field(repr=False)
    notes: list[str] = field(repr=False)
    settings: dict

    def stretches(self) -> list[tuple[float, float, tuple]]:
        """Consecutive step sizes at which the orbits do the same: the first, the last, and what each start does."""
        found: list[tuple[float, float, tuple]] = []
        for value, period, gone in zip(self.diagram.values, self.diagram.period, self.diagram.diverged, strict=True):
            what = tuple(sorted({-1 if d else int(p) for p, d in zip(period, gone, strict=True)}))
            low = found.pop()[0] if found and found[-1][2] == what else value
            found.append((float(low), float(value), what))
        return found

    def table(self) -> str:
        """The numbers for a terminal."""
        rows = [("", "", "largest exponent"), ("step sizes", "descent settles on", "in the middle, per step")]
        stretches = self.stretches()
        for low, high, what in stretches[:_MOST_ROWS]:
            span = number(low, 4) if low == high else f"{low:.4g} to {high:.4g}"
            found = next((self.exponents[eta] for eta in self.exponents if low <= eta <= high), [])
            rows.append((span, " or ".join(_said(period, found) for period in what), _range(found)))
        lines = [
            f"{self.problem.name}: gradient descent from {self.settings['start']}; it is stable at its lowest minimum "
            f"below 2/sharpness = {number(self.edge, 4)}"
            if np.isfinite(self.edge)
            else f"{self.problem.name}: gradient descent from {self.settings['start']}",
            "",
            table(rows),
        ]
        if len(stretches) > _MOST_ROWS:
            lines.append(f"and {len(stretches) - _MOST_ROWS} more stretches, in the file")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON."""
        return {
            "dynsim": __version__,
            "problem": self.problem.name,
            "edge_of_stability": self.edge,
            "settings": self.settings,
            "step_size": self.diagram.values.tolist(),
            "period": self.diagram.period.tolist(),
            "diverged": self.diagram.diverged.tolist(),
            "points": self.diagram.points.tolist(),
            "observable": self.diagram.observable,
            "exponents": {
                f"{eta:.10g}": [{"value": float(e.value[0]), "stderr": float(e.stderr[0])} for e in found]
                for eta, found in self.exponents.items()
            },
            "notes": self.notes,
        }

    def draw(self):
        """The picture: the diagram, with the edge of stability. Returns a matplotlib Figure."""
        from dynsim.plot import draw_edge

        return draw_edge(self)


def edge_of_stability(
    problem: Problem,
    *,
    low: float | None = None,
    high: float | None = None,
    n_values: int = 400,
    quantity: str = "loss",
    x0=None,
    burn_in: int = 2000,
) -> EdgeOfStability:
    """What full-batch gradient descent settles on, for step sizes about the edge of stability 2/sharpness.

    Parameters
    ----------
    problem : Problem
    low, high : float, optional
        Range of the step sizes; by default half to two and a half times the edge at the lowest minimum.
    n_values : int, optional
        Step sizes in it.
    quantity : {"loss", "gradient-norm", "coordinate"}, optional
        What is drawn; the first coordinate.
    x0 : array_like, optional
        Start; by default a little beside each known minimum.
    burn_in : int, optional
        Steps before those that are looked at.
    """
    _check.choice("quantity", quantity, QUANTITIES)
    points = _minima(problem)
    edge = np.inf if not len(points) else 2 / max(float(sharpness(problem, points[0])[0]), 1e-300)
    if edge > 1e100:  # a kink, or flat
        edge = np.inf
    if (low is None or high is None) and not np.isfinite(edge):
        raise ArgumentError(f"low and high must be given, as {problem.name} has no edge 2/sharpness to put them about")
    low = _check.positive("low", _SPAN[0] * edge if low is None else low)
    high = _check.positive("high", _SPAN[1] * edge if high is None else high)
    if low >= high:
        raise ArgumentError(f"low must be below high, got {low:g} and {high:g}")
    values = np.linspace(low, high, _check.count("n_values", n_values, least=2))
    start, said = _starts(problem, points, x0)

    def family(eta):
        return descent(problem, SGD(eta, batch_size="full"))

    observable = {
        "loss": problem.loss,
        "gradient-norm": lambda x: np.linalg.norm(problem.gradient(x), axis=-1),
        "coordinate": lambda x: x[..., 0],
    }[quantity]
    diagram = bifurcation(family, values, x0=start, observable=observable, burn_in=burn_in)
    settings = {"start": said, "quantity": quantity, "burn_in": burn_in}
    comparison = EdgeOfStability(problem, edge, diagram, {}, [], settings)
    for first, last, what in comparison.stretches()[:_MOST_ROWS]:
        if -1 in what:
            continue
        eta = values[np.abs(values - 0.5 * (first + last)).argmin()]
        for number_of_start, point in enumerate(start):
            try:
                found = lyapunov_exponents(family(eta), point, n_steps=_STEPS, n_exponents=1)
            except (TooShort, InfiniteVariance, ArgumentError) as error:
                comparison.notes.append(f"no exponent at step size {eta:.4g} from start {number_of_start}: {error}")
            else:
                comparison.exponents.setdefault(float(eta), []).append(found)
    return comparison


def _minima(problem):
    if problem.minima is not None:
        return problem.minima
    return minima(problem).minima if problem.bounds is not None else np.empty((0, problem.dim))


def _starts(problem, points, x0):
    """Where orbits start, (n_starts, dim), and that in words."""
    if x0 is not None:
        start = _check.start("x0", x0, 1, problem.dim)
        return start, str(start[0].tolist())
    if not len(points):
        raise ArgumentError(f"x0 must be given, as no minima of {problem.name} are known")
    few = points[:_MOST_STARTS]
    size = np.ptp(problem.bounds, axis=1) if problem.bounds is not None else 1 + np.abs(few).max(axis=0)
    return few + _ASIDE * size * np.cos(1.0 + np.arange(problem.dim)), "beside each minimum"


def _said(period, exponents):
    if period == 0:
        chaotic = any(found.value[0] > _STDERRS * found.stderr[0] for found in exponents)
        return "chaos" if chaotic else "no cycle found yet" if exponents else "no cycle: chaos or a slow approach"
    return {-1: "nothing: it diverges", 1: "a fixed point"}.get(period, f"a cycle of {period}")


def _range(exponents):
    """The largest exponent, or its range over starts that disagree by more than their errors."""
    if not exponents:
        return "-"
    low, high = (choose(exponents, key=lambda found: found.value[0]) for choose in (min, max))
    error = max(float(low.stderr[0]), float(high.stderr[0]))
    if high.value[0] - low.value[0] <= _STDERRS * error + 1e-3 * abs(high.value[0]):
        return with_error(float(high.value[0]), error)
    return f"{low.value[0]:.4g} to {high.value[0]:.4g}, by start"
