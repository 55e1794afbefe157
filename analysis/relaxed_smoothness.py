"""Z Figs 3-1 … 3-3: local smoothness against gradient norm, for plain and clipped descent.

Z §3.5 sees a positive correlation for clipped runs with large steps, and little for plain ones with small steps. Here
the same is asked of a loss that is (L0, L1)-smooth by construction and of a small network. The runs of the network
judge the claim: correlation of the logarithms above 0 where clipped with large steps, an interval around 0 where plain
with small ones.

    python analysis/relaxed_smoothness.py                      tables
    python analysis/relaxed_smoothness.py --output FIGURE.png  and the clouds
"""

import argparse
from pathlib import Path

import numpy as np

import dynsim as ds

GAMMA = 0.5  # of clipping


def wings():
    """A loss with L0 = L1 = 1 and a start at which the gradient is 100."""
    problem = ds.problems.exponential_wings(1.0)
    return problem, np.array([problem.start(M=100.0)]), (0.05, 0.1), 150  # steps: then it has converged


def network():
    """Twelve ReLUs fitted to a sine at 64 points, from a large start."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (64, 1))
    problem = ds.problems.relu_network(X, 2 * np.sin(3 * X[:, 0]), hidden=12)
    return problem, 1.5 * rng.normal(size=problem.dim), (0.001, 0.02), 1000


def fits(setup):
    """The fit of each run by name; None where it diverged."""
    problem, x0, step_sizes, n_steps = setup
    found = {}
    for eta in step_sizes:
        for method in (ds.SGD(eta, batch_size="full"), ds.Clipped(eta, batch_size="full", gamma=GAMMA)):
            run = ds.iterate(problem, method, x0, n_steps=n_steps)
            name = f"{method.name}, η = {eta:g}"
            found[name] = None if run.n_diverged else ds.landscape.fit_smoothness(problem, run)
    return found


def table(rows):
    """Lines of a table, one for each run."""
    yield f"{'run':24}{'correlation':>13}{'95 % interval':>18}{'exponent':>17}{'L0':>9}{'L1':>9}   least bound"
    for name, fit in rows.items():
        if fit is None:
            yield f"{name:24}  diverged"
            continue
        low, high = fit.correlation_interval
        yield (
            f"{name:24}{fit.correlation:13.3f}{f'{low:.2f} … {high:.2f}':>18}"
            f"{f'{fit.exponent:.2f} ± {fit.exponent_stderr:.2f}':>17}{fit.L0:9.3g}{fit.L1:9.3g}"
            f"   {fit.bound[0]:.3g} + {fit.bound[1]:.3g} g"
        )


def figure():
    """The clouds of all runs that did not diverge; returns the Figure."""
    import matplotlib.pyplot as plt

    shown = [
        (setup()[0].name, name, fit)
        for setup in (wings, network)
        for name, fit in fits(setup()).items()
        if fit is not None
    ]
    fig, panels = plt.subplots(2, -(-len(shown) // 2), figsize=(14, 7), layout="constrained", squeeze=False)
    for ax, (problem, name, fit) in zip(panels.flat, shown, strict=False):
        fit.plot(ax)
        ax.set_title(f"{problem}\n{name}", fontsize="small")
    for ax in panels.flat[len(shown) :]:
        ax.set_axis_off()
    return fig


def verdicts(rows):
    """What the runs of the network say of Z §3.5, line by line."""
    small, large = network()[2]
    claims = {
        f"Clipped, η = {large:g}": ("clipped, large steps: positive correlation", lambda low, high: low > 0),
        f"GD, η = {small:g}": ("plain, small steps: none to speak of", lambda low, high: low <= 0 <= high),
    }
    for name, (claim, holds) in claims.items():
        fit = rows[name]
        low, high = fit.correlation_interval
        said = "agrees" if holds(low, high) else "FALSE here"
        yield f"Z §3.5, {claim}: measured {fit.correlation:.2f} [{low:.2f}, {high:.2f}]  {said}"


def main():
    """Print tables and verdicts, and draw on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, metavar="FIGURE", help="file for the picture")
    arguments = parser.parse_args()
    for setup in (wings, network):
        rows = fits(setup())
        print(setup()[0].name)
        print("\n".join(table(rows)), end="\n\n")
    print("\n".join(verdicts(rows)))
    if arguments.output:
        figure().savefig(arguments.output, dpi=150)


if __name__ == "__main__":
    main()
