"""Where each of several schemes ends up: its SDE, its chain and a run of it, by the masses of the minima's basins."""

from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from dynsim import __version__, _check
from dynsim._ensemble import whole_runs
from dynsim._typing import Region
from dynsim.chain import iterate
from dynsim.compare.text import number, probability, table
from dynsim.errors import ArgumentError, NotApplicable, TooLarge, Unresolved
from dynsim.landscape import minima
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import Density, Trajectories
from dynsim.sde import sde_limit
from dynsim.stationary import (
    LargeDeviations,
    invariant_measure,
    large_deviations,
    markov_chain,
    stationary_density,
)
from dynsim.theory import lemma_2_1

_CELLS = {1: 4000, 2: 128}
_RASTER = {1: 2000, 2: 96}  # points along each axis at which the basin is looked up
_PLACES = (0.5137, 0.4929)  # in a cell, about its middle: a symmetric raster has points that run to saddles forever
_SAVED = 40  # states of a run that are kept, from its second half
_LISTED = 3  # minima in the table


@dataclass(frozen=True, eq=False)
class View:
    """One answer to where a scheme ends up.

    Attributes
    ----------
    name : str
        "SDE", "chain on a grid", "chain on its lattice", "AY Lemma 2.1" or "run".
    law : Density or Trajectories
    log_mass : ndarray, shape (n_minima + 1,)
        Logarithms of the probabilities of the basins; the last is what lies in none.
    error : ndarray, shape (n_minima + 1,)
        Of the probabilities: change from half as many cells, or standard error of a run; 0 for exact ones.
    note : str
        What is wrong with it, or nothing.
    """

    name: str
    law: Density | Trajectories = field(repr=False)
    log_mass: np.ndarray
    error: np.ndarray
    note: str


@dataclass(frozen=True, eq=False)
class StationaryComparison:
    """The views of each scheme side by side; see :func:`compare_stationary`."""

    problem: Problem
    minima: np.ndarray
    views: dict[str, tuple[View, ...]]
    exponents: dict[str, LargeDeviations]
    notes: tuple[str, ...]
    settings: dict

    def table(self) -> str:
        """The numbers for a terminal."""
        shown = self.minima[:_LISTED]
        rows = [
            ("", "", *["mass of the basin of"] * bool(len(shown)), *[""] * (len(shown) - 1), "", "", ""),
            ("scheme", "view", *(_point(x) for x in shown), "elsewhere", "mean", "deviation"),
        ]
        for name, views in self.views.items():
            for k, view in enumerate(views):
                masses = [_mass(view, j) for j in range(len(shown))] + [_rest(view, len(shown))]
                mean, deviation = _moments(view.law)
                rows.append((name if k == 0 else "", view.name, *masses, _point(mean), _point(deviation)))
        c = self.settings
        lines = [f"{self.problem.name}, step size {c['step_size']:g}", "", _left(rows), ""]
        if c["n_paths"]:
            lines.append(
                f"Run: {c['n_paths']} paths from {_point(c['x0'])}, steps {c['n_steps'] // 2} to {c['n_steps']}, seed "
                f"{c['seed']}; it need not have forgotten its start."
            )
        lines += [
            "Chain and SDE are different processes: their masses need not agree. ± is the change from half as many",
            "cells, or one standard error of a run; where it is left out, it is below the last digit or the law exact.",
        ]
        for name, found in self.exponents.items():
            best = ["none alone" if side.winner is None else f"{side.winner:.4g}" for side in (found.chain, found.sde)]
            lines.append(f"{name}: as the step size goes to 0, the chain ends up at {best[0]}, its SDE at {best[1]}")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict:
        """The numbers with their settings, ready for JSON."""
        return {
            "dynsim": __version__,
            "problem": self.problem.name,
            "settings": self.settings,
            "minima": self.minima.tolist(),
            "schemes": {
                name: {
                    view.name: {
                        "log_mass_of_basins": view.log_mass.tolist(),
                        "error": view.error.tolist(),
                        "mean": _moments(view.law)[0].tolist(),
                        "deviation": _moments(view.law)[1].tolist(),
                        "refinement_gap": getattr(view.law, "refinement_gap", None),
                        "note": view.note,
                    }
                    for view in views
                }
                for name, views in self.views.items()
            },
            "notes": list(self.notes),
        }

    def draw(self):
        """The picture: densities over each other, or side by side in two dimensions. Returns a matplotlib Figure."""
        from dynsim.plot import draw_stationary

        return draw_stationary(self)


@whole_runs()
def compare_stationary(
    problem: Problem,
    methods: dict[str, Method],
    *,
    bounds=None,
    n_cells=None,
    x0=None,
    n_steps: int = 20_000,
    n_paths: int = 200,
    rng=0,
    threads=None,
    progress: bool = False,
) -> StationaryComparison:
    """Where each of several methods ends up, in all views that there are.

    Parameters
    ----------
    problem : Problem
        Of dimension 1 or 2.
    methods : dict of Method
        By the names they have in the table; all with the same step size.
    bounds : array_like, optional
        The box; ``problem.bounds`` by default.
    n_cells : int, optional
        Cells along each axis; by default 4000 for dim 1, 128 for dim 2.
    x0 : array_like, optional
        Start of the run, and of the chain on its lattice; the lowest minimum by default.
    n_steps, n_paths, rng, threads, progress
        Of the run, as in :func:`dynsim.iterate`; its second half counts, of at least 80 steps. ``n_paths=0`` leaves it
        out.

    Raises
    ------
    NotApplicable
        If the problem has more than two dimensions, or no box is known.
    """
    if problem.dim not in _CELLS:
        raise NotApplicable(f"{problem.name} has dim {problem.dim}; densities on a grid are for dim 1 and 2 here")
    if bounds is None and problem.bounds is None:
        raise ArgumentError(f"bounds must be given, as {problem.name} does not know where it is interesting")
    n_steps = _check.count("n_steps", n_steps, least=2 * _SAVED)
    n_paths = _check.count("n_paths", n_paths, least=0)
    if x0 is not None:
        x0 = _check.start("x0", x0, 1, problem.dim)[0]
    box = problem.bounds if bounds is None else _check.box("bounds", bounds, problem.dim)
    n_cells = _CELLS[problem.dim] if n_cells is None else _check.count("n_cells", n_cells, least=4)
    points = minima(problem, bounds=box)
    found = points.minima
    basin = Basins(points, box) if len(found) else None
    start = _start(problem, found, box) if x0 is None else x0
    step_sizes = {method.step_size for method in methods.values()}
    settings = {
        "step_size": step_sizes.pop(),
        "bounds": box.tolist(),
        "n_cells": n_cells,
        "x0": start.tolist(),
        "n_steps": n_steps,
        "n_paths": n_paths,
        "seed": rng,
    }
    views, exponents, notes = {}, {}, []
    for name, method in methods.items():
        answers = _answers(problem, method, box if problem.dim > 1 else box[0], n_cells, start)
        kept = []
        for view, answer in answers.items():
            try:
                law, note = answer(), ""
            except Unresolved as error:
                law, note = error.result, str(error).split(" (the result")[0]
            except (NotApplicable, TooLarge) as error:
                if view != _LATTICE and view != _LEMMA:
                    notes.append(f"{name}, {view}: {error}")
                continue
            kept.append(_view(view, law, basin, len(found), note))
            if note:
                notes.append(f"{name}, {view}: {note}")
        if n_paths:
            run = iterate(
                problem,
                method,
                start,
                n_steps=n_steps,
                n_paths=n_paths,
                rng=settings["seed"],
                save_every=n_steps // (2 * _SAVED),
                threads=threads,
                progress=progress,
            )
            settings["seed"] = run.settings["seed"]
            if run.n_diverged:
                notes.append(f"{name}, run: {run.n_diverged} of {run.n_paths} paths diverged, and are left out")
            if run.n_diverged < run.n_paths:
                kept.append(_of_run(run, basin, len(found)))
        views[name] = tuple(kept)
        if problem.dim == 1:
            with suppress(NotApplicable, ArgumentError):
                exponents[name] = large_deviations(problem, method, box[0])
    return StationaryComparison(problem, found, views, exponents, tuple(notes), settings)


def _start(problem, found, box):
    """The lowest minimum; beside it, as :func:`compare_on_valleys` does, where rounding would decide about a kink."""
    start = found[0] if len(found) else box.mean(axis=1)
    return 1.25 * start if np.isin(start, problem.kinks).any() else start


_LATTICE, _LEMMA = "chain on its lattice", "AY Lemma 2.1"


def _answers(problem, method, box, n_cells, start):
    """The laws of a method, by the names of the views."""
    return {
        "SDE": lambda: stationary_density(sde_limit(problem, method), box, n_cells),
        "chain on a grid": lambda: invariant_measure(problem, method, box, n_cells),
        _LATTICE: lambda: markov_chain(problem, method, x0=start, max_states=20_000).stationary(),
        _LEMMA: lambda: lemma_2_1(problem, method, bounds=tuple(box), n_cells=n_cells),
    }


class Basins:
    """The basins of the minima in a box of dimension 1 or 2, looked up on a raster of points."""

    def __init__(self, points, box):
        n = _RASTER[len(box)]
        self.low, self.width, self.n = box[:, 0], (box[:, 1] - box[:, 0]) / n, n
        axes = [
            low + width * (np.arange(n) + place)
            for low, width, place in zip(self.low, self.width, _PLACES, strict=False)
        ]
        self.number = points.basin(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        self.box = box

    def region(self, number, *, beyond: bool = False) -> Region:
        """The basin of a minimum in the box; with ``beyond``, points outside count like the nearest one inside."""

        def inside(theta):
            index = np.floor((theta - self.low) / self.width).astype(np.int64)
            valid = beyond | ((index >= 0) & (index < self.n)).all(axis=-1)
            index = np.clip(index, 0, self.n - 1)
            return valid & (self.number[tuple(np.moveaxis(index, -1, 0))] == number)

        return inside


def _view(name, law, basins, n_minima, note):
    log_mass = np.array([law.log_probability(basins.region(j)) for j in range(n_minima)])
    coarser = law.coarser
    error = np.zeros(n_minima + 1)
    if law.grid is not None and coarser is None and name != _LEMMA:
        error[:] = np.nan
    elif coarser is not None:
        error[:-1] = [abs(np.exp(a) - coarser.probability(basins.region(j))) for j, a in enumerate(log_mass)]
    rest = max(0.0, 1 - np.exp(log_mass).sum()) if n_minima else 1.0
    rest = 0.0 if rest < 1e-12 else rest
    with np.errstate(divide="ignore"):
        return View(name, law, np.append(log_mass, np.log(rest)), error, note)


def _of_run(run, basins, n_minima):
    """The second half of a run; paths are independent, so their averages over time give the standard error."""
    late = run.t >= run.t[-1] / 2
    kept = Trajectories(run.x[:, late], run.t[late], run.diverged, run.settings, run.complete)
    good = ~np.isfinite(run.diverged)
    shares = np.array([basins.region(j)(kept.x[good]).mean(axis=1) for j in range(n_minima)]).reshape(n_minima, -1)
    shares = np.concatenate([shares, 1 - shares.sum(axis=0, keepdims=True)])
    n = max(2, int(good.sum()))
    with np.errstate(divide="ignore"):
        log_mass = np.log(np.maximum(shares.mean(axis=1), 0.0))
    stderr = shares.std(axis=1, ddof=1) / np.sqrt(n)
    extreme = 2 / (n + 4)  # the add-two rule, where no path or every path has been in a basin
    return View("run", kept, log_mass, np.where(stderr > 0, stderr, np.sqrt(extreme * (1 - extreme) / (n + 4))), "")


def _moments(law):
    """Mean and standard deviation of each coordinate."""
    if isinstance(law, Density):
        return law.mean, np.sqrt(np.diag(law.cov))
    x = law.x[~np.isfinite(law.diverged)].reshape(-1, law.dim)
    return x.mean(axis=0), x.std(axis=0)


def _mass(view, j):
    error = view.error[j]
    if view.name == "run":
        return f"{np.exp(view.log_mass[j]):.4f} ± {error:.4f}"
    mass = probability(float(view.log_mass[j]))
    if np.isnan(error):
        return f"{mass} ± ?"
    return f"{mass} ± {number(error, 1)}" if error > 5e-5 * np.exp(view.log_mass[j]) else mass


def _rest(view, n_shown):
    rest = float(np.exp(view.log_mass[n_shown:]).sum())
    return "0" if rest < 1e-12 else number(rest, 2)


def _point(x):
    return number(float(x[0]), 4) if len(x) == 1 else "(" + ", ".join(number(float(c), 3) for c in x) + ")"


def _left(rows):
    """A table whose first two columns are aligned to the left."""
    width = max(len(row[1]) for row in rows)
    return table([(f"{row[0]:<9}{row[1]:<{width}}", *row[2:]) for row in rows])
