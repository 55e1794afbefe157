"""Escape times and measured growth rates against the step size."""

import numpy as np

from dynsim.plot.common import PALE, STYLE, axes, literal

_COLORS = {"mean-square": "#D55E00", "almost-sure": "#0072B2"}


def plot_escape_times(result, ax=None):
    """Powers of ten of the expected number of steps against the step size, the critical step size as a line."""
    ax = axes(ax)
    decades = result.log_mean / np.log(10)
    name = result.settings["method_name"]
    style = STYLE.get(name, {"color": "#009E73"})
    decades = np.where(np.isfinite(decades), decades, np.nan)
    ax.plot(*broken(result.step_sizes, decades, result.critical), marker=".", label=literal(name), **style)
    if np.isfinite(result.critical):
        ax.axvline(
            result.critical, color=style["color"], alpha=0.5, linewidth=1, label=f"{literal(name)}: one step may leave"
        )
    ax.yaxis.set_major_formatter(lambda value, _: f"$10^{{{value:g}}}$")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("step size")
    ax.set_ylabel(f"mean steps to leave {result.settings['at']:g}")
    ax.legend()
    return ax


def broken(x, y, at):
    """The same curve with a gap at a number, where it may jump."""
    k = int(np.searchsorted(x, at))
    return (x, y) if k in (0, len(x)) or np.isnan(at) else (np.insert(x, k, at), np.insert(y, k, np.nan))


def plot_empirical(result, ax=None):
    """Both growth rates with two standard errors, that of the mean square halved, and where they pass zero."""
    ax = axes(ax)
    curves = {
        "mean-square": (result.log_growth / 2, result.log_growth_stderr / 2, "log E‖θ−θ*‖², halved"),
        "almost-sure": (result.lyapunov, result.lyapunov_stderr, "log‖θ−θ*‖"),
    }
    for name, (values, errors, label) in curves.items():
        shown = np.isfinite(values)
        ax.errorbar(
            *(result.step_sizes[shown], values[shown], 2 * errors[shown]),
            **{"color": _COLORS[name], "marker": ".", "linewidth": 1, "label": label},
        )
        if np.isfinite(result.threshold[name].value):
            ax.axvline(result.threshold[name].value, color=_COLORS[name], linestyle=":", linewidth=1)
    ax.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    ax.set_xlabel("step size")
    ax.set_ylabel("growth rate per step")
    ax.legend()
    return ax
