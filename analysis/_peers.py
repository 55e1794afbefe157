"""Errors of a mean as arviz-stats, emcee and pymbar give them, each fed as its documentation asks.

Every function takes series (n_paths, n) and returns value, half-width of the 95 % interval, and why it refused ("").
"""

import importlib
import logging
from collections.abc import Callable

import numpy as np

REACH = 1.959963984540054  # 97.5 % point of the standard normal law
N_STARTS = 10  # starts of the equilibrated part that pymbar tries in each series: all of them would take minutes


def arviz(series):
    """Monte Carlo standard error of the mean, array interface: axes (chain, draw)."""
    from arviz_stats.base import array_stats

    error = float(array_stats.mcse(series, chain_axis=0, draw_axis=1, method="mean"))
    return series.mean(), REACH * error, ""


def emcee(series):
    """√(τ Var/N), τ by ``integrated_time``: axes (step, walker); below 50 τ per walker it refuses, with τ attached.

    That τ is what ``quiet=True`` or ``tol=0`` return.
    """
    from emcee.autocorr import AutocorrError, integrated_time

    refused = ""
    try:
        tau = integrated_time(series.T)
    except AutocorrError as error:
        tau, refused = error.tau, "AutocorrError"
    with np.errstate(invalid="ignore"):  # τ may come out negative
        return series.mean(), REACH * float(np.sqrt(tau[0] * series.var() / series.size)), refused


def pymbar(series):
    """√(g Var/N) with the statistical inefficiency g, of one series or of several."""
    timeseries = _timeseries()
    if len(series) == 1:
        inefficiency = timeseries.statistical_inefficiency(series[0])
    else:
        inefficiency = timeseries.statistical_inefficiency_multiple(list(series))
    return series.mean(), REACH * float(np.sqrt(inefficiency * series.var() / series.size)), ""


def pymbar_equilibrated(series):
    """Mean and standard error of what is left when each series is cut by ``detect_equilibration`` and subsampled."""
    timeseries = _timeseries()
    left = []
    for values in series:
        first, inefficiency, _ = timeseries.detect_equilibration(values, nskip=max(1, len(values) // N_STARTS))
        rest = values[first:]
        left.append(rest[timeseries.subsample_correlated_data(rest, g=float(inefficiency))])
    left = np.concatenate(left)
    return left.mean(), REACH * left.std(ddof=1) / np.sqrt(left.size) if left.size > 1 else np.nan, ""


def _timeseries():
    logging.getLogger("pymbar").setLevel(logging.ERROR)  # it advises to install JAX
    return importlib.import_module("pymbar.timeseries")


_ALL = {
    "arviz-stats": ("arviz_stats", arviz),
    "emcee": ("emcee", emcee),
    "pymbar": ("pymbar", pymbar),
    "pymbar equilibrated": ("pymbar", pymbar_equilibrated),
}


def installed() -> tuple[dict[str, Callable], list[str]]:
    """The peers' estimators by name, and the packages that are missing."""
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    found, missing = {}, []
    for name, (package, function) in _ALL.items():
        try:
            importlib.import_module(package)
        except ImportError:
            missing.append(package)
        else:
            found[name] = function
    return found, sorted(set(missing))
