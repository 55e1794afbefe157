"""Statistics along runs, local smoothness against gradient norm, and the balance of the loss."""

import numpy as np

from dynsim.plot.common import PALE, axes, literal

_LABELS = {"loss": "loss", "gradient_norm": "gradient norm", "noise_norm": "noise norm", "sharpness": "sharpness"}
_COLOR, _EXACT, _PRINTED = "#0072B2", "#009E73", "#D55E00"


def plot_run_statistics(result, panels=None, *, probability=0.8, **style):
    """Four panels against t, as Z Figs 6-1 … 6-4: medians over the paths and bands, with 2/η beside the sharpness."""
    panels = _four(panels)
    for ax, (name, label) in zip(panels, _LABELS.items(), strict=True):
        median, low, high = result.band(name, probability)
        (line,) = ax.plot(result.t, median, **{"color": _COLOR, **style})
        ax.fill_between(result.t, low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        ax.set(xlabel="t", ylabel=label)
    if np.isfinite(result.step_sizes).any():
        edge = 2 / result.step_sizes
        ax.plot(result.t, edge, color="#333333", linestyle="--", label="2/η")
        ax.legend(fontsize="small")
    return panels


def _four(panels):
    """Four given Axes, or new ones."""
    if panels is None:
        import matplotlib.pyplot as plt

        return plt.subplots(1, 4, figsize=(12, 2.8), layout="constrained")[1]
    from dynsim.errors import ArgumentError

    panels = np.ravel(panels)
    if panels.size != 4:
        raise ArgumentError(f"axes must be four Axes, got {panels.size}")
    return panels


def plot_smoothness(result, ax=None, **style):
    """Local smoothness against gradient norm on logarithmic axes, as Z Figs 3-1 … 3-3, with the line and the bound."""
    ax = axes(ax)
    g, s = result.gradient_norm, result.smoothness
    shown = (g > 0) & (s > 0)
    look = {"c": result.t[shown], "cmap": "viridis", "s": 8, "linewidth": 0, **style}
    dots = ax.scatter(g[shown], s[shown], **look)
    ax.set(xscale="log", yscale="log", xlabel="gradient norm")
    ax.set_ylabel("sharpness" if result.settings["measure"] == "sharpness" else "local smoothness")
    if look["c"] is not None and np.ndim(look["c"]) == 1:
        ax.figure.colorbar(dots, ax=ax, label="t")
    low, high = ax.get_ylim()
    x = np.geomspace(g[shown].min(), g[shown].max(), 200) if shown.any() else np.array([1.0])
    for (L0, L1), color, linestyle, label in (
        ((result.L0, result.L1), _PRINTED, "-", "least squares"),
        (result.bound, "#333333", "--", "least bound"),
    ):
        y = L0 + L1 * x
        text = f"{label}: {L0:.3g} {'−' if L1 < 0 else '+'} {abs(L1):.3g} g"
        ax.plot(x, np.where(y > 0, y, np.nan), color=color, linestyle=linestyle, label=text)
    ax.set_ylim(low, max(high, ax.get_ylim()[1]) if result.bound[1] else high)
    ax.legend(fontsize="small")
    return ax


def plot_loss_balance(result, ax=None, **style):
    """The squared gradient norm, the exact right side of the balance and the printed one, with 95 % intervals."""
    ax = axes(ax)
    sides = (
        ("E‖∇L‖²", result.squared_gradient, _COLOR),
        ("exact:\nη E∫(1−r)⟨g, ∇²L g⟩dr", result.curvature, _EXACT),
        ("as printed, Z (6.10):\nηΣℒG", result.printed, _PRINTED),
    )
    for k, (_, estimate, color) in enumerate(sides):
        low, high = estimate.interval()
        reach = [[float(estimate.value - low)], [float(high - estimate.value)]]
        look = {"color": color, "marker": "o", "capsize": 4, **style}
        ax.errorbar([k], [float(estimate.value)], yerr=np.nan_to_num(reach), **look)
    ax.set_xticks(range(3), [name for name, *_ in sides])
    ax.set_xlim(-0.5, 2.5)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_title(literal(result.settings["problem"]), fontsize="medium")
    return ax


def plot_reduced_step(result, ax=None, **style):
    """The change of the mean loss against c with 95 % intervals, and its tangent at 0."""
    ax = axes(ax)
    low, high = result.change.interval()
    (line,) = ax.plot(result.factors, result.change.value, **{"color": _COLOR, "marker": ".", **style})
    ax.fill_between(result.factors, low, high, color=line.get_color(), alpha=0.25, linewidth=0)
    bottom = float(np.min(low))
    ax.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    slope = float(result.slope.value)
    if slope < 0:
        end = min(result.factors[-1], 1.2 * bottom / slope) if bottom < 0 else result.factors[-1]
        label = "tangent, −cη E‖∇L‖²"
        ax.plot([0, end], [0, slope * end], color="#333333", linestyle="--", linewidth=1, label=label)
        ax.legend(fontsize="small")
    ax.set(xlabel="c", ylabel="E[L(θ − cηg)] − E[L(θ)]")
    return ax
