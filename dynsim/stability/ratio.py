"""The largest ratio E‖A u‖²/uᵀHu of one step, from both sides, where probabilities follow the gradient norms.

With g_n = ‖H_n u‖, C = Σ a_n g_n and p_n = t a_n g_n/C + (1 − t) a_n,

    E‖A u‖² = S(u)/B + (1 − 1/B)‖H u‖²,  S(u) = Σ a_n² g_n²/p_n,  which is C² for t = 1.

**From above.** For any c > 0, S(u) ≤ Σ q_n(c) g_n², with equality where g = c: by 1/(p + p') ≤ τ²/p + (1 − τ)²/p' with
the τ that is best at g = c, and 2 g_n g_m ≤ g_n² c_m/c_n + g_m² c_n/c_m. So each c makes a pencil (Σ q_n H_n², H) whose
largest eigenvalue is a bound; for t = 1 it is the well-known C² ≤ Σ a_n c_n · Σ a_n g_n²/c_n. The best c maximizes the
ratio over matrices L in place of u, ‖H_n L‖ being Frobenius norms: S is the least of functions that are linear in
LLᵀ, so that is a concave problem, in r² variables for any number of terms, and without a gap to its dual. For rank-one
terms, RR and single draws its solution is LLᵀ = I, c_n = ‖x_n‖², with the value Σ a_n‖x_n‖²: no quadratic bound is
better than RR's η ≥ 2/mean‖x‖².

**From below.** Ascent from many starts u, part of them drawn by the law N(0, LLᵀ).

**Between.** For t = 1, the root F of E‖A u‖² is a norm. At y = Σ λ_i y_i in the cone of unit vectors y_i it is at most
Σ λ_i F(y_i): a linear function g·y, at most ‖g‖, and at most max F(y_i) (min y_i·y_j)^(−½), as Σ λ_i is at most that
root. Cones that may hold the maximum are bisected; the error falls as the square of their width.
"""

import itertools

import numpy as np
from scipy.optimize import minimize

STILL = 1e-12  # relative gain of a round that ends an ascent, and distance of bounds that are one number
_TINY = 1e-14  # share of C below which a norm counts as this
_COLUMNS = 20  # of L: its rank at the best c is small
_DESCENT = {"maxiter": 300, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-10}
_STARTS, _FEWEST = 64, 8  # of the ascent, fewer for many terms: as many as make images of so many
_ENTRIES = 1_000_000  # entries
_SURVIVORS = 4  # of the starts, at the first check
_ROUNDS, _CHECK = 1000, 10  # of the ascent at most; between two checks
_WIDEST = 6  # dimensions r in which cones pay
_CONES = 10_000  # bisected at a time
_WORK = 5e8  # multiplications in all
_OWN = 2500  # what a cone costs by itself, in those


def majorant(c, weights, share):
    """q (n, m) with S(u) ≤ Σ q_n‖H_n u‖² for all u, equal where ‖H_n u‖ = c_n, for c (n, m)."""
    t, a = share, weights[:, None]
    C = (a * c).sum(axis=0)
    if t == 1:
        return a * C / c
    mixed = t * c + (1 - t) * C
    cubes = (a * (t * c / mixed) ** 2 * c).sum(axis=0)
    return a * (C * (0.5 * t * c + (1 - t) * C) / mixed**2 + cubes / (2 * t * c))


class Ratio:
    """The ratio as a function of y = H^(½)u, ‖H_n u‖ = ‖V_n y‖, and of matrices L in place of y."""

    def __init__(self, dynamics):
        draws, x = dynamics.draws, dynamics.features
        rows = dynamics.hessians if x is None else (np.linalg.norm(x, axis=1)[:, None] * x)[:, None, :]
        self.kept = rows.any(axis=(1, 2))
        self.rows = rows[self.kept] / np.sqrt(dynamics.curvatures)  # V_n (n, k, r)
        self.weights = dynamics.weights[self.kept]
        self.sizes = dynamics.terms.sizes[self.kept] / dynamics.unit
        self.curvatures = dynamics.curvatures
        self.share, self.batch = draws.share, draws.batch
        self.diagonal = draws.mean * dynamics.curvatures  # ‖H u‖² = yᵀHy
        self.fixed = None if draws.second is None else draws.second[self.kept]

    def quadratic(self, c):
        """q with S/B ≤ Σ q_n‖V_n y‖², equal where ‖V_n y‖ = c_n: (n, m) -> (n, m)."""
        return majorant(c, self.weights, self.share) / self.batch

    def at(self, L):
        """Value (m,), image (r, m, k) and norms c (n, m) at L (r, m, k): the gradient is 2(image − value L)/‖L‖²."""
        images = np.tensordot(self.rows, L, 1)
        c = np.sqrt((images * images).sum(axis=(1, 3)))
        c = np.maximum(c, _TINY * (self.weights @ c))
        q = self.quadratic(c)
        turned = self.diagonal[:, None, None] * L
        value = ((q * c * c).sum(axis=0) + (turned * L).sum(axis=(0, 2))) / (L * L).sum(axis=(0, 2))
        return value, turned + np.tensordot(self.rows, q[:, None, :, None] * images, ([0, 1], [0, 1])), c

    def matrix(self, q):
        """Σ q_n V_nᵀV_n + mean H, (r, r)."""
        rows = self.rows.reshape(-1, self.diagonal.size)
        return (rows * np.repeat(q, self.rows.shape[1])[:, None]).T @ rows + np.diag(self.diagonal)

    def largest(self, q):
        """Largest eigenvalue of :meth:`matrix`."""
        return float(np.linalg.eigvalsh(self.matrix(q))[-1])


def bounds(ratio):
    """Upper bound, lower bound, the y (r,) that shows the lower one, and the method."""
    most, L, _ = relaxed(ratio)
    least, y = _ascended(ratio, L)
    most = min(most, ratio.largest(ratio.quadratic(ratio.at(y[:, None, None])[2])[:, 0]))
    if ratio.share == 1 and y.size <= _WIDEST and most > least * (1 + STILL):
        return *_covered(ratio, most, least, y), "dual bound, cones and local search"
    return max(most, least), least, y, "dual bound and local search"


def relaxed(ratio):
    """The bound from above, a nearly best L (r, k), and the c (n,) that make the bound."""
    r = ratio.diagonal.size
    mixed = np.eye(r) if r <= _COLUMNS else np.random.default_rng(0).standard_normal((r, _COLUMNS))
    start = np.sqrt(ratio.curvatures)[:, None] * mixed  # in terms of y = H^(½)u

    def loss(flat):
        L = flat.reshape(r, 1, -1)
        square = flat @ flat
        value, image, _ = ratio.at(L)
        return -np.log(value[0]), 2 * ((L - image / value[0]) / square).ravel()

    L = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=_DESCENT).x.reshape(start.shape)
    guesses = np.column_stack([ratio.at(L[:, None])[2], ratio.sizes])
    found = [ratio.largest(q) for q in ratio.quadratic(guesses).T]
    best = int(np.argmin(found))
    return found[best], L, guesses[:, best]


def _ascended(ratio, L):
    r = ratio.diagonal.size
    rng = np.random.default_rng(0)
    m = max(_FEWEST, min(_STARTS, _ENTRIES // ratio.rows[..., 0].size))
    heavy = np.argsort(ratio.weights * ratio.sizes)[-m // 4 :]
    drawn = [L @ rng.standard_normal((L.shape[1], m)), rng.standard_normal((r, m // 2)), ratio.rows[heavy, 0].T]
    y, best = np.column_stack(drawn)[:, :, None], 0.0
    for k in range(_ROUNDS):
        value, image, _ = ratio.at(y)
        if k % _CHECK == _CHECK - 1:
            if value.max() <= best * (1 + STILL):
                break
            best = value.max()
            image = image[:, np.argsort(value)[-_SURVIVORS:]]
        y = image / np.linalg.norm(image, axis=0)
    return float(value.max()), y[:, value.argmax(), 0]


def _covered(ratio, most, least, y):
    """Both bounds after bisections of the cones, the longest edges first; up to sign they begin as the orthants."""
    r = y.size
    signs = np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=r - 1)])
    cones = signs[:, :, None] * np.eye(r)  # (cones, vertices, r)
    heights = np.repeat(np.sqrt(_values(ratio, np.eye(r)))[None], len(cones), axis=0)
    bound = np.full(len(cones), most)
    work = 0.0
    while bound.size and work < _WORK:
        order = np.argsort(bound)
        rest, order = order[:-_CONES], order[-_CONES:]
        parents, tops = cones[order], heights[order]
        cosines = parents @ parents.transpose(0, 2, 1)
        edge = np.divmod(cosines.reshape(order.size, -1).argmin(axis=1), r)
        each = np.arange(order.size)
        middle = parents[each, edge[0]] + parents[each, edge[1]]
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        value = _values(ratio, middle)
        work += float(order.size) * (ratio.rows.size + _OWN)
        if value.max() > least:
            least, y = float(value.max()), middle[value.argmax()]
        halves, half_tops = np.concatenate([parents, parents]), np.concatenate([tops, tops])
        ends = np.concatenate(edge)
        halves[np.arange(2 * order.size), ends] = np.concatenate([middle, middle])
        half_tops[np.arange(2 * order.size), ends] = np.sqrt(np.concatenate([value, value]))
        half_bound = np.minimum(np.concatenate([bound[order], bound[order]]), _largest_in(halves, half_tops))
        cones = np.concatenate([cones[rest], halves])
        heights = np.concatenate([heights[rest], half_tops])
        bound = np.concatenate([bound[rest], half_bound])
        kept = bound > least * (1 + STILL)
        cones, heights, bound = cones[kept], heights[kept], bound[kept]
    return bound.max(initial=least), least, y


def _largest_in(cones, heights):
    """Two bounds on F² in cones (m, vertices, r), the better one, from the F (m, vertices) at the vertices."""
    slopes = np.linalg.solve(cones, heights[:, :, None])[:, :, 0]
    least_cosine = (cones @ cones.transpose(0, 2, 1)).min(axis=(1, 2))
    return np.minimum((slopes * slopes).sum(axis=1), heights.max(axis=1) ** 2 / np.maximum(least_cosine, _TINY))


def _values(ratio, y):
    """The ratio for t = 1 at unit vectors y (m, r), in parts that fit in memory."""
    n, k, r = ratio.rows.shape
    rows, found = ratio.rows.reshape(-1, r), []
    for part in np.array_split(y, max(1, y.shape[0] * n * k // _ENTRIES)):
        images = rows @ part.T
        norms = np.abs(images) if k == 1 else np.sqrt((images * images).reshape(n, k, -1).sum(axis=1))
        found.append((ratio.weights @ norms) ** 2 / ratio.batch + part**2 @ ratio.diagonal)
    return np.concatenate(found)
