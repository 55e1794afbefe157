"""The papers' bounds beside what runs show."""

import numpy as np

from dynsim.plot.common import STYLE, axes, literal

_PRINTED = {"color": "#D55E00", "linestyle": ":"}
_CORRECTED = {"color": "#333333", "linestyle": "--"}
_AT_ALL_STEPS = {"color": "#999999", "linestyle": "-"}
_READABLE = 1e3  # a bound of a probability above is told, not drawn
_SHARP = {"color": "#009E73", "linestyle": "-."}


def plot_local_convergence(run, ax=None, **style):
    """Measured E‖θ_k − θ*‖² with its band, the bounds of AY Theorem 3.4 and the sharp asymptote."""
    ax, theory = axes(ax), run.theory
    label = f"{literal(theory.method.name)}, measured"
    _with_band(ax, run.k, run.mean_square, run.stderr, **{"label": label, **style})
    for values, label, look in (
        (theory.printed_bound(run.k), "AY Theorem 3.4", _PRINTED),
        (theory.bound(run.k), "with E‖V‖²", _CORRECTED),
        (run.recursion, "with E‖V‖², for all k", _AT_ALL_STEPS),
        (theory.asymptote(run.k), "sharp", _SHARP),
    ):
        if (values > 0).any():
            ax.plot(run.k, values, label=label, **look)
    ax.set(xscale="log", yscale="log", xlabel="step k", ylabel="E‖θ − θ*‖²")
    ax.set_title(f"{100 * run.stayed:.4g} % of the paths stayed in the ball", fontsize="medium")
    ax.legend(fontsize="small")
    return ax


def plot_mean_square(result, ax=None, **style):
    """∫₀ᵗ E‖Θ − θ*‖² and E‖Θ − θ*‖² with the bounds of AY Remark 3.6, corrected and as printed."""
    ax = axes(ax)
    _with_band(ax, result.t, result.mean_square, result.stderr, **{"label": "E‖Θ − θ*‖²", **style})
    ax.plot(result.t, result.bound, label="bound, corrected", **_CORRECTED)
    ax.plot(result.t, result.printed_left, color="#CC79A7", label="∫₀ᵗ E‖Θ − θ*‖² ds")
    ax.plot(result.t, result.printed_right, label="its bound, AY Remark 3.6", **_PRINTED)
    ax.set_yscale("log", nonpositive="mask")
    ax.set(xlabel="time t", ylabel="mean square, and its integral")
    ax.legend(fontsize="small")
    return ax


def plot_deviation(result, ax=None, **style):
    """P(sup‖Θ − φ‖ > δ) of the SDE and the chain with 95 % intervals, and the bound of AY Lemma 3.8."""
    ax = axes(ax)
    order = np.argsort(result.deltas)
    deltas = result.deltas[order]
    for found, label, look in ((result.sde, "SDE", STYLE["RR"]), (result.chain, "chain", STYLE["SGD"])):
        p, low, high = found.probability[order], found.low[order], found.high[order]
        look = {**look, "label": label, **style}
        (line,) = ax.plot(deltas, np.where(p > 0, p, np.nan), marker="o", markersize=3, **look)
        ax.fill_between(deltas, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    least = float(result.bound.min())
    high = least > _READABLE
    label = f"AY Lemma 3.8, at least {least:.2g}" if high else "AY Lemma 3.8"
    ax.plot(deltas, np.where(high, np.nan, result.bound[order]), label=label, **_PRINTED)
    seen = np.concatenate([result.sde.high, result.chain.high])
    top = 1.0 if high else max(1.0, least)
    ax.set(yscale="log", ylim=(0.5 * seen.min(), 3 * top), xlabel="δ", ylabel="P(sup‖Θ − φ‖ > δ)")
    ax.legend(fontsize="small")
    return ax


def _with_band(ax, x, mean, stderr, **style):
    """A curve and 2 standard errors on both sides."""
    (line,) = ax.plot(x, mean, **{"color": "#0072B2", **style})
    low = np.maximum(mean - 2 * stderr, 1e-3 * np.abs(mean))
    ax.fill_between(x, low, mean + 2 * stderr, color=line.get_color(), alpha=0.3, linewidth=0)
