"""The levels of multilevel aggregation: blocks of the cells of a grid, or pairs of those that exchange most."""

from dataclasses import dataclass, field
from itertools import cycle, product

import numpy as np
from scipy import sparse

_COARSEST = 64  # states of the chain that is solved by elimination, which takes 0.1 ms
_WEAKEST = 0.02  # share of the exchange of either of two cells, below which they are not paired


@dataclass(eq=False)
class Level:
    """A chain of aggregates, its rates in the order of their targets."""

    chain: tuple  # first, source, rate, leaving, as the kernels want them
    orders: cycle  # of the sweeps, one after the other
    within: tuple = ()  # group (of each state of the finer level), place (of each of its rates)
    masses: np.ndarray = field(init=False)
    steps: np.ndarray = field(init=False)

    def __post_init__(self):
        m = self.chain[3].size
        self.masses, self.steps = np.empty((3, m)), np.empty((2, m))


def finest_level(rates, shape, cells):
    """The level of the cells themselves."""
    incoming = rates.T.tocsr()
    source = incoming.indices.astype(np.int32)
    leaving = np.bincount(source, incoming.data, rates.shape[0])
    orders = _grid_orders(shape, cells, rates.shape[0])
    return Level((incoming.indptr.astype(np.int32), source, incoming.data, leaving), orders)


def _grid_orders(shape, cells, m):
    """Orders of the states along each of the 2^dim diagonals of the grid, opposite ones in turn; others come last."""
    number = np.full(np.prod(shape), -1, dtype=np.int32)
    number[cells] = np.arange(cells.size)
    others = np.arange(cells.size, m, dtype=np.int32)
    number = number.reshape(shape)
    orders = []
    for flips in product((False, True), repeat=len(shape) - 1):
        axes = [axis + 1 for axis, flip in enumerate(flips) if flip]
        order = np.flip(number, axes).ravel()
        order = order[order >= 0]
        orders += [np.concatenate([order, others]), np.concatenate([order[::-1], others])]
    return cycle(orders)


def _point_orders(points, m):
    """The same for states at points (n, dim)."""
    others = np.arange(points.shape[0], m, dtype=np.int32)
    orders = []
    for signs in product((1, -1), repeat=points.shape[1] - 1):
        order = np.lexsort((points * np.array([1, *signs])).T[::-1]).astype(np.int32)
        orders += [np.concatenate([order, others]), np.concatenate([order[::-1], others])]
    return cycle(orders)


def blocks(finest, shape, cells):
    """Levels of blocks of 2^dim cells; a state that is not on the grid stays alone."""
    levels = [finest]
    while cells.size > _COARSEST:
        coarse_shape = tuple((n + 1) // 2 for n in shape)
        corner = [index // 2 for index in np.unravel_index(cells, shape)]
        cells, group = np.unique(np.ravel_multi_index(corner, coarse_shape), return_inverse=True)
        shape = coarse_shape
        others = range(cells.size, cells.size + levels[-1].chain[3].size - group.size)
        group = np.concatenate([group, others]).astype(np.int32)
        m = cells.size + len(others)
        levels.append(_aggregated(levels[-1], group, m, _grid_orders(shape, cells, m)))
    return levels


def pairs(finest, shape, cells, mass):
    """Levels of pairs of pairs of states that exchange much, as far as there are any."""
    from dynsim._kernels import aggregation as kernels

    levels = [finest]
    first, source, rate, _ = finest.chain
    flux = sparse.csr_array((rate * mass[source], source, first))
    flux = (flux + flux.T)[: cells.size, : cells.size]
    first, neighbor, flux = flux.indptr.astype(np.int32), flux.indices.astype(np.int32), flux.data
    points = np.stack(np.unravel_index(cells, shape), axis=1).astype(float)
    while points.shape[0] > _COARSEST:
        group = np.arange(points.shape[0], dtype=np.int32)
        n = group.size
        for _ in range(2):
            pair = np.empty(n, np.int32)
            n = kernels.match(first, neighbor, flux, _WEAKEST, np.empty(pair.size), pair)
            first, neighbor, place = _joined(first, neighbor, pair, n)
            flux = np.bincount(place[place >= 0], flux[place >= 0], neighbor.size)
            group = pair[group]
        if n > 0.9 * points.shape[0]:
            break
        sizes = np.bincount(group)
        points = np.stack([np.bincount(group, x) / sizes for x in points.T], axis=1)
        others = range(n, n + levels[-1].chain[3].size - group.size)
        group = np.concatenate([group, others]).astype(np.int32)
        m = n + len(others)
        levels.append(_aggregated(levels[-1], group, m, _point_orders(points, m)))
    return levels


def _aggregated(level, group, m, orders):
    """The level above another; its rates are filled in by each cycle."""
    first, source, place = _joined(*level.chain[:2], group, m)
    return Level((first, source, np.empty(source.size), np.empty(m)), orders, (group, place))


def _joined(first, source, group, m):
    """Pattern of the chain of groups, and where each rate goes in it."""
    from dynsim._kernels import aggregation as kernels

    members = np.argsort(group, kind="stable").astype(np.int32)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=m))]).astype(np.int32)
    coarse_first, coarse_source, place = np.empty(m + 1, np.int32), np.empty_like(source), np.empty_like(source)
    n = kernels.join(first, source, group, members, bounds, coarse_first, coarse_source, place)
    return coarse_first, coarse_source[:n].copy(), place
