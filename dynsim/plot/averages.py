"""Time averages."""

import numpy as np

from dynsim.plot.common import axes, literal

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
_REACH = 1.96


def plot_estimate(result, ax=None, **style):
    """The running average over chains, each φ a line, in a band of 95 % that narrows as the inverse root of time."""
    ax = axes(ax)
    if result.batches is None:
        ax.errorbar(
            *(np.arange(result.value.size), result.value.ravel(), _REACH * result.stderr.ravel()),
            **{"fmt": "o", "color": _COLORS[0], "capsize": 3} | style,
        )
        ax.set_xticks(np.arange(result.value.size))
        ax.set_ylabel("value and 95 % interval")
        return ax
    batches = result.batches
    k = np.arange(1, batches.means.shape[1] + 1)
    time = batches.start + k * batches.size * batches.interval
    running = np.cumsum(batches.means.mean(axis=0), axis=0) / k[:, None]
    for j in range(running.shape[1]):
        value, stderr = float(result.value.flat[j]), float(result.stderr.flat[j])
        label = literal(result.names[j]) if result.names else f"φ[{j}]" if running.shape[1] > 1 else "running average"
        color = {"color": _COLORS[j % len(_COLORS)]} | style
        ax.plot(time, running[:, j], label=label, **color)
        reach = _REACH * stderr * np.sqrt(k[-1] / k)
        ax.fill_between(time, value - reach, value + reach, color=color["color"], alpha=0.2, linewidth=0)
        ax.axhline(value, color=color["color"], linewidth=0.8, linestyle=":")
    low, high = _view(result, running[k.size // 16 :])
    ax.set_ylim(low, high)
    ax.set_xlabel("time")
    ax.set_ylabel("average since burn-in")
    ax.legend()
    return ax


def _view(result, running):
    """Limits that show the band from a sixteenth of the time on: before, it is wide."""
    reach = 4 * _REACH * result.stderr.ravel()
    low = min(running.min(), (result.value.ravel() - reach).min())
    high = max(running.max(), (result.value.ravel() + reach).max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
