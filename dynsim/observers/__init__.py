"""Observers: statistics that a run keeps while it runs, in memory that does not grow with the number of steps.

Pass one, several, or a dict of them as ``observe`` to :func:`dynsim.iterate` or :func:`dynsim.integrate`; what they
have found is in ``result.observed``, by name. An observer sees the states after steps ``burn_in``, ``burn_in + every``,
…; step 0 is the start. Standard errors come from the scatter between paths, which are independent.

>>> import dynsim as ds
>>> sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
>>> positive = ds.observers.Average(lambda x: x[..., 0] > 0, burn_in=500)
>>> run = ds.integrate(sde, 0.0, 100.0, dt=0.01, n_paths=200, rng=0, save_every=None, observe={"positive": positive})
>>> found = run.observed["positive"]
>>> bool(abs(found.value[0] - 0.5) < 5 * found.stderr[0])
True
"""

from dynsim.observers.base import Observer
from dynsim.observers.functions import Average, BatchMeans, Custom, FirstPassage, Visits
from dynsim.observers.histograms import Histogram, Histogram2D
from dynsim.observers.moments import Extremes, Moments
from dynsim.observers.problems import AverageOf, ExtremesOf, FirstBelow

__all__ = [
    "Average",
    "AverageOf",
    "BatchMeans",
    "Custom",
    "Extremes",
    "ExtremesOf",
    "FirstBelow",
    "FirstPassage",
    "Histogram",
    "Histogram2D",
    "Moments",
    "Observer",
    "Visits",
]
