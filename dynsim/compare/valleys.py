"""SGD, RR and Balanced on AY §2.1: who stays at the sharp global minimum?"""

from dataclasses import dataclass, field

import numpy as np

from dynsim import __version__, _check
from dynsim._ensemble import whole_runs
from dynsim.chain import iterate
from dynsim.compare.text import diverged_line, number, probability, table
from dynsim.errors import ArgumentError, NotApplicable, TooLarge, Unresolved
from dynsim.methods import RR, SGD
from dynsim.problems.two_valleys import TwoValleys
from dynsim.results import Density, StepSizeRange, Trajectories
from dynsim.sampling import Balanced
from dynsim.sde import sde_limit
from dynsim.stability import step_size_range
from dynsim.stationary import markov_chain, stationary_density

_SAVED = 2500  # points in time kept of all paths
_LISTED = 100  # of these in the JSON, evenly on a logarithmic axis
_EVERY_STEP = 10_000_000  # positions kept of the few paths that are kept at every step, for trajectories and occupation
_FEW, _MANY = 6, 200  # how many such paths
_RESOLVED = 1e-2  # refinement gap of the SDE's density above which the table says so
_FAR = 1e6  # starts farther out than this see no valley
_MARGIN = 0.1  # of the visited interval, added at both ends for the density


@dataclass(frozen=True, eq=False)
class ValleyScheme:
    """What is known of one scheme.

    ``fraction`` and ``stderr`` (n_saved,) are the simulated probability of being in the valley of the global minimum;
    ``exact`` (n_saved,) the same from the chain, which like ``chain_law`` and ``log_time_to_leave`` is None where the
    chain cannot be solved; ``sde_density`` is None where it is not unique. ``every_step`` is the first few paths again
    without gaps: what oscillates with a period of two would look at rest at every tenth step.
    """

    name: str
    method: SGD
    trajectories: Trajectories = field(repr=False)
    every_step: Trajectories = field(repr=False)
    fraction: np.ndarray = field(repr=False)
    stderr: np.ndarray = field(repr=False)
    exact: np.ndarray | None = field(repr=False)
    sde_density: Density | None
    chain_law: Density | None
    log_time_to_leave: float | None
    on_kinks: int
    holds: StepSizeRange


@dataclass(frozen=True, eq=False)
class ValleyComparison:
    """The schemes side by side; see :func:`compare_on_valleys`."""

    problem: TwoValleys
    schemes: tuple[ValleyScheme, ...]
    settings: dict

    def in_valley(self, theta):
        """The region: the valley of the global minimum."""
        low, high = self.problem.basin(self.problem.minima[0])
        return (theta[..., 0] > low) & (theta[..., 0] < high)

    def table(self) -> str:
        """The numbers for a terminal."""
        steps = self.settings["n_steps"]
        rows = [
            ("", "in the valley after", f"{steps} steps", "stationary", "mass of it", "mean steps", "holds below"),
            ("scheme", "simulated", "exact", "SDE", "chain", "to leave it", "step size"),
        ]
        for s in self.schemes:
            with np.errstate(divide="ignore"):
                exact = None if s.exact is None else float(np.log(s.exact[-1]))
            rows.append(
                (
                    s.name,
                    f"{s.fraction[-1]:.4f} ± {s.stderr[-1]:.4f}",
                    probability(exact),
                    probability(s.sde_density and s.sde_density.log_probability(self.in_valley)),
                    probability(s.chain_law and s.chain_law.log_probability(self.in_valley)),
                    probability(s.log_time_to_leave),
                    number(s.holds.max),
                )
            )
        best = self.problem.minima[0, 0]
        c = self.settings
        lines = [
            f"{self.problem.name}: global minimum at {best:g}, valley {'θ > 0' if best > 0 else 'θ < 0'}",
            f"step size {c['step_size']:g}, start {c['x0']:g}, paths {c['n_paths']}, seed {c['seed']}",
            "",
            table(rows),
            "",
            "± one standard error. SGD: uniform, AY (3.2). RR: by gradient norm, AY (3.5). Balanced: fixed",
            "proportions, AY §2.1. Chain and SDE are different processes: their masses need not agree.",
            "Holds: below that step size no single step from the minimum leaves the valley.",
        ]
        lines += [diverged_line(s.name, s.trajectories) for s in self.schemes if s.trajectories.n_diverged]
        lines += [
            f"{s.name}: the chain has too many states to be solved exactly, so these numbers are left out"
            for s in self.schemes
            if s.chain_law is None
        ]
        lines += [
            f"{s.name}: paths can land exactly on a kink, where rounding decides the side that a simulated path takes: "
            "simulated and exact numbers may differ; a slightly different start avoids it"
            for s in self.schemes
            if s.on_kinks
        ]
        lines += [
            f"{s.name}: the SDE's density is not resolved, refinement gap {s.sde_density.refinement_gap:.2g}"
            for s in self.schemes
            if s.sde_density is not None and s.sde_density.refinement_gap > _RESOLVED
        ]
        lines += [
            f"{s.name}: the SDE has too little noise between the valleys for a unique stationary density"
            for s in self.schemes
            if s.sde_density is None
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON. Masses come as logarithms too, since some underflow."""
        return {
            "dynsim": __version__,
            "problem": self.problem.name,
            "settings": self.settings,
            "global_minimum": self.problem.minima[0].tolist(),
            "schemes": {s.name: self._numbers(s) for s in self.schemes},
        }

    def _numbers(self, s):
        steps = s.trajectories.t.size
        some = np.unique(np.append(0, np.geomspace(1, steps - 1, min(_LISTED, steps - 1)).astype(int)))
        log_chain = s.chain_law and s.chain_law.log_probability(self.in_valley)
        log_sde = s.sde_density and s.sde_density.log_probability(self.in_valley)
        return {
            "method": repr(s.method),
            "in_valley": {
                "step": s.trajectories.t[some].tolist(),
                "simulated": s.fraction[some].tolist(),
                "stderr": s.stderr[some].tolist(),
                "exact": None if s.exact is None else s.exact[some].tolist(),
            },
            "stationary": {
                "sde_log_mass": log_sde,
                "sde_mass": None if log_sde is None else float(np.exp(log_sde)),
                "sde_refinement_gap": s.sde_density and s.sde_density.refinement_gap,
                "sde_boundary_mass": s.sde_density and s.sde_density.boundary_mass,
                "chain_log_mass": log_chain,
                "chain_mass": None if log_chain is None else float(np.exp(log_chain)),
            },
            "log_mean_steps_to_leave": s.log_time_to_leave,
            "states_on_kinks": s.on_kinks,
            "largest_step_size_that_holds": s.holds.max,
            "diverged": s.trajectories.n_diverged,
        }

    def draw(self):
        """The picture: landscape, staying, trajectories, occupation. Returns a matplotlib Figure."""
        from dynsim.plot import draw_valleys

        return draw_valleys(self)


@whole_runs()
def compare_on_valleys(
    problem, step_size, *, x0=None, n_steps=5000, n_paths=2000, rng=0, n_cells=20_000, threads=None, progress=False
) -> ValleyComparison:
    """Run SGD, RR and Balanced on ``problems.two_valleys`` with one step size and the same random numbers.

    Parameters
    ----------
    problem : Problem
        ``problems.two_valleys(...)``.
    step_size : float
    x0 : float, optional
        Start; 1.25 times the global minimum by default, which is 0.25 for K = 5, as in AY Fig 1.
    n_steps, n_paths, rng, threads, progress
        As in :func:`dynsim.iterate`.
    n_cells : int, optional
        Cells of the Fokker–Planck density.
    """
    x0 = 1.25 * float(problem.minima[0, 0]) if x0 is None else _check.real("x0", x0)
    if abs(x0) > _FAR:
        raise ArgumentError(f"x0 must lie within {_FAR:g} of 0, where the valleys are, got {x0:g}")
    methods = (SGD(step_size), RR(step_size), SGD(step_size, Balanced()))
    n_steps = _check.count("n_steps", n_steps)
    settings = {"step_size": methods[0].step_size, "x0": x0, "n_steps": n_steps, "n_paths": n_paths, "seed": rng}
    settings["n_cells"] = n_cells
    comparison = ValleyComparison(problem, (), settings)
    schemes = []
    for method in methods:
        run = iterate(
            problem,
            method,
            x0,
            n_steps=n_steps,
            n_paths=n_paths,
            rng=rng,
            save_every=max(1, n_steps // _SAVED),
            threads=threads,
            progress=progress,
        )
        rng = settings["seed"] = run.settings["seed"]  # the next scheme sees the same numbers, whatever rng was
        few = min(n_paths, max(_FEW, min(_MANY, _EVERY_STEP // n_steps)))
        every_step = iterate(problem, method, x0, n_steps=n_steps, n_paths=few, rng=rng, threads=threads)
        schemes.append(_scheme(problem, method, run, every_step, x0, comparison.in_valley, n_cells))
    return ValleyComparison(problem, tuple(schemes), settings)


def _scheme(problem, method, run, every_step, x0, in_valley, n_cells):
    fraction, stderr = run.fraction(in_valley)
    low = min(problem.bounds[0, 0], run.x.min())
    high = max(problem.bounds[0, 1], run.x.max())
    margin = _MARGIN * (high - low)
    return ValleyScheme(
        name=method.name,
        method=method,
        trajectories=run,
        every_step=every_step,
        fraction=fraction,
        stderr=stderr,
        sde_density=_density(problem, method, (low - margin, high + margin), n_cells),
        holds=step_size_range(problem, method, at=problem.minima[0]),
        **_from_chain(problem, method, x0, in_valley, run.t),
    )


def _density(problem, method, bounds, n_cells) -> Density | None:
    try:
        return stationary_density(sde_limit(problem, method), bounds, n_cells)
    except Unresolved as error:  # the table says so
        return error.result
    except NotApplicable:
        return None


def _from_chain(problem, method, x0, in_valley, steps):
    """What the exact chain says, or nothing where it has too many states or too small probabilities."""
    try:
        chain = markov_chain(problem, method, x0=x0)
        return {
            "exact": chain.occupation(in_valley, steps),
            "chain_law": chain.stationary(),
            "log_time_to_leave": chain.log_mean_hitting_time(lambda theta: ~in_valley(theta)),
            "on_kinks": chain.on_kinks.size,
        }
    except (NotApplicable, TooLarge):
        return {"exact": None, "chain_law": None, "log_time_to_leave": None, "on_kinks": 0}
