"""Observers with a user's function in them: φ(x) or a region, written for one path or for x (..., dim), or a whole one.

Generated as source for the reason given in user_fields.py. They are compiled when a run begins, and not cached.
"""

import functools
import math

import numpy as np

from dynsim._kernels.observing import observer_kernel
from dynsim._kernels.problem_observers import filling
from dynsim._kernels.user_fields import built

BATCHES = 256  # at most so many batches are kept, as in dynsim.averages; when there are as many, neighbors are merged

_AVERAGE = """
def observe(n, t, path, live, x, params, lanes, tally):
    widest_vectors()
    for i in range(x.shape[1]):
        value = function(point(x, i))
        {adds}
"""
_BATCH_MEANS = """
def observe(n, t, path, live, x, params, lanes, tally):
    widest_vectors()
    {fills}
    size = 1
    while BATCHES * size <= n:
        size *= 2
    if size > 1 and n == BATCHES // 2 * size:  # all batches of half the size are full
        for c in range({q}):
            mean, variance = c * BATCHES, ({q} + c) * BATCHES
            for b in range(BATCHES // 2):
                for i in range(x.shape[1]):
                    apart = 0.5 * (lanes[mean + 2 * b, i] - lanes[mean + 2 * b + 1, i])
                    lanes[mean + b, i] = 0.5 * (lanes[mean + 2 * b, i] + lanes[mean + 2 * b + 1, i])
                    lanes[variance + b, i] = apart * apart + 0.5 * (
                        lanes[variance + 2 * b, i] + lanes[variance + 2 * b + 1, i])
            for b in range(BATCHES // 2, BATCHES):
                for i in range(x.shape[1]):
                    lanes[mean + b, i] = 0.0
                    lanes[variance + b, i] = 0.0
    batch = n // size
    share = 1.0 / (n % size + 1)
    for i in range(x.shape[1]):
        value = {values}
        {adds}
"""
_FILL = """\
values{f} = np.empty(x.shape[1])
    function{f}(x, params[np.int64(params[{k}]) : np.int64(params[{k} + 1])], values{f})"""
_WELFORD = """\
away = {value} - lanes[{c} * BATCHES + batch, i]
        lanes[({q} + {c}) * BATCHES + batch, i] = (1.0 - share) * (
            lanes[({q} + {c}) * BATCHES + batch, i] + share * away * away)
        lanes[{c} * BATCHES + batch, i] += share * away"""
_FIRST_PASSAGE = """
def observe(n, t, path, live, x, params, lanes, tally):
    widest_vectors()
    for i in range(x.shape[1]):
        inside = function(point(x, i))
        lanes[0, i] = t if inside and t < lanes[0, i] else lanes[0, i]
"""
_VISITS = """
def observe(n, t, path, live, x, params, lanes, tally):
    for i in range(x.shape[1]):
        here = point(x, i)
        basin = {labels}
        if basin >= 0:
            lanes[1 + basin, i] += 1.0
            last = np.int64(lanes[0, i])
            if last >= 0 and last != basin:
                lanes[1 + 2 * {m} + {m} * last + basin, i] += 1.0
            lanes[0, i] = basin
        last = np.int64(lanes[0, i])
        if last >= 0:
            lanes[1 + {m} + last, i] += 1.0
"""
_CUSTOM = """
def observe(n, t, path, live, x, params, lanes, tally):
    for i in range(x.shape[1]):
        function(t, point(x, i), column(lanes, i))
"""


def average(function, shape):
    """Lanes are the sums of the components of φ."""
    return _build(_AVERAGE.format(adds=_each(shape, "lanes[{c}, i] += {value}")), function=function)


def batch_means(functions, shape):
    """Lanes c·BATCHES + b are the mean of batch b of component c, (q + c)·BATCHES + b its variance so far.

    The components are those of one function, or the numbers that several functions return. Instead of a function a
    quantity of a problem may be named; the params are then those of ``problem_observers.params_of_several``.
    """
    names, fills, calls = {}, [], []
    for f, function in enumerate(functions):
        if isinstance(function, str):
            names[f"function{f}"] = filling(function)
            calls.append(f"values{f}[i]")
            fills.append(_FILL.format(f=f, k=len(fills)))
        else:
            names[f"function{f}"] = function
            calls.append(f"function{f}(point(x, i))")
    values = calls[0] if len(calls) == 1 else f"({', '.join(calls)})"
    q = math.prod(shape)
    adds = _each(shape, _WELFORD.replace("{q}", str(q)))
    source = _BATCH_MEANS.format(q=q, fills="\n    ".join(fills), values=values, adds=adds)
    return _build(source.replace("BATCHES", str(BATCHES)), **names)


def batch_size(n):
    """Size of the batches after n observations."""
    size = 1
    while BATCHES * size < n:
        size *= 2
    return size


def first_passage(region):
    """Lane 0 is the first time inside, from inf."""
    return _build(_FIRST_PASSAGE, function=region)


def visits(regions):
    """Lanes: the last basin visited, from −1; how often each was seen; how often each was the last; transitions."""
    names = {f"region{b}": region for b, region in enumerate(regions)}
    labels = "".join(f"{b} if {name}(here) else " for b, name in enumerate(names)) + "-1"
    return _build(_VISITS.format(labels=labels, m=len(regions)), **names)


def custom(function):
    """Lanes are the user's."""
    return _build(_CUSTOM, function=function)


def _each(shape, store):
    values = ["value" + "".join(f"[{j}]" for j in index) for index in np.ndindex(*shape)]
    return "\n        ".join(store.format(c=c, value=value) for c, value in enumerate(values))


def _build(source, **functions):
    return built(source, "observe", functools.partial(observer_kernel, cache=False), **functions)
