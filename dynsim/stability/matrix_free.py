"""Thresholds for sparse features of many columns, by products with X and Xᵀ alone: no matrix of d × d is made.

Columns that no row uses are left out and the others divided by the roots of the diagonal of H, which brings the
eigenvalues of H together. The largest eigenvalue of a pencil (K, H) is found in a space that grows by the residual
Ku − λHu (Davidson), which needs no solution with H and tolerates that H is singular. Its Ritz value λ is one of the
ratio's values, so 2/λ bounds η* from above for certain. An eigenvalue of the pencil lies within ‖Ku − λHu‖_{H⁻¹}/‖u‖_H
of λ; that it is the largest is likely, after a start with random vectors and the longest rows, but not certain.
``details["floor"]`` is a bound from below that is certain.
"""

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg, eigsh

from dynsim.stability.bounds import Bounds
from dynsim.stability.dynamics import Draws
from dynsim.stability.linearized import Terms
from dynsim.stability.ratio import majorant

_BASIS, _KEPT = 24, 8  # vectors of the space before and after it is cut down
_PRODUCTS = 300  # at most
_PAUSE, _STILL = 10, 1e-10  # products in which λ gains less than this share at the end
_LANCZOS = 1e-7  # residual as a share of λ
_DEPENDENT = 1e-12  # eigenvalues of a Gram matrix below this share are zero
_HEAVY = 3  # rows that are tried as directions
_DESCENT = {"maxiter": 60, "ftol": 1e-11, "gtol": 1e-9}
_POWERS = 10  # steps towards the vector of Perron and Frobenius
_TINY = 1e-14  # share of the mean below which a norm counts as this
_SAME = 1e-12  # spread of coefficients that are one number
_MOST_SMALL = 50  # columns up to which H is formed after all


def bounds(terms: Terms, draws: Draws, criterion: str) -> Bounds:
    """η* of SGD for "one-step", "lemma", "mean-square" or "deterministic" in the user's own units."""
    if criterion == "lemma" and draws.second is None:
        why = "each x_n is orthogonal to some θ_k − θ*, where G̃_n of (3.11) is infinite"
        return Bounds(0.0, 0.0, None, {"vacuous": True, "why": why})
    if criterion == "deterministic":
        return deterministic_products(terms)
    if criterion == "mean-square":
        return mean_square_products(terms, draws)
    return one_step_products(terms, draws)


def deterministic_products(terms: Terms) -> Bounds:
    """2/λ_max(H) by Lanczos steps, between bounds of the size of their residual.

    The floor is by Collatz and Wielandt: λ_max(H) ≤ max_j (|X|ᵀ a |X| z)_j/z_j for any z > 0, and ≤ Σ a_n‖x_n‖². With
    features that are all of one sign it is as good as exact.
    """
    rows = _Rows(terms)
    value, error, v = rows.steepest()
    return rows.bounds(value, error, rows.ceiling(), v, "Lanczos")


def one_step_products(terms: Terms, draws: Draws) -> Bounds:
    """The largest η with E‖w'‖² ≤ ‖w‖² for all w, as :func:`dynsim.stability.one_step.one_step`.

    For fixed draws the pencil is (Σ second_n ‖x_n‖² x_n x_nᵀ + mean H², H). With probabilities by gradient norm it is
    that of the bound on S for c_n = ‖x_n‖², which for RR and single draws is Σ a_n‖x_n‖² H and so certain; the bound
    from the other side is by ascent on the ratio itself.
    """
    rows = _Rows(terms)
    if draws.second is not None:
        q = draws.second * rows.sizes
        certain = (q / rows.weights).max() + (draws.mean * rows.ceiling() if draws.mean else 0.0)
        value, error, v = _davidson(rows, q, draws.mean)
        return rows.bounds(value, error, certain, v, "Davidson")
    c = np.maximum(rows.sizes, _TINY * (rows.weights @ rows.sizes))
    q = majorant(c[:, None], rows.weights, draws.share)[:, 0] / draws.batch * rows.sizes
    certain = (q / rows.weights).max() + draws.mean * rows.ceiling()
    most = certain
    if draws.mean or np.ptp((q / rows.weights)[rows.sizes > 0]) > _SAME * certain:
        value, error, _ = _davidson(rows, q, draws.mean)
        most = min(certain, value + error)
    least, v = _ascended(rows, draws)
    return rows.bounds(least, max(most - least, 0.0), certain, v, "dual bound and ascent")


def mean_square_products(terms: Terms, draws: Draws) -> Bounds:
    """Bounds on the η up to which E‖w‖² decays: from below the one-step threshold, from above 2/λ_max(H).

    For fixed draws, with 𝓛(S) = HS + SH and K(S) = Σ second_n H_n S H_n + mean H S H, both symmetric, η* is the least
    ⟨S, 𝓛S⟩/⟨S, KS⟩, so any S gives an upper bound. It is 2 uᵀHu ‖u‖²/(Σ second_n (x_n·u)⁴ + mean (uᵀHu)²) for S = uuᵀ,
    and for diagonal ones a ratio of quadratic forms, of which the best is an eigenvector.
    """
    rows = _Rows(terms)
    once = one_step_products(terms, draws)
    value, _, v = rows.steepest()
    upper = 2 / value
    if draws.second is not None:
        starts = [np.asarray(once.direction)[rows.used] / rows.scale, v, *rows.heavy(draws.second * rows.sizes**2)]
        trial, w = _rank_one(rows, draws, starts)
        if trial < upper:
            upper, v = trial, w
        upper = min(upper, _diagonal(rows, draws))
    upper = max(upper / rows.unit**2, once.lower)
    details = {**once.details, "method": "one-step from below, trial second moments from above"}
    return Bounds(once.lower, upper, rows.direction(v), details)


class _Rows:
    """The rows x_n in a unit of their own and of the columns in use, X (n, m) for v = u/``scale``: x_n·u = (X v)_n."""

    def __init__(self, terms):
        X, self.weights = terms.features, terms.weights
        self.unit = float(np.abs(X.data).max())
        X = sparse.csr_array((X.data / self.unit, X.indices, X.indptr), shape=X.shape)
        squares = X.multiply(X)
        diagonal = self.weights @ squares
        self.sizes = np.asarray(squares.sum(axis=1)).ravel()
        self.used, self.dim = np.flatnonzero(diagonal > 0), X.shape[1]
        self.scale = 1 / np.sqrt(diagonal[self.used])
        X = X if self.used.size == self.dim else X[:, self.used]
        self.X = sparse.csr_array((X.data * self.scale[X.indices], X.indices, X.indptr), shape=X.shape)
        self.XT = self.X.T.tocsr()  # gathers, in half the time of scattering

    def hessian(self, v):
        """H v, (m,)."""
        return self.XT @ (self.weights * (self.X @ v))

    def pencil(self, q, mean, v):
        """(Σ q_n x_n x_nᵀ + mean H²) v and H v."""
        images = self.X @ v
        first, second = (self.XT @ np.column_stack([q * images, self.weights * images])).T
        return (first + mean * self.hessian(second / self.scale**2) if mean else first), second

    def steepest(self):
        """The Ritz value λ for λ_max(H), its residual and vector."""

        def product(u):
            return self.hessian(u / self.scale) / self.scale

        m = self.used.size
        if m <= _MOST_SMALL:
            values, vectors = np.linalg.eigh(np.column_stack([product(e) for e in np.eye(m)]))
            return float(values[-1]), 0.0, vectors[:, -1] / self.scale
        start = np.random.default_rng(0).standard_normal(m)
        values, vectors = eigsh(
            LinearOperator((m, m), matvec=product, dtype=np.float64), 1, which="LA", v0=start, tol=_LANCZOS
        )
        u = vectors[:, 0]
        image = product(u)
        value = float(u @ image)
        return value, float(np.linalg.norm(image - value * u)), u / self.scale

    def ceiling(self):
        """What λ_max(H) certainly does not exceed."""
        size = abs(self.X)
        turned = abs(self.XT)
        z, most = 1 / self.scale, float(self.weights @ self.sizes)
        for _ in range(_POWERS):
            image = (turned @ (self.weights * (size @ (z / self.scale)))) / self.scale
            most = min(most, float((image / z).max()))
            z = image / image.max()
        return most

    def heavy(self, order):
        """The rows that come last in the order, as directions v."""
        return [self.X[[n]].toarray()[0] for n in np.argsort(order)[-_HEAVY:]]

    def bounds(self, value, error, certain, v, method):
        """η* from λ_max in [value, value + error], and certainly at most ``certain``."""
        details = {"method": method, "floor": 2 / float(certain) / self.unit**2}
        if self.used.size < self.dim:
            details["unused_columns"] = self.dim - self.used.size
        most = max(min(value + error, certain), value)
        return Bounds(2 / most / self.unit**2, 2 / value / self.unit**2, self.direction(v), details)

    def direction(self, v):
        """The unit vector u, (dim,)."""
        u = np.zeros(self.dim)
        u[self.used] = self.scale * v
        return u / np.linalg.norm(u)


def _davidson(rows, q, mean):
    """The largest Ritz value of (Σ q_n x_n x_nᵀ + mean H², H), ‖residual‖_{H⁻¹} where ‖v‖_H = 1, and v."""
    m = rows.used.size
    rng = np.random.default_rng(0)
    waiting = [rng.standard_normal(m), rng.standard_normal(m), *rows.heavy(q * rows.sizes)]
    Z, KZ, HZ = np.empty((3, m, 0))
    history = []
    for _ in range(_PRODUCTS):
        z = waiting.pop()
        for _ in range(2):  # once more for what rounding has left
            z = z - Z @ (Z.T @ z)
        size = np.linalg.norm(z)
        if size > 0:
            z /= size
            Kz, Hz = rows.pencil(q, mean, z)
            Z, KZ, HZ = (np.column_stack(pair) for pair in ((Z, z), (KZ, Kz), (HZ, Hz)))
        if waiting:
            continue
        values, C = _ritz(Z, KZ, HZ)
        value, c = float(values[-1]), C[:, -1]
        residual = KZ @ c - value * (HZ @ c)
        history.append(value)
        still = len(history) > _PAUSE and value <= history[-1 - _PAUSE] * (1 + _STILL)
        if still or np.linalg.norm(residual) <= _DEPENDENT * np.linalg.norm(KZ @ c):
            break
        if Z.shape[1] == _BASIS:
            Q, R = np.linalg.qr(Z @ C[:, -_KEPT:])
            kept = np.linalg.solve(R.T, C[:, -_KEPT:].T).T
            Z, KZ, HZ = Q, KZ @ kept, HZ @ kept
        waiting.append(residual)
    operator = LinearOperator((m, m), matvec=rows.hessian, dtype=np.float64)
    solved, _ = cg(operator, residual, rtol=1e-2, maxiter=_PAUSE * 5)
    return value, float(np.sqrt(max(residual @ solved, 0.0))), Z @ c


def _ritz(Z, KZ, HZ):
    """Eigenvalues of the pencil on the space of Z, ascending, and coefficients (…, k) of H-orthonormal vectors."""
    gram = Z.T @ HZ
    sizes, turn = np.linalg.eigh(0.5 * (gram + gram.T))
    kept = sizes > _DEPENDENT * sizes[-1]
    turn = turn[:, kept] / np.sqrt(sizes[kept])
    small = turn.T @ (Z.T @ KZ) @ turn
    values, vectors = np.linalg.eigh(0.5 * (small + small.T))
    return values, turn @ vectors


def _ascended(rows, draws):
    """The largest E‖A u‖²/uᵀHu that ascent from some directions finds, and v."""
    a = rows.weights

    def loss(v):
        images = rows.X @ v
        c = np.abs(images) * np.sqrt(rows.sizes)
        c = np.maximum(c, _TINY * (a @ c))
        q = majorant(c[:, None], a, draws.share)[:, 0] / draws.batch * rows.sizes
        turned, slope = (rows.XT @ np.column_stack([q * images, a * images])).T
        if draws.mean:
            turned = turned + draws.mean * rows.hessian(slope / rows.scale**2)
        above, below = v @ turned, v @ slope
        return np.log(below / above), 2 * (slope / below - turned / above)

    return _best(loss, [rows.steepest()[2], *rows.heavy(a * rows.sizes)[1:]])


def _rank_one(rows, draws, starts):
    """The least 2 uᵀHu ‖u‖²/(Σ second_n (x_n·u)⁴ + mean (uᵀHu)²) that descent finds, and v."""

    def loss(v):
        images, square = rows.X @ v, v * rows.scale**2
        fourth, slope = (rows.XT @ np.column_stack([draws.second * images**3, rows.weights * images])).T
        energy, size = v @ slope, v @ square
        below = v @ fourth + draws.mean * energy**2
        gradient = slope / energy + square / size - 2 * (fourth + draws.mean * energy * slope) / below
        return np.log(2 * energy * size / below), 2 * gradient

    value, v = _best(loss, starts)
    return 1 / value, v


def _diagonal(rows, draws):
    """The least ⟨S, 𝓛S⟩/⟨S, KS⟩ over S = diag(z): Σ 2 H_jj z_j² over Σ second_n (Σ_j x_nj² z_j)² + mean Σ H_jj² z_j².

    The terms H_jk² z_j z_k of mean H S H are left out, which is allowed where all z_j ≥ 0, as in the best z.
    """
    m, curvatures = rows.used.size, 1 / rows.scale**2
    squares, turned = rows.X.multiply(rows.X).tocsr(), rows.XT.multiply(rows.XT).tocsr()

    def product(z):  # in terms of √(2 H_jj) z_j
        images = squares @ (z * np.sqrt(curvatures))
        return 0.5 * np.sqrt(curvatures) * (turned @ (draws.second * images)) + 0.5 * draws.mean * curvatures * z

    if m <= _MOST_SMALL:
        return 1 / float(np.linalg.eigvalsh(np.column_stack([product(e) for e in np.eye(m)]))[-1])
    operator = LinearOperator((m, m), matvec=product, dtype=np.float64)
    _, vectors = eigsh(operator, 1, which="LA", v0=np.sqrt(curvatures), tol=_LANCZOS)
    z = np.abs(vectors[:, 0])
    return float(z @ z) / float(z @ product(z))


def _best(loss, starts):
    """exp(−loss) where descent from the best start ends, and v there."""
    starts = [v / np.linalg.norm(v) for v in starts]
    best = min(starts, key=lambda v: loss(v)[0])
    found = minimize(loss, best, jac=True, method="L-BFGS-B", options=_DESCENT)
    return float(np.exp(-found.fun)), found.x
