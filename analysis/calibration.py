"""How often 95 % intervals for a mean contain it: dynsim's beside those of arviz-stats, emcee and pymbar.

    python analysis/calibration.py                      all processes, 1000 replications each (hours on one core)
    python analysis/calibration.py --quick              one split, few replications: under a minute
    python analysis/calibration.py --only ar-0.95 rotating --replications 2000 --jobs 8 --output results/calibration

All estimators see the same series, of processes whose mean and true standard error are known exactly
(``_processes.py``); 20 000 observations are split into few long or many short chains, which start in equilibrium.
Printed are tables in Markdown; ``--output`` also writes them, calibration.json and calibration.png. The peers come
with the extra ``peers``.
"""

import argparse
import json
import time
import warnings
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from _peers import REACH, installed
from _processes import PROCESSES

import dynsim as ds
from dynsim.averages import ESTIMATORS
from dynsim.ergodic.averages import time_average

SEED = 0
CHUNK = 50  # replications that are in memory together
SPLITS = ((100, 200), (16, 1250), (4, 5000), (1, 20000))  # chains and their lengths
QUICK_SPLITS, QUICK_REPLICATIONS = ((16, 1250),), 20
BAND = (0.93, 0.97)
NAIVE, EXACT, OURS = "as if independent", "true error", "dynsim"


def by_dynsim(method):
    """Our estimator of that name."""

    def interval(series):
        refused = ""
        try:
            found = time_average(series[..., None], burn_in=0, method=method)
        except (ds.errors.TooShort, ds.errors.NotApplicable) as error:
            found, refused = getattr(error, "estimate", None), type(error).__name__
        if found is None:
            return series.mean(), np.nan, refused
        low, high = found.interval(0.95)
        return found.value.item(), (high - low).item() / 2, refused

    return interval


def naive(series):
    """√(Var/N): what is right for independent values only."""
    return series.mean(), REACH * series.std(ddof=1) / np.sqrt(series.size), ""


def all_estimators():
    """Estimators by name, each series (n_paths, n) -> value, half-width, why it refused; and the missing packages."""
    ours = {OURS if k == 0 else f"{OURS}, {method}": by_dynsim(method) for k, method in enumerate(ESTIMATORS)}
    peers, missing = installed()
    return {**ours, **peers, NAIVE: naive}, missing


def outcomes(name, split, replications, chunk, labels, seed=SEED):
    """Value, half-width and seconds of each estimator for a chunk of replications, and why each refused or warned."""
    process, (n_paths, n) = PROCESSES[name](), split
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), n_paths, chunk])
    data = process.draw(rng, replications * n_paths, n).reshape(replications, n_paths, n)
    half = REACH * process.stderr(n_paths, n)
    known = {**all_estimators()[0], EXACT: lambda series: (series.mean(), half, "")}
    return {label: [timed(known[label], series) for series in data] for label in labels}


def timed(estimator, series):
    """(value, half-width, why it refused, whether it warned, seconds)."""
    begun = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, half, refused = estimator(series)
    if not (refused or np.isfinite(half)):
        refused = "nan"
    warned = any(issubclass(w.category, ds.errors.PoorMixing) for w in caught)
    return float(value), float(half), refused, warned, time.perf_counter() - begun


def summary(process, split, label, rows):
    """Coverage of an estimator on a process, of the replications that it accepted and of all."""
    value, half, refused, warned, seconds = (np.array(column) for column in zip(*rows, strict=True))
    accepted = refused == ""
    covered = np.abs(value - process.mean) <= half  # never where half is nan
    share = float(covered[accepted].mean()) if accepted.any() else None
    return {
        "process": process.name,
        "n_paths": split[0],
        "n": split[1],
        "total_over_tau": split[0] * split[1] / process.tau,
        "estimator": label,
        "replications": len(rows),
        "coverage": share,
        "stderr": None if share is None else float(np.sqrt(share * (1 - share) / accepted.sum())),
        "coverage_of_all": float(covered.mean()),
        "refused": {str(why): count / len(rows) for why, count in Counter(refused[~accepted]).items()},
        "warned": float(warned.mean()),
        "width": float(half[accepted].mean() / (REACH * process.stderr(*split))) if accepted.any() else None,
        "seconds": float(seconds.mean()),
    }


def measured(names, splits, replications, labels, *, seed=SEED, jobs=1, tell=lambda text: None):
    """A summary for each process, split and estimator."""
    sizes = [min(CHUNK, replications - first) for first in range(0, replications, CHUNK)]
    tasks = [(name, split, size, k, labels, seed) for name in names for split in splits for k, size in enumerate(sizes)]
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        parts = (pool.map if pool else map)(outcomes, *zip(*tasks, strict=True))
        cells = []
        for name in names:
            process = PROCESSES[name]()
            for split in splits:
                rows = {label: [] for label in labels}
                for _ in sizes:
                    for label, found in next(parts).items():
                        rows[label] += found
                cells += [summary(process, split, label, rows[label]) for label in labels]
                tell(f"{process.name}, {split[0]} × {split[1]}")
    return cells


def cell_of_coverage(cell):
    """Coverage ± its error in percent, what was refused, and the coverage of all if that is another one."""
    if cell["coverage"] is None:
        return f"none, refused 100; {100 * cell['coverage_of_all']:.1f} of all"
    share, refused = 100 * cell["coverage"], 100 * sum(cell["refused"].values())
    inside = BAND[0] <= cell["coverage"] <= BAND[1]
    text = f"{share:.1f} ± {100 * cell['stderr']:.1f}" if inside else f"**{share:.1f}** ± {100 * cell['stderr']:.1f}"
    return f"{text}, refused {refused:.0f}; {100 * cell['coverage_of_all']:.1f} of all" if refused else text


def table(cells, labels, entry):
    """Processes and splits down, estimators across."""
    rows = ["| process | split | total/τ | " + " | ".join(labels) + " |", "|---|---|---:|" + "---|" * len(labels)]
    found = {(cell["process"], cell["n_paths"], cell["n"], cell["estimator"]): cell for cell in cells}
    for process, n_paths, n in dict.fromkeys(key[:3] for key in found):
        row = [found[process, n_paths, n, label] for label in labels]
        entries = " | ".join(entry(cell) for cell in row)
        rows.append(f"| {process} | {n_paths} × {n} | {row[0]['total_over_tau']:.0f} | {entries} |")
    return "\n".join(rows)


def report(cells, labels):
    """All tables, our other estimators in tables of their own."""
    others = [label for label in labels if label.startswith(f"{OURS}, ")]
    parts = []
    for title, entry in TABLES.items():
        parts.append(title)
        for columns in ([label for label in labels if label not in others], others):
            known = [label for label in columns if label != EXACT or entry is cell_of_coverage]
            parts += [table(cells, known, entry)] if known else []
    return "\n\n".join(parts)


TABLES = {
    "Coverage of 95 % intervals in percent, of the replications that were not refused (bold outside 93 to 97)": (
        cell_of_coverage
    ),
    "Mean width of the intervals that were not refused, relative to that with the true standard error": lambda cell: (
        "none" if cell["width"] is None else f"{cell['width']:.2f}"
    ),
    "Milliseconds per estimate": lambda cell: f"{1e3 * cell['seconds']:.1f}",
}


def draw(cells, labels, path):
    """Coverage by process and estimator, a panel for each split; hollow: of all, where some were refused."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [label for label in labels if not label.startswith(f"{OURS}, ")] or labels
    colors = {label: f"C{k}" for k, label in enumerate(shown)} | {NAIVE: "0.6", EXACT: "black"}
    splits = list(dict.fromkeys((cell["n_paths"], cell["n"]) for cell in cells))
    names = list(dict.fromkeys(cell["process"] for cell in cells))
    size = (2.2 + 3.2 * len(splits), 1.8 + 0.6 * len(names))
    figure, axes = plt.subplots(1, len(splits), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for ax, split in zip(axes[0], splits, strict=True):
        ax.axvspan(100 * BAND[0], 100 * BAND[1], color="0.85", zorder=0)
        for k, label in enumerate(shown):
            mine = [cell for cell in cells if (cell["n_paths"], cell["n"], cell["estimator"]) == (*split, label)]
            height = [names.index(cell["process"]) + 0.8 * ((k + 0.5) / len(shown) - 0.5) for cell in mine]
            draw_row(ax, mine, height, label, colors[label])
        ax.set_xscale("function", functions=(lambda c: -np.sqrt(np.abs(100 - c)), lambda u: 100 - u**2))
        ax.set_xlim(0, 100)
        ax.set_xticks([0, 50, 80, 90, 95, 100])
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set(title=f"{split[0]} × {split[1]}", xlabel="coverage (%)")
        ax.hlines(np.arange(0.5, len(names) - 1), 0, 100, color="0.85", linewidth=0.6, zorder=0)
    figure.suptitle(
        "Coverage of 95 % intervals with two standard errors; hollow: with the replications that were refused"
    )
    handles, _ = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, shown, loc="outside lower center", ncols=len(shown), frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_row(ax, cells, height, label, color):
    """Points of one estimator at the given heights."""
    style = {"color": color, "markersize": 5, "linestyle": "none", "marker": "o", "clip_on": False}
    share = np.array([cell["coverage"] for cell in cells], dtype=float)  # None becomes nan
    error = 2 * np.array([cell["stderr"] for cell in cells], dtype=float)
    reach = 100 * np.stack([np.minimum(error, share), np.minimum(error, 1 - share)])
    ax.errorbar(100 * share, height, xerr=reach, label=label, elinewidth=1, **style)
    whole = [100 * cell["coverage_of_all"] if cell["refused"] else np.nan for cell in cells]
    ax.plot(whole, height, markerfacecolor="white", **style)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one split, few replications, fewer columns")
    parser.add_argument("--only", nargs="+", choices=PROCESSES, metavar="NAME", help=", ".join(PROCESSES))
    parser.add_argument("--estimators", nargs="+", metavar="NAME", help="columns (default: all that are installed)")
    parser.add_argument("--replications", type=int, help=f"of each cell (default: 1000, quick {QUICK_REPLICATIONS})")
    parser.add_argument("--seed", type=int, default=SEED, help="of all series (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work (default: 1)")
    parser.add_argument("--output", type=Path, help="a folder for the tables, their numbers and the picture")
    arguments = parser.parse_args()
    estimators, missing = all_estimators()
    usual = [label for label in estimators if not (arguments.quick and label.startswith(f"{OURS}, "))]
    labels = arguments.estimators or [*usual, EXACT]
    if unknown := set(labels) - {*estimators, EXACT}:
        parser.error(f"unknown or not installed: {', '.join(unknown)}; there are {', '.join([*estimators, EXACT])}")
    replications = arguments.replications
    if replications is None:
        replications = QUICK_REPLICATIONS if arguments.quick else 1000
    if replications < 1 or arguments.jobs < 1 or arguments.seed < 0:
        parser.error("--replications and --jobs must be at least 1, --seed at least 0")
    if missing:
        print(f"Left out, because not installed: {', '.join(missing)} (the extra `peers`).\n")
    names, splits = arguments.only or list(PROCESSES), QUICK_SPLITS if arguments.quick else SPLITS
    begun = time.perf_counter()
    settings = {"seed": arguments.seed, "jobs": arguments.jobs, "tell": lambda text: print(f"… {text}", flush=True)}
    cells = measured(names, splits, replications, labels, **settings)
    spent = f"{replications} replications from seed {arguments.seed}, {time.perf_counter() - begun:.0f} s"
    text = f"{spent}\n\n{report(cells, labels)}"
    print(f"\n{text}")
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "calibration.md").write_text(text + "\n", encoding="utf-8")
        (arguments.output / "calibration.json").write_text(json.dumps(cells, indent=1), encoding="utf-8")
        draw(cells, labels, arguments.output / "calibration.png")


if __name__ == "__main__":
    main()
