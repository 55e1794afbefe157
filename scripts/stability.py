"""Which step sizes are stable: SGD beside RR over feature disparity, dimension and batch size, and valleys with kinks.

    python scripts/stability.py disparity    critical step sizes and their ratio RR/SGD, against disparity and dimension
    python scripts/stability.py map          growth of E‖θ − θ*‖² over step size and batch size
    python scripts/stability.py slower       where RR converges more slowly than SGD at the same step size
    python scripts/stability.py valleys      how long each scheme holds on to a minimum of AY §2.1, exactly

``--out DIR`` draws there.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import dynsim as ds

N, SHARE = 100, 0.1  # rows, and share of those with large features
DISPARITIES = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
DIMENSIONS = (1, 2, 5, 10, 20, 50)
CRITERIA = ("one-step", "mean-square", "almost-sure")
SGD, RR = ds.SGD(1.0), ds.RR(1.0)


def disparate(disparity=10.0, dim=10):
    """Interpolating least squares in which a tenth of the rows have large features."""
    return ds.problems.disparate_groups(N, dim, disparity=disparity, fraction=SHARE, rng=0)


def shown(bounds):
    """A number, or two bounds."""
    lower, upper = bounds
    return f"{lower:.4g}" if upper - lower < 1e-3 * lower else f"{lower:.4g}…{upper:.4g}"


def print_critical(chart, name):
    """Critical step sizes of each case, and their ratios."""
    print(f"{name:>10} {'criterion':12} {'SGD':>18} {'RR':>20} {'RR/SGD':>14}")
    for j, value in enumerate(chart.values):
        for criterion, bounds in chart.critical.items():
            ratio = shown(chart.ratio("RR", "SGD", criterion)[j])
            print(f"{value:10g} {criterion:12} {shown(bounds[0, j]):>18} {shown(bounds[1, j]):>20} {ratio:>14}")


def disparity(out):
    """Ratios RR/SGD of the critical step sizes."""
    cases = {
        "disparity": (lambda r: disparate(disparity=r), DISPARITIES, "feature disparity (dimension 10)"),
        "dimension": (lambda d: disparate(dim=int(d)), DIMENSIONS, "dimension (disparity 10)"),
    }
    charts = {}
    for name, (problem, values, _) in cases.items():
        began = time.perf_counter()
        charts[name] = ds.stability_map(
            problem, [SGD, RR], [1e-3], parameter={name: values}, criteria=CRITERIA, progress=True
        )
        print_critical(charts[name], name)
        print(f"{time.perf_counter() - began:.0f} s\n")
    if out is None:
        return
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True, layout="constrained")
    for ax, (name, (_, values, label)) in zip(panels, cases.items(), strict=True):
        for criterion, style in zip(CRITERIA, ("-o", "--s", ":^"), strict=True):
            low, high = charts[name].ratio("RR", "SGD", criterion).T
            (line,) = ax.plot(values, np.sqrt(low * high), style, markersize=4, label=criterion)
            ax.fill_between(values, low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        ax.axhline(1, color="0.6", linewidth=0.8)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel(label)
    panels[0].set_ylabel("critical step size, RR/SGD")
    panels[0].legend()
    figure.savefig(out / "stability-ratio.png", dpi=150)


def growth_map(out):
    """Growth over step sizes and batch sizes."""
    etas, batches = np.geomspace(5e-3, 0.8, 24), [1, 4, 16, 64]
    criteria = ("one-step", "deterministic")  # beside which the zeros of the growth itself are drawn
    chart = ds.stability_map(disparate(), [SGD, RR], etas, batch_sizes=batches, criteria=criteria, progress=True)
    print_critical(chart, "batch size")
    if out is not None:
        chart.plot()[0].figure.savefig(out / "stability-map.png", dpi=150)


SLOWER = [[0.974, -0.413], [-0.005, 0.253], [-1.109, 0.17]]  # found by a search


def slower(out):
    """Rates at the same step size, without and with noise at the minimum."""
    rows = ds.stability.terms(gradients=SLOWER)
    limit = ds.step_size_range(rows, SGD, criterion="mean-square").max
    chart = ds.stability_map(rows, [SGD, RR], limit * np.array([0.2, 0.4, 0.6, 0.8, 1.0]))
    print("three rows in two dimensions: growth of ln E‖θ − θ*‖² in a step")
    print(f"{'η/η*':>6} {'SGD':>12} {'RR':>12} {'± ':>9}")
    for share, sgd, rr, error in zip(
        chart.step_sizes / limit, chart.growth[0, 0], chart.growth[1, 0], chart.stderr[1, 0], strict=True
    ):
        print(f"{share:6.2f} {sgd:12.6f} {rr:12.6f} {error:9.1e}")


VALLEYS = ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)


def valleys(out):
    """Escape times of SGD, RR and Balanced from both minima."""
    methods = {"SGD": SGD, "RR": RR, "Balanced": ds.SGD(1.0, ds.sampling.Balanced())}
    found = {}
    for minimum in (0.2, -1.0):
        for name, method in methods.items():
            critical = ds.step_size_range(VALLEYS, method, at=minimum).max
            shares = np.array([0.5, 0.7, 0.9, 0.99, 1.01, 1.1, 1.3])
            times = ds.stability.escape_times(VALLEYS, method, minimum, step_sizes=shares * critical)
            found[minimum, name] = times
            listed = "  ".join(f"{share:g}: {t:.4g}" for share, t in zip(shares, times.mean, strict=True))
            print(f"{name:8} at {minimum:4g}, critical {critical:.4g}; mean steps at η/critical  {listed}")
    if out is None:
        return
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    for ax, minimum in zip(panels, (0.2, -1.0), strict=True):
        for name, method in methods.items():
            critical = found[minimum, name].critical
            etas = critical * np.linspace(0.4, 1.4, 81)
            times = ds.stability.escape_times(VALLEYS, method, minimum, step_sizes=etas)
            (line,) = ax.semilogy(etas, times.mean, drawstyle="steps-mid", label=name)
            ax.axvline(critical, color=line.get_color(), linestyle=":", linewidth=1)
        ax.set_title(f"from {minimum:g}")
        ax.set_xlabel("step size")
    panels[0].set_ylabel("mean steps to leave the valley")
    panels[0].legend()
    figure.savefig(out / "stability-valleys.png", dpi=150)


STUDIES = {"disparity": disparity, "map": growth_map, "slower": slower, "valleys": valleys}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    STUDIES[arguments.study](arguments.out)


if __name__ == "__main__":
    main()
