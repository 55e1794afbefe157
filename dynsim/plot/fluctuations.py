"""Fluctuations around a minimum."""

import numpy as np

from dynsim.plot.common import PALE, axes, literal


def plot_fluctuations(fluctuations, ax=None, **style):
    """E‖θ − θ*‖² against η with its leading order behind it, both logarithmic, and the threshold as a line."""
    ax = axes(ax)
    order = np.argsort(fluctuations.step_sizes)
    eta, variance = fluctuations.step_sizes[order], fluctuations.variance[order]
    ax.plot(eta, eta * np.trace(fluctuations.leading), "--", color=PALE, label="leading order in η")
    finite = np.isfinite(variance)
    if fluctuations.exact:
        ax.plot(eta[finite], variance[finite], **{"color": "#0072B2", "label": "exact, linearized", **style})
    if np.isfinite(fluctuations.threshold):
        ax.axvline(fluctuations.threshold, color="#333333", linestyle=":", label="threshold")
    if variance[finite].any():  # a full batch has none
        ax.set_yscale("log")
    ax.set_xscale("log")
    ax.set_xlabel("step size η")
    ax.set_ylabel("E‖θ − θ*‖²")
    ax.set_title(literal(str(fluctuations.settings["method"].name)), fontsize="medium")
    ax.legend(fontsize="small")
    return ax
