"""Growth in the plane: the direction of w is a Markov chain on a circle, its operators matrices on a grid of angles.

The map w' = M w, M = I − η A, is homogeneous of degree 1 also where the draw depends on the direction u of w. So
E‖w_k‖² is Kᵏ 1 at the first direction, with (K f)(u) = E[‖M u‖² f(direction of M u)] on even functions, and its rate
of growth the Perron root of K; the top Lyapunov exponent is the mean of E log‖M u‖ over the stationary law of u.

K f = ρ f is solved for f/h, with h(u) = uᵀ S u of :func:`eigenform`, by linear interpolation between angles: positive
weights, and no error at all where the p_n are fixed and f is therefore a quadratic form. The kinks that f has where
some H_n u = 0 cost O(1/m) in one cell of m, hence O(1/m²) of the growth where the directions have a density.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, splu

from dynsim.stability.dynamics import Dynamics

_MOST_OUTCOMES = 600  # different batches up to which all are enumerated
_CHUNK = 2**17  # entries at a time
_MOST_ENTRIES = 2**21  # of a matrix
_COARSEST, _FINEST = 64, 4096  # angles
_ACCURACY = 1e-5  # of a threshold, at which the grid is fine enough
_CLOUD = 128  # directions over which the form is averaged
_REGULAR = 1e-3  # of tr S/r is added to S, which may be singular
_POWERS, _NODA = 500, 60  # iterations
_FEW = 0.05  # share of entries up to which sparse elimination pays
_RATIO = 1.2  # between the step sizes of a scan


def update(dynamics: Dynamics, eta: float) -> tuple[np.ndarray, np.ndarray, int]:
    """D (s, s), G (s,) and the row i of z' = D z + G A z_i, the step on z = (w), (w, ηv) or (w, q) of rows (r,)."""
    mu = dynamics.momentum
    if dynamics.kind == "sgd":
        return np.eye(1), np.array([-eta]), 0
    if dynamics.kind == "heavy-ball":
        return np.array([[1.0, -mu], [0.0, mu]]), np.array([-eta, eta]), 0
    return np.array([[0.0, 1.0], [-mu, 1 + mu]]), np.array([-eta, -eta * (1 + mu)]), 1


def is_deterministic(dynamics: Dynamics) -> bool:
    """Whether every draw gives A w = H w."""
    draws = dynamics.draws
    full = draws.second is not None and not draws.second.any() and draws.mean == 1
    return full or dynamics.weights.size == 1 or (dynamics.rank == 1 and draws.share == 1)


def eigenform(dynamics: Dynamics, eta: float, u: np.ndarray) -> np.ndarray:
    """S (sr, sr) of a quadratic form zᵀ S z that is nearly multiplied by a constant in the mean over a step.

    It is the Perron eigenvector of S ↦ E[Mᵀ S M], exact for fixed p_n. Where they depend on direction, a_n²/p_n(u) is
    averaged over the directions u (m, r) with the weights ‖H_n u‖².
    """
    D, G, row = update(dynamics, eta)
    r, H, draws = dynamics.rank, dynamics.curvatures, dynamics.draws
    second = draws.second
    if second is None:
        squares, p = dynamics.norms(u) ** 2, dynamics.probabilities(u)
        ratio = np.divide(dynamics.weights**2 * squares, p, out=np.zeros_like(p), where=squares > 0).sum(axis=0)
        total = squares.sum(axis=0)
        second = np.divide(ratio, total, out=np.zeros_like(total), where=total > 0) / draws.batch
    size = D.shape[0] * r
    query = np.zeros((r, size))
    query[:, row * r : (row + 1) * r] = np.eye(r)
    gain = np.kron(G[:, None], np.eye(r))
    mean = np.kron(D, np.eye(r)) + gain @ (H[:, None] * query)

    def image(flat):
        S = flat.reshape(size, size)
        inner = gain.T @ S @ gain
        if dynamics.features is None:
            spread = np.einsum("n,njk,kl,nlm->jm", second, dynamics.hessians, inner, dynamics.hessians, optimize=True)
        else:
            x = dynamics.features
            spread = (x.T * (second * ((x @ inner) * x).sum(axis=1))) @ x
        spread += (draws.mean - 1) * H[:, None] * inner * H
        return (mean.T @ S @ mean + query.T @ spread @ query).ravel()

    if size == 1:
        return np.ones((1, 1))
    S = perron(LinearOperator((size**2, size**2), matvec=image, dtype=float), np.eye(size).ravel())[1]
    S = S.reshape(size, size)
    S = (S + S.T) / np.trace(S)
    return S / 2 + _REGULAR / size * np.eye(size)


def perron(K: LinearOperator | sparse.csr_array, start: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest real eigenvalue of a positive operator and its eigenvector.

    By Arnoldi's iteration, and where the gap below is too small for it by Noda's: inverse iteration with the smallest
    shift that is certainly not below the eigenvalue, max (K x)_j/x_j, which converges quadratically for every gap.
    """
    size = start.size
    try:
        values, vectors = eigs(K, k=1, which="LR", v0=start, ncv=min(size, 24), tol=1e-11, maxiter=100)
        value, x = float(values[0].real), vectors[:, 0].real
        return value, x * np.sign(x.sum())
    except ArpackNoConvergence:
        if not sparse.issparse(K):  # S ↦ E[Mᵀ S M]: any S near the eigenvector serves
            x = start
            for _ in range(_POWERS):
                x = K @ x
                x /= np.linalg.norm(x)
            return float(x @ (K @ x)), x
    x = np.ones(size)
    value = math.inf
    for _ in range(_NODA):
        last, value = value, (K @ x / x).max()
        if not value < last * (1 - 1e-13):
            break
        shifted = value * (1 + 1e-14) * sparse.eye_array(size) - K
        solve = splu(shifted.tocsc()).solve if K.nnz < _FEW * size**2 else partial(np.linalg.solve, shifted.toarray())
        x = solve(x)
        x = np.maximum(np.abs(x) / np.abs(x).max(), 1e-100)
    return float(x @ (K @ x) / (x @ x)), x


def are_few(dynamics: Dynamics) -> bool:
    """Whether a step has few enough outcomes for all to be enumerated."""
    n, B = dynamics.weights.size, dynamics.draws.batch
    return B == 1 or math.comb(n if dynamics.draws.distinct else n + B - 1, B) <= _MOST_OUTCOMES


def outcomes(dynamics: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """What can be drawn: terms (q, B), and in how many orders (q,) each batch comes."""
    n, B = dynamics.weights.size, dynamics.draws.batch
    if B == 1:
        return np.arange(n)[:, None], np.ones(n)
    choose = itertools.combinations if dynamics.draws.distinct else itertools.combinations_with_replacement
    index = np.array(list(choose(range(n), B)))
    orders = [math.factorial(B) / math.prod(map(math.factorial, np.bincount(batch))) for batch in index]
    return index, np.array(orders)


def steps(dynamics: Dynamics, u: np.ndarray, drawn: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (m, q) of all outcomes at u (m, r), and A u (m, q, r)."""
    index, orders = drawn
    n, p = dynamics.weights.size, dynamics.probabilities(u)
    if dynamics.draws.distinct:
        chance = np.broadcast_to(1 / len(index), (len(u), len(index)))
        scale = np.broadcast_to(n * dynamics.weights, p.shape)
    else:
        chance = orders * p[:, index].prod(axis=-1)
        scale = np.divide(dynamics.weights, p, out=np.zeros(p.shape), where=p > 0)
    pulls = scale[..., None] * dynamics.each(u)
    return chance, pulls if index.shape[1] == 1 else pulls[:, index].mean(axis=2)


def circle(dynamics: Dynamics, eta: float, m: int, S: np.ndarray, power: int) -> tuple[sparse.csr_array, np.ndarray]:
    """The matrix (m, m) of φ ↦ E[g(u)^(power/2) φ(u')], g = h(M u)/h(u), on m angles, and there E log g/2, (m,)."""
    drawn = outcomes(dynamics)
    angle = (np.arange(m) + 0.5) * np.pi / m
    parts, logs = [], []
    for part in np.array_split(angle, math.ceil(m * len(drawn[0]) / _CHUNK)):
        u = np.stack([np.cos(part), np.sin(part)], axis=1)
        chance, pull = steps(dynamics, u, drawn)
        after = u[:, None] - eta * pull
        gain = ((after @ S) * after).sum(axis=-1) / ((u @ S) * u).sum(axis=-1)[:, None]
        # the mean of log|φ| over the cell around its zero is log(h/2e)
        floor = (np.pi / m / (2 * np.e)) ** 2
        logs.append(0.5 * (chance * np.log(np.maximum(gain, floor))).sum(axis=1))
        position = np.arctan2(after[..., 1], after[..., 0]) * (m / np.pi) - 0.5
        left = np.floor(position)
        share = position - left
        left = left.astype(np.int64)
        entry = chance * gain ** (power / 2)
        rows = np.broadcast_to(np.arange(part.size)[:, None], entry.shape)
        values = np.stack([(1 - share) * entry, share * entry]).ravel()
        places = (np.stack([rows, rows]).ravel(), np.stack([left % m, (left + 1) % m]).ravel())
        parts.append(sparse.coo_array((values, places), shape=(part.size, m)).tocsr())
    return sparse.vstack(parts, format="csr"), np.concatenate(logs)


def _form(dynamics, eta):
    angle = (np.arange(_CLOUD) + 0.5) * np.pi / _CLOUD
    return eigenform(dynamics, eta, np.stack([np.cos(angle), np.sin(angle)], axis=1))


def growth_on(dynamics: Dynamics, eta: float, m: int, S: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """log of the growth factor of E‖w‖² per step on m angles, and the first direction (2,) for which it is largest."""
    S = _form(dynamics, eta) if S is None else S
    K, _ = circle(dynamics, eta, m, S, 2)
    value, ratio = perron(K, np.ones(m))
    angle = (np.arange(m) + 0.5) * np.pi / m
    u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return math.log(value), u[(ratio * ((u @ S) * u).sum(axis=1)).argmax()]


def exponent_on(dynamics: Dynamics, eta: float, m: int, S: np.ndarray | None = None) -> float:
    """Top Lyapunov exponent on m angles."""
    P, drift = circle(dynamics, eta, m, _form(dynamics, eta) if S is None else S, 0)
    weights = perron(P.T.tocsr(), np.ones(m))[1]
    return float(weights @ drift / weights.sum())


def grid_error(fine: float, middle: float, coarse: float) -> float:
    """Of a value on m cells, from those on m/2 and m/4: that for order 1, or for the measured order where it is lower.

    Where hardly any convergence is seen, 4 times the last change. Orders below 1 come from directions that gather
    along an axis without a density there, as for matrices that commute.
    """
    last, before = abs(fine - middle), abs(middle - coarse)
    return max(last, before / 2, last**2 / max(before - last, last / 4, 1e-300))


def with_error(on_grid: Callable[[int], float], m: int) -> tuple[float, float]:
    """A value on m cells, and its :func:`grid_error`."""
    fine, middle, coarse = on_grid(m), on_grid(m // 2), on_grid(m // 4)
    return fine, grid_error(fine, middle, coarse)


def mean_square_growth(dynamics: Dynamics, eta: float, m: int = 1024) -> tuple[float, float]:
    """log of the growth factor of E‖w‖² per step for r = 2, and a bound on its error."""
    return with_error(lambda m: growth_on(dynamics, eta, m)[0], _fitting(dynamics, m))


def lyapunov(dynamics: Dynamics, eta: float, m: int = 1024) -> tuple[float, float]:
    """Top Lyapunov exponent for r = 2, and a bound on its error."""
    return with_error(lambda m: exponent_on(dynamics, eta, m), _fitting(dynamics, m))


def _fitting(dynamics, m):
    """At most m, so that the matrix stays below _MOST_ENTRIES (it never has more than m² of them)."""
    q = len(outcomes(dynamics)[0])
    return min(m, max(512, 2 ** int(math.log2(_MOST_ENTRIES / q))))


def first_zero(
    dynamics: Dynamics, rate: Callable[[float, int], float], low: float, high: float
) -> tuple[float, float, float]:
    """The smallest η > low at which ``rate``(η, m) turns positive, a bound on its error, and the slope there.

    A scan from ``low``, where the rate is negative, finds a bracket; the root is then followed over finer grids. A rate
    below what two grids differ by counts as negative in the scan.
    """
    before, after = low, low * _RATIO
    while after < high:
        value, error = with_error(partial(rate, after), _COARSEST)
        if value > error:
            break
        before, after = after, after * _RATIO
    m, most = _COARSEST, _fitting(dynamics, _FINEST)

    def root_on(m: int, before: float, after: float) -> float:
        def on_grid(eta: float) -> float:
            return rate(eta, m)

        return _root(on_grid, before, after)

    roots = [root_on(m, before, after)]
    around, error = 2e-3 * roots[0], math.inf
    while 2 * m <= most and error > _ACCURACY * roots[-1]:
        m *= 2
        roots.append(root_on(m, roots[-1] - around, roots[-1] + around))
        if len(roots) > 2:
            error = grid_error(*roots[:-4:-1])
        around = max(4 * abs(roots[-1] - roots[-2]), 1e-9 * roots[-1])
    root = roots[-1]
    slope = (rate(root * 1.001, m) - rate(root * 0.999, m)) / (0.002 * root)
    return root, error, slope


def _root(f, before, after):
    """A zero of f, which grows, in a bracket that is widened until it holds one."""
    low, high = f(before), f(after)
    while low > 0:
        before, after, high = before - (after - before), before, low
        low = f(before)
    while high < 0:
        before, after, low = after, after + (after - before), high
        high = f(after)
    return float(brentq(f, before, after, xtol=1e-10 * after, rtol=1e-12))
