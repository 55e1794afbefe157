"""Who reaches whom: questions about the graph of a chain that come before any arithmetic."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from dynsim._typing import ArrayLike

_SHOWN = 4  # sets in a message


def closed_classes(transition: sparse.csr_array, leak: ArrayLike | None = None) -> list[np.ndarray]:
    """Classes of communicating states that a chain never leaves.

    Parameters
    ----------
    transition : csr_array, shape (m, m)
        Probabilities or rates, ≥ 0; only whether they are 0 matters.
    leak : array_like, shape (m,), optional
        Probability of leaving all states: a class from which the chain leaks is not closed.

    Returns
    -------
    list of ndarray of int
        Indices of the states of each class, increasing; none where the chain leaks away from everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> chain = sparse.csr_array(np.array([[1.0, 0, 0], [0.5, 0, 0.5], [0, 0, 1.0]]))
    >>> [members.tolist() for members in closed_classes(chain)]
    [[0], [2]]
    """
    rows, columns = transition.nonzero()
    graph = sparse.csr_array((np.ones(rows.size, dtype=bool), (rows, columns)), shape=transition.shape)
    n_classes, label = connected_components(graph, directed=True, connection="strong")
    left = np.zeros(n_classes, dtype=bool)
    left[label[rows[label[rows] != label[columns]]]] = True
    if leak is not None:
        left[label[np.asarray(leak) > 0]] = True
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(n_classes + 1))
    return [order[starts[c] : starts[c + 1]] for c in np.flatnonzero(~left)]


def largest_component(rates) -> np.ndarray:
    """Numbers of the members of the largest class of communicating states."""
    label = connected_components(rates, directed=True, connection="strong")[1]
    return np.flatnonzero(label == np.argmax(np.bincount(label)))


def reaches(rates, marked) -> np.ndarray:
    """Which states (m,) bool lead to a marked one in any number of jumps, themselves included."""
    m = rates.shape[0]
    marked = np.flatnonzero(marked)
    backwards = sparse.csr_array(rates.T)
    source = sparse.csr_array((np.ones(marked.size), (np.zeros(marked.size, dtype=int), marked)), shape=(1, m))
    graph = sparse.block_array([[backwards, None], [source, sparse.csr_array((1, 1))]], format="csr")
    found = np.zeros(m + 1, dtype=bool)
    found[breadth_first_order(graph, m, return_predecessors=False)] = True
    return found[:m]


def surely_leaves(rates, leaving, alive, surely=True) -> np.ndarray:
    """Which of the states alive leave in the end with probability 1, or (``surely=False``) with a positive one."""
    may = reaches(rates, (leaving > 0) & alive) & alive
    if not surely:
        return may
    stuck = alive & ~may
    return may & ~reaches(rates, stuck) if stuck.any() else may


def reducible(label, classes, x, grid=None) -> str:
    """The reason why there is no unique stationary law, with the classes."""
    sets = [x[members] for members in classes]
    if grid is not None and len(sets) > _SHOWN:  # neighbors, as where nothing moves, are shown as one
        from scipy.ndimage import label as connected

        closed = np.zeros(grid.size, dtype=bool)
        closed[np.concatenate(classes)] = True
        piece, n = connected(closed.reshape(grid.shape), np.ones((3,) * grid.dim))
        sets = [x[piece.ravel() == k + 1] for k in range(min(n, _SHOWN + 1))]
    shown = "; ".join(map(_extent, sets[:_SHOWN]))
    more = ", …" if len(sets) > _SHOWN else ""
    advice = "start with x0 in one of them" if grid is None else "choose bounds around one of them"
    return (
        f"the stationary law of {label} is not unique: it never leaves any of {len(classes)} closed sets, in "
        f"{shown}{more}; {advice}"
    )


def _extent(points):
    """The box around some points, for a message."""
    sides = zip(points.min(axis=0), points.max(axis=0), strict=True)
    return " × ".join(f"[{a:g}, {b:g}]" if a < b else f"{a:g}" for a, b in sides)
