"""Tail indices, growing variances, quantiles and norms of the noise."""

import numpy as np

from dynsim.landscape.draws import lengths
from dynsim.plot.common import PALE, axes, literal

_BLUE, _RED = "#0072B2", "#D55E00"
_FINITE = 8.0  # index beyond which a Hill plot need not show what is light
_BINS = 60


def plot_tail_index(index, ax=None, **style):
    """The scan with two standard errors, the chosen k as a point, α = 2 as a line."""
    ax = axes(ax)
    shown = np.isfinite(index.scan_value)
    k, value, error = (x[shown] for x in (index.scan_n_tail, index.scan_value, 2 * index.scan_stderr))
    line = {"color": _BLUE, "linewidth": 1.2, **style}
    ax.plot(k, value, **line)
    ax.fill_between(k, value - error, value + error, color=line["color"], alpha=0.2, linewidth=0)
    label = f"{index.method}, α = {index.value:.3g} ± {index.stderr:.2g}" if np.isfinite(index.value) else "α = ∞"
    if np.isfinite(index.value):
        ax.plot([index.n_tail], [index.value], "o", color=line["color"], label=label)
        top = max(2.5, 1.6 * index.value)
    else:
        ax.plot([], [], "o", color=line["color"], label=label)
        top = _FINITE
    ax.axhline(2, color="#333333", linestyle=":", linewidth=1, label="infinite variance below")
    ax.set_ylim(0, top)
    ax.set_xscale("log")
    ax.set_xlabel("block size" if index.method == "mohammadi" else "values in the tail, k")
    ax.set_ylabel("tail index α")
    ax.legend(fontsize="small")
    return ax


def plot_variance_growth(growth, ax=None, **style):
    """Median and 10 to 90 % of the variance of subsamples, the fitted slope, and the variance of the first values."""
    ax = axes(ax)
    line = {"color": _BLUE, "marker": ".", "label": "median of subsamples, 10 to 90 %", **style}
    ax.plot(growth.running_sizes, growth.running, color=PALE, linewidth=1, label="first values")
    ax.fill_between(growth.sizes, growth.low, growth.high, color=line["color"], alpha=0.2, linewidth=0)
    ax.plot(growth.sizes, growth.median, **line)
    middle = np.exp(np.log(growth.sizes).mean())
    fitted = np.exp(np.log(growth.median).mean()) * (growth.sizes / middle) ** growth.slope
    label = f"slope {growth.slope:.2g} ± {growth.slope_stderr:.1g}"
    ax.plot(growth.sizes, fitted, "--", color="#333333", linewidth=1, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("sample size")
    ax.set_ylabel("empirical variance")
    ax.legend(fontsize="small")
    return ax


def plot_quantiles(result, ax=None, **style):
    """Order statistics against the law's quantiles, with the band and the diagonal."""
    ax = axes(ax)
    x = result.law_quantiles
    ax.fill_between(x, result.low, result.high, color=PALE, alpha=0.6, linewidth=0, label=f"{result.confidence:.0%}")
    ax.plot(x, x, color="#333333", linewidth=0.8)
    ax.plot(x, result.values, **{"color": _BLUE, "marker": ".", "linestyle": "", **style})
    ax.set_xlabel(f"quantiles of {literal(result.name)}")
    ax.set_ylabel("values" if (result.location, result.scale) == (0.0, 1.0) else "values, shifted and scaled")
    largest = max(np.abs(x).max(), np.abs(result.values).max())
    if largest > 50 * max(np.abs(np.quantile(x, [0.25, 0.75])).max(), 1e-300):  # power tails
        ax.set_xscale("symlog", linthresh=1.0)
        ax.set_yscale("symlog", linthresh=1.0)
    ax.legend(fontsize="small")
    return ax


def plot_gradient_noise(noise, ax=None, **style):
    """Histogram of ‖g − ∇L‖ with that of Gaussian vectors of the same covariance, on a logarithmic axis."""
    ax = axes(ax)
    norms, gaussian = noise.norms, lengths(noise.gaussian())
    if not norms.any():
        ax.text(0.5, 0.5, "no noise", ha="center", va="center", transform=ax.transAxes)
        return ax
    largest = max(norms.max(), gaussian.max())
    heavy = norms.max() > 3 * gaussian.max()
    positive = norms[norms > 0]
    low = max(np.quantile(positive, 0.001), 1e-9 * largest)
    edges = np.geomspace(low, largest * 1.001, _BINS) if heavy else np.linspace(0, largest * 1.001, _BINS)
    measured = {"bins": edges, "density": True, "color": _BLUE, "alpha": 0.6, "label": "noise", **style}
    ax.hist(norms, weights=noise.probabilities, **measured)
    expected = {"bins": edges, "density": True, "histtype": "step", "color": _RED, "linewidth": 1.2}
    ax.hist(gaussian, label="Gaussian, same covariance", **expected)
    if heavy:
        ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("‖g − ∇L‖")
    ax.set_ylabel("density")
    ax.legend(fontsize="small")
    return ax
