"""How a time loop shows its states to observers.

An observer is a compiled function of one block that keeps its tally in ``lanes`` (rows, W), a column for each path,
and in ``tally`` (size,), which the paths of one kernel call share and in which it must only count whole numbers, so
that the order of adding does not matter. Any number of observers are passed as an array of addresses: unlike a tuple
of functions it has one type for all numbers of them, and costs nothing to pass.
"""

from numba import types

from dynsim._kernels.jit import (
    BLOCK,
    BLOCKS,
    FLOAT,
    INT,
    INTS,
    SAVES,
    VECTOR,
    addresses_of,
    formula,
    function_at,
    kernel,
)

# n-th observation (from 0), t, first path, number of real paths (the rest of the block is padding), x (d, W), params,
# lanes (rows, W), tally (size,)
OBSERVER = (INT, FLOAT, INT, INT, BLOCK, VECTOR, BLOCK, VECTOR)

# Columns of the layout, a row for each observer: first step it sees, and every how many; where its params, its rows of
# the lanes and its part of the tally start and end.
BURN_IN, EVERY, PARAMS, LANES, TALLY, COLUMNS = 0, 1, 2, 4, 6, 8

# addresses, layout, params of all, lanes (blocks, rows, W), tally, number of paths
OBSERVATION = types.Tuple([INTS, INT[:, ::1], VECTOR, BLOCKS, VECTOR, INT])


def observer_kernel(function, *, cache=True):
    """Compile an observer."""
    return kernel(types.void(*OBSERVER), cache=cache)(function)


_observer_at = function_at(*OBSERVER)


def addresses(observers):
    """What a loop is told of compiled observers."""
    return addresses_of(*((observer, OBSERVER) for observer in observers))


@formula
def observe(k, t, path, b, x, observation):
    """Show x (d, W), block b after step k, at time t, to the observers that want to see it."""
    functions, layout, params, lanes, tally, n_paths = observation
    for o in range(functions.shape[0]):
        since = k - layout[o, BURN_IN]
        if since >= 0 and since % layout[o, EVERY] == 0:
            _observer_at(functions[o])(
                since // layout[o, EVERY],
                t,
                path,
                min(x.shape[1], n_paths - path),
                x,
                params[layout[o, PARAMS] : layout[o, PARAMS + 1]],
                lanes[b][layout[o, LANES] : layout[o, LANES + 1]],
                tally[layout[o, TALLY] : layout[o, TALLY + 1]],
            )


@kernel(types.void(OBSERVATION, INTS, VECTOR, SAVES))
def observe_saved(observation, steps, times, saved):
    """The same for the states that a run has kept: saved (blocks, n_saved, d, W), after the given steps."""
    for b in range(saved.shape[0]):
        for s in range(saved.shape[1]):
            observe(steps[s], times[s], b * saved.shape[3], b, saved[b][s], observation)
