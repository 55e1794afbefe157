"""The slow modes of a Markov process: Arnoldi's method on the inverse of its generator."""

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from dynsim.errors import NotApplicable
from dynsim.stationary.elimination import Elimination

_DENSE = 200  # up to so many states all eigenvalues are computed, where slow modes are no slower than this share
_CANDIDATES, _CANDIDATES_MORE = 2, 6  # eigenvalues near 0 among which the slowest are: fast turns are far from it
_SHARE = 1e-7  # of the slowest mode's time: what is faster would drown in its rounding, and is found without it


def slow_modes(rates, killing, places, log_p, k, transition=None):
    """Decay λ (k,) complex and functions (k, m) of the slowest modes: (D − R) f = λ f, by Re λ or for a chain −|1 − λ|.

    ``log_p`` is the stationary law, None where the process is killed; ``transition`` the matrix of a chain.
    """
    m = rates.shape[0]
    decay, functions = [], []
    if log_p is not None:
        decay.append(np.zeros(1))
        functions.append(np.ones((1, m)))
    wanted = min(_CANDIDATES * k + _CANDIDATES_MORE, m) - len(decay)
    if k > len(decay):
        found = _of_inverse(rates, killing, places, log_p, wanted)
        decay.append(found[0])
        functions.append(found[1])
        if transition is not None:
            found = _of_transition(transition, k, np.concatenate(decay))
            decay.append(found[0])
            functions.append(found[1])
    decay, functions = np.concatenate(decay), np.concatenate(functions)
    order = np.argsort(decay.real if transition is None else -np.abs(1 - decay), kind="stable")[:k]
    return decay[order].astype(complex), functions[order].astype(complex)


def _of_inverse(rates, killing, places, log_p, k):
    m = rates.shape[0]
    killed = log_p is None
    p = None if killed else np.exp(log_p)
    root = None if killed else int(np.argmax(log_p))
    elimination = Elimination(rates, places, leaving=killing if killed else None, root=root)
    known_right, known_left = np.empty((m, 0)), np.empty((m, 0))  # biorthonormal

    def project(x):
        x = x if killed else x - p @ x
        return x - known_right @ (known_left.T @ x)

    def project_left(y):
        y = y if killed else y - p * y.sum()
        return y - known_left @ (known_right.T @ y)

    def forward(b):
        return project(elimination.solve(project(b.ravel())))

    def backward(c):
        return project_left(elimination.solve_left(project_left(c.ravel())))

    decay, functions = np.empty(0, dtype=complex), np.empty((0, m), dtype=complex)
    while decay.size < k:
        missing = min(k - decay.size, m - (0 if killed else 1) - decay.size)
        if missing <= 0:
            break
        values, vectors = _largest(forward, m, missing)
        near = np.abs(values) > _SHARE * np.abs(values).max()
        values, vectors = values[near], vectors[:, near]
        decay = np.append(decay, 1 / values)
        functions = np.concatenate([functions, (vectors / _peak(vectors)).T])
        if near.all():
            break
        left = _largest(backward, m, values.size)[1]
        right, left = _real_basis(vectors), _real_basis(left)
        left = left @ np.linalg.inv(right.T @ left)  # one basis dual to the other
        known_right, known_left = np.column_stack([known_right, right]), np.column_stack([known_left, left])
    return decay, functions


def _largest(operator, m, k):
    """Eigenvalues of largest modulus, in decreasing order, and their vectors as columns."""
    if m <= _DENSE or k >= m - 2:
        values, vectors = np.linalg.eig(np.column_stack([operator(e) for e in np.eye(m)]))
    else:
        start = np.cos(np.arange(m, dtype=np.float64) ** 2)  # nothing in common with any mode
        try:
            values, vectors = eigs(LinearOperator((m, m), matvec=operator, dtype=np.float64), k, v0=start)
        except ArpackNoConvergence as stopped:
            raise NotApplicable(f"only {len(stopped.eigenvalues)} of {k} modes were found; ask for fewer") from None
    order = np.argsort(-np.abs(values))[:k]
    return values[order], vectors[:, order]


def _of_transition(transition, k, known):
    """Modes of a chain that are far from eigenvalue 1 and slow all the same, like those of period two."""
    m = transition.shape[0]
    if m <= _DENSE or k >= m - 2:
        values, vectors = np.linalg.eig(transition.toarray())
    else:
        try:
            values, vectors = eigs(transition, k, v0=np.cos(np.arange(m, dtype=np.float64) ** 2))
        except ArpackNoConvergence as stopped:
            values, vectors = stopped.eigenvalues, stopped.eigenvectors
    new = np.array([np.abs(1 - value - known).min() > 1e-6 for value in values], dtype=bool)
    return 1 - values[new], (vectors[:, new] / _peak(vectors[:, new])).T


def _peak(vectors):
    """The entry of largest modulus of each column."""
    return vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]


def _real_basis(vectors):
    """Real columns that span what complex ones, given with their conjugates, span."""
    both = np.column_stack([vectors.real, vectors.imag])
    u, s, _ = np.linalg.svd(both, full_matrices=False)
    return u[:, s > 1e-8 * s[0]]
