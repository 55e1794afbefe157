"""When is the noise of a stochastic gradient heavy-tailed, and what follows? Z's Fig. 4-1 and Remark 4.4.1, measured.

The gradient of ½(x·θ − y)² at the truth is −x times the residual, so that rows and residuals with known tails give
noise with known tails. Three estimators of the tail index, the slope of the empirical variance against the sample
size, and histograms of ‖g − ∇L‖ say what they see. Then SGD on x²/2 with noise of infinite variance: no second moment
at any step, as Remark 4.4.1 says, and yet convergence in probability.

    python analysis/heavy_tails.py [--output heavy_tails.png]
"""

import argparse

import numpy as np

import dynsim as ds
from dynsim.landscape import gradient_noise
from dynsim.tails import hill, mohammadi, tail_index, variance_growth

N = 20_000
METHODS = ("hill", "moment")
WITHIN = 5  # standard errors


def models():
    """Name, problem, and the tail index of its noise at the truth: the smaller of those of rows and residuals."""
    rng = np.random.default_rng(0)
    rows, normal = rng.normal(size=(N, 2)), rng.normal(size=N)
    cases = {
        "normal rows, normal residuals": (rows, normal, np.inf),
        "normal rows, Student 1.5 residuals": (rows, rng.standard_t(1.5, size=N), 1.5),
        "normal rows, stable 1.5 residuals": (rows, ds.noise.AlphaStable(1.5).sample(N, rng=1), 1.5),
        "Student 3 rows, normal residuals": (rng.standard_t(3, size=(N, 2)), normal, 3.0),
        "Pareto 1.2 rows, normal residuals": (ds.noise.Pareto(1.2).sample((N, 2), rng=2), normal, 1.2),
    }
    return {name: (ds.problems.linear_model(X, y, "square"), alpha) for name, (X, y, alpha) in cases.items()}


def laws():
    """The additive noises, with their tail index."""
    kinds = (
        ds.noise.Gaussian(),
        ds.noise.StudentT(3.0),
        ds.noise.StudentT(1.5),
        ds.noise.Pareto(1.5, symmetric=True),
        ds.noise.AlphaStable(1.5),
    )
    return {repr(law): (law.sample(N, rng=3), law.tail_index) for law in kinds}


def row(claim, expected, value, error, wrong="DISAGREES"):
    """A line of the table, with its verdict."""
    if np.isinf(expected):  # light tails: an index well above 2, or one whose error leaves that open
        verdict = "light" if value > 2 and not value + 3 * error < 2 else wrong
    else:
        away = abs(value - expected) / error
        verdict = f"{'agrees' if away < WITHIN else wrong} ({away:.1f} SE)"
    print(f"{claim:62s} {expected:8.4g} {value:10.4g} ± {error:<8.2g} {verdict}")


def indices():
    """Tail indices and slopes of all samples; the noises of the models for the picture."""
    noises = {name: (gradient_noise(problem, [0.0, 0.0]), alpha) for name, (problem, alpha) in models().items()}
    samples = {name: (noise.norms, noise.vectors, alpha) for name, (noise, alpha) in noises.items()}
    samples |= {name: (values, values, alpha) for name, (values, alpha) in laws().items()}
    for name, (values, vectors, alpha) in samples.items():
        for method in METHODS:
            index = tail_index(values, method=method)
            row(f"{name}: {method}", alpha, index.value, index.stderr)
        index = mohammadi(vectors.reshape(N, -1)[:, 0])  # sums need signs; no finite variance can give more than 2
        row(f"{name}: mohammadi", min(alpha, 2.0), index.value, index.stderr, wrong="MISLEADS")
        growth = variance_growth(vectors)
        row(f"{name}: slope of variance", max(2 / alpha - 1, 0.0), growth.slope, growth.slope_stderr)
    return noises


def remark_4_4_1():
    """SGD on x²/2 with Student's noise, ν = 1.5, at steps η_k = 1/(k+1): x_K is minus the mean of K draws."""
    n_steps, n_paths = np.array([100, 10_000]), 2000
    sgd = ds.SGD(ds.schedules.Polynomial(1.0, m=1.0, p=1.0), noise=ds.noise.StudentT(1.5))
    problem = ds.problems.linear_model([[1.0]], [0.0], "square")
    run = ds.iterate(problem, sgd, 1.0, n_steps=int(n_steps[-1]), n_paths=n_paths, save_every=100, rng=4)
    at = np.searchsorted(run.t, n_steps)
    sizes = np.abs(run.x[:, at, 0])
    for k, values in zip(n_steps, sizes.T, strict=True):
        index = hill(values)
        row(f"Remark 4.4.1: tail index of x_{k}, so E x² = inf", 1.5, index.value, index.stderr)
    medians = np.median(sizes, axis=0)
    errors = [np.diff(np.quantile(column, 0.5 + np.array([-0.5, 0.5]) / np.sqrt(n_paths)))[0] / 2 for column in sizes.T]
    decay = np.log(medians[1] / medians[0]) / np.log(n_steps[1] / n_steps[0])
    error = np.hypot(*(errors / medians)) / np.log(n_steps[1] / n_steps[0])
    row("and yet |x_k| -> 0: median falls as k^(1/α - 1)", 1 / 1.5 - 1, decay, error)


def draw(noises, output):
    """Histograms of the norms above, the growth of the variance below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(noises), figsize=(4 * len(noises), 7), layout="constrained")
    for (name, (noise, _)), (above, below) in zip(noises.items(), axes.T, strict=True):
        noise.plot(above).set_title(name, fontsize="small")
        noise.variance_growth().plot(below)
    figure.savefig(output, dpi=100)


def main():
    """Print the table, and draw the picture if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="file of the picture")
    arguments = parser.parse_args()
    print(f"{'claim':62s} {'expected':>8s} {'measured':>10s}   {'error':8s} verdict")
    noises = indices()
    remark_4_4_1()
    if arguments.output:
        draw(noises, arguments.output)


if __name__ == "__main__":
    main()
