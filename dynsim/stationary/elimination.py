"""Elimination without subtraction (Grassmann, Taksar & Heyman 1985): tiny probabilities to full relative accuracy.

Every quantity is a sum of products of nonnegative numbers, so each entry of the answer has a small *relative* error,
however small it is; Gaussian elimination loses all digits of a probability of 1e-20. Dense chains of few states are
eliminated in extended precision, where the platform has it, for the sake of its exponents: 1e-4932 instead of 1e-308.
"""

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim.errors import NotApplicable, TooLarge

_LEAF = 32  # states that are not cut in two any more


def log_stationary(transition) -> np.ndarray:
    """Logarithms of the stationary probabilities of an irreducible chain; transition (m, m) dense, rows sum to 1."""
    a = np.array(transition, dtype=np.longdouble)
    m = a.shape[0]
    leaving = np.empty(m, dtype=np.longdouble)
    for k in range(m - 1, 0, -1):
        leaving[k] = _eliminate(a, k)
    log_p = np.zeros(m, dtype=np.longdouble)
    for k in range(1, m):
        into = np.flatnonzero(a[:k, k])
        log_p[k] = np.logaddexp.reduce(log_p[into] + np.log(a[into, k])) - np.log(leaving[k])
    return (log_p - np.logaddexp.reduce(log_p)).astype(np.float64)


def log_mean_time_to_leave(transition, start) -> float:
    """Logarithm of the expected number of steps from state ``start`` until the chain leaves a set of states.

    ``transition`` (m, m + 1) holds the probabilities among the states of the set and, in its last column, of leaving.
    """
    order = np.r_[start, np.delete(np.arange(transition.shape[0]), start)]
    a = transition[np.ix_(order, np.r_[order, transition.shape[0]])].astype(np.longdouble)
    m = a.shape[0]
    time = np.ones(m, dtype=np.longdouble)
    for k in range(m - 1, 0, -1):
        into = np.flatnonzero(a[:k, k])
        shares = a[into, k] / _eliminate(a, k)
        time[into] += shares * time[k]
    return float(np.log(time[0]) - np.log(a[0, m:].sum()))


def _eliminate(a, k):
    """Take state k out of the chain: what went to k now goes on to where k goes. Columns past k count as kept."""
    keep = np.r_[0:k, a.shape[0] : a.shape[1]]
    leaving = a[k, keep].sum()
    if leaving == 0:
        raise NotApplicable(
            f"some of the chain's probabilities are too small for numbers down to {np.finfo(a.dtype).tiny:.0e}"
        )
    into = np.flatnonzero(a[:k, k])
    onto = keep[np.flatnonzero(a[k, keep])]
    a[np.ix_(into, onto)] += np.outer(a[into, k] / leaving, a[k, onto])
    return leaving


def dissected(matrix, points, root=None):
    """Nested dissection of the states of a sparse matrix (m, m) that are at ``points`` (m, d); the root comes last.

    Returns their order (m,), where each separator begins in it, and of how many it is the parent.
    """
    from dynsim._kernels.dissection import dissect

    pattern = (abs(matrix) + abs(matrix).T).tocsr()
    coordinates = np.ascontiguousarray(np.asarray(points, dtype=np.float64).T)
    return dissect(*_structure(pattern), coordinates, _LEAF, -1 if root is None else root)


def downhill(rates) -> int:
    """The state where most end up that always take the likeliest jump: it is never far from the likely ones."""
    m = rates.shape[0]
    fastest = np.maximum.reduceat(rates.data, rates.indptr[:-1])
    row = np.repeat(np.arange(m), np.diff(rates.indptr))
    best = np.flatnonzero(rates.data == fastest[row])
    follows = np.empty(m, dtype=np.int64)
    follows[row[best]] = rates.indices[best]
    for _ in range(int(m).bit_length()):
        follows = follows[follows]
    return int(np.argmax(np.bincount(follows, minlength=m)))


class Elimination:
    """D − R of a sparse Markov chain in factors without subtraction: R ≥ 0 the rates between states, D their row sums.

    Parameters
    ----------
    rates : csr_array, shape (m, m)
        R; what stands on its diagonal does not matter.
    points : ndarray, shape (m, d)
        Where the states are: neighbors should be near each other.
    leaving : ndarray, shape (m,), optional
        Rates out of the chain, which D includes.
    root : int, optional
        A state that is kept. Without ``leaving`` the matrix is singular and one is needed: the one :func:`downhill` by
        default, as the way from another to the likely states may be improbable beyond floating point.
    stationary_only : bool, optional
        Save a third of the memory, and be good for :meth:`log_stationary` alone.
    most : float, optional
        Refuse if G and W have more numbers than that.

    Raises
    ------
    NotApplicable
        If a state that is not the root is never left.
    TooLarge
        If the factors would not fit in memory.
    """

    def __init__(self, rates, points, *, leaving=None, root=None, stationary_only=False, most=None):
        from dynsim._kernels.dissection import borders
        from dynsim._kernels.elimination import eliminate, layout

        m = rates.shape[0]
        if leaving is None and root is None:
            root = downhill(rates)
        self._order, starts, children = dissected(rates, points, root)
        rank = np.empty(m, dtype=np.int64)
        rank[self._order] = np.arange(m)
        entries = rates.tocoo()
        permuted = sparse.csr_array((entries.data, (rank[entries.row], rank[entries.col])), shape=(m, m))
        backwards = permuted.T.tocsr()
        pointers, border = borders(*_structure((permuted + backwards).tocsr()), starts, children)
        self._tree = (starts, children, pointers, border)
        self._panels, size = layout(self._tree)
        n_inverse, n_border, widest, stacked = size.tolist()
        if most is not None and n_inverse + n_border > most:
            raise TooLarge(f"elimination would take {n_inverse + n_border} numbers")
        _check.fits_in_memory(
            "the factors of elimination",
            (n_inverse + n_border * (1 if stationary_only else 2) + widest**2 + stacked,),
            instead="use fewer cells, or solver='aggregation'",
        )
        self._factors = tuple(np.empty(n) for n in (n_inverse, n_border, 0 if stationary_only else n_border))
        exits = np.zeros(m) if leaving is None else np.array(leaving, dtype=np.float64)[self._order]
        stuck = eliminate(_matrix(permuted), _matrix(backwards), exits, self._tree, self._factors, size)
        if stuck >= 0:
            raise NotApplicable(
                "some state is never left, or at a rate below 1e-308: barriers are too high for floating point"
            )

    def log_stationary(self) -> np.ndarray:
        """Logarithms of the stationary probabilities."""
        from dynsim._kernels.elimination import log_stationary

        log_p = np.zeros(self._order.size)
        log_stationary(self._tree, self._panels, self._factors[1], log_p)
        result = np.empty_like(log_p)
        result[self._order] = log_p
        return result - np.logaddexp.reduce(result)

    def solve(self, b) -> np.ndarray:
        """X with (D − R) x = b, and x = 0 at the root: for b ≥ 0 to full relative accuracy; b (m,) or (m, columns)."""
        from dynsim._kernels.substitution import solve

        return self._solve(solve, b)

    def solve_left(self, c) -> np.ndarray:
        """Y with yᵀ(D − R) = cᵀ, likewise."""
        from dynsim._kernels.substitution import solve_left

        return self._solve(solve_left, c)

    def _solve(self, kernel, b):
        b = np.asarray(b, dtype=np.float64)
        x = np.ascontiguousarray(b.reshape(b.shape[0], -1)[self._order])
        kernel(self._tree, self._panels, self._factors, x)
        result = np.empty_like(x)
        result[self._order] = x
        return result.reshape(b.shape)


def _structure(matrix):
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)


def _matrix(matrix):
    return *_structure(matrix), np.ascontiguousarray(matrix.data, dtype=np.float64)
