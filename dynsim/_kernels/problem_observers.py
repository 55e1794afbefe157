"""Observers of L(θ) or ‖∇L(θ)‖ along a run: the problem's own block field is called once for each term.

The field's address is passed among the parameters, as a float64, which holds it exactly: a process's addresses have
less than 53 bits. So one observer, cached on disk, serves all problems, a user's own included.

params: [address, number of terms, level, weights (n_terms,), parameters of the problem].
"""

import functools
import itertools

import numpy as np
from numba import types
from numba.core import config

from dynsim._kernels.fields import GRADIENTS, LOSSES
from dynsim._kernels.jit import BLOCK, VECTOR, addresses_of, formula, function_at, kernel_of, widest_vectors
from dynsim._kernels.observing import OBSERVER

_losses_at, _gradients_at = function_at(*LOSSES), function_at(*GRADIENTS)
_HEADER = 3


def params_of(field, arguments, weights, params, level):
    """What an observer is given of a problem. The field must be kept alive meanwhile."""
    return [_number_of(field, arguments), weights.size, level, *weights, *params]


def params_of_several(parts):
    """One list of several: where each begins and the last ends, and then what ``params_of`` says of each."""
    header = len(parts) + 1
    ends = itertools.accumulate((len(part) for part in parts), initial=header)
    return [*ends, *itertools.chain.from_iterable(parts)] if parts else []


def _number_of(field, arguments):
    return float(addresses_of((field, arguments))[0])


@formula
def _terms(x, params, out):
    """Number of terms and the problem's own parameters, with out (W,) made 0."""
    n_terms = np.int64(params[1])
    for i in range(x.shape[1]):
        out[i] = 0.0
    return n_terms, params[_HEADER + n_terms :]


@formula
def fill_loss(x, params, out):
    """out[i] = L(θ_i)."""
    widest_vectors()
    losses = _losses_at(np.int64(params[0]))
    n_terms, own = _terms(x, params, out)
    term, values = np.empty(x.shape[1], dtype=np.int64), np.empty(x.shape[1])
    for n in range(n_terms):
        term[:] = n
        losses(x, own, term, values)
        weight = params[_HEADER + n]
        for i in range(x.shape[1]):
            out[i] += weight * values[i]


@formula
def fill_gradient_norm(x, params, out):
    """out[i] = ‖∇L(θ_i)‖."""
    widest_vectors()
    gradients = _gradients_at(np.int64(params[0]))
    n_terms, own = _terms(x, params, out)
    term, values, total = np.empty(x.shape[1], dtype=np.int64), np.empty_like(x), np.zeros_like(x)
    for n in range(n_terms):
        term[:] = n
        gradients(x, own, term, values)
        weight = params[_HEADER + n]
        for j in range(x.shape[0]):
            for i in range(x.shape[1]):
                total[j, i] += weight * values[j, i]
    for j in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[i] += total[j, i] * total[j, i]
    for i in range(x.shape[1]):
        out[i] = np.sqrt(out[i])


FILLS = {"loss": fill_loss, "gradient-norm": fill_gradient_norm}


@functools.cache
def filling(quantity):
    """The fill of a quantity, compiled: for kernels that are generated, which would compile it anew each time."""
    fill = FILLS[quantity]

    @kernel_of(fill, types.void(BLOCK, VECTOR, VECTOR), cache=True)
    def filled(x, params, out):
        fill(x, params, out)

    return filled


@functools.cache
def first_below(fill):
    """Lane 0 is the first time at which the quantity is at most the level, from inf."""

    @kernel_of(fill, types.void(*OBSERVER), cache=True)
    def observe(n, t, path, live, x, params, lanes, tally):
        widest_vectors()
        values = np.empty(x.shape[1])
        fill(x, params, values)
        level = params[2]
        for i in range(x.shape[1]):
            lanes[0, i] = t if values[i] <= level and t < lanes[0, i] else lanes[0, i]

    return observe


@functools.cache
def average(fill):
    """Lane 0 is the sum of the quantity."""

    @kernel_of(fill, types.void(*OBSERVER), cache=True)
    def observe(n, t, path, live, x, params, lanes, tally):
        widest_vectors()
        values = np.empty(x.shape[1])
        fill(x, params, values)
        for i in range(x.shape[1]):
            lanes[0, i] += values[i]

    return observe


@functools.cache
def extremes(fill):
    """Lanes are the smallest and the largest value; NaN changes neither."""

    @kernel_of(fill, types.void(*OBSERVER), cache=True)
    def observe(n, t, path, live, x, params, lanes, tally):
        widest_vectors()
        values = np.empty(x.shape[1])
        fill(x, params, values)
        for i in range(x.shape[1]):
            lanes[0, i] = values[i] if values[i] < lanes[0, i] else lanes[0, i]
            lanes[1, i] = values[i] if values[i] > lanes[1, i] else lanes[1, i]

    return observe


if config.DISABLE_JIT:  # without machine code there are no addresses: a number stands for the function itself
    _FIELDS: dict = {}

    def _number_of(field, arguments):
        _FIELDS[len(_FIELDS)] = field
        return len(_FIELDS) - 1

    def _losses_at(address):
        return _FIELDS[int(address)]

    _gradients_at = _losses_at
