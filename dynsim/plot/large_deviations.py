"""Quasi-potentials."""

import numpy as np

from dynsim.plot.common import STYLE, axes


def plot_quasi_potential(potential, ax=None, **style):
    """V against θ with its minima as dots; nothing where it is infinite."""
    ax = axes(ax)
    value = potential.value
    (line,) = ax.plot(potential.x, np.where(np.isfinite(value), value, np.nan), **{"color": "#0072B2", **style})
    at = np.searchsorted(potential.x, potential.minima)
    ax.plot(potential.minima, value[at], "o", color=line.get_color())
    ax.set_xlabel("θ")
    ax.set_ylabel("V")
    ax.set_title(potential.label, fontsize="medium")
    return ax


def plot_large_deviations(deviations, ax=None, **style):
    """The quasi-potentials of a chain and of its SDE in one picture."""
    ax = axes(ax)
    for name, potential, look in (("chain", deviations.chain, "RR"), ("SDE", deviations.sde, "SGD")):
        plot_quasi_potential(potential, ax, **{**STYLE[look], "label": name, **style})
    ax.set_title(deviations.label, fontsize="medium")
    ax.legend()
    return ax
