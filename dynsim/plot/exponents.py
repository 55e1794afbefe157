"""Lyapunov exponents and correlation dimensions."""

import numpy as np

from dynsim.plot.common import PALE, axes, literal


def plot_exponents(exponents, ax=None, **style):
    """The average of each exponent up to each time, and a band of its final value ± 2 standard errors."""
    ax = axes(ax)
    found, settings = exponents.estimate, exponents.settings
    if found is not None:
        batches = found.batches
        count = np.arange(1, batches.means.shape[1] + 1)
        time = batches.start + count * batches.size * batches.interval
        running = np.cumsum(batches.means.mean(axis=0), axis=0) / count[:, None]
        kept = np.flatnonzero(np.isfinite(exponents.value))
        for column, i in enumerate(kept):
            (line,) = ax.plot(time, running[:, column], **{"linewidth": 1.5, "label": f"λ{i + 1}", **style})
            low, high = exponents.value[i] + 2 * exponents.stderr[i] * np.array([-1, 1])
            ax.axhspan(low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if kept.size:
            ax.legend(fontsize="small")
    ax.axhline(0.0, color=PALE, zorder=0)
    ax.set_xlabel("time" if settings["dt"] != 1 else "steps")
    ax.set_ylabel("Lyapunov exponents")
    lost = int(np.isneginf(exponents.value).sum())
    ax.set_title(literal(settings["system"]) + (f", {lost} at −∞" if lost else ""), fontsize="medium")
    return ax


def plot_correlation_dimension(dimension, ax=None, **style):
    """C(r) with ± 2 standard errors, and the power of r that was fitted over the scaling range."""
    ax = axes(ax)
    r, C = dimension.radii, dimension.correlation
    seen = C > 0
    ax.errorbar(
        r[seen],
        C[seen],
        yerr=2 * dimension.correlation_stderr[seen],
        **{"fmt": ".", "color": "#0072B2", "markersize": 3, "elinewidth": 1, **style},
    )
    if dimension.n_points:
        title = f"a finite set of {dimension.n_points} points"
    else:
        low, high = dimension.scaling_range
        inside = (r >= low) & (r <= high)
        middle = np.exp(np.log(r[inside]).mean()), np.exp(np.log(C[inside]).mean())
        ends = np.array([low, high])
        ax.plot(ends, middle[1] * (ends / middle[0]) ** dimension.value, color="#D55E00", linewidth=2)
        title = f"slope {dimension.value:.3g} ± {dimension.stderr:.2g}, spread {dimension.spread:.2g}"
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("distance r")
    ax.set_ylabel("share C(r) of the pairs")
    ax.set_title(title, fontsize="medium")
    return ax
