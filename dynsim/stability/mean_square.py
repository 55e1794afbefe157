"""The exact step size up to which E‖θ − θ*‖² decays, for draws that do not depend on θ.

A step is linear in the state, w for SGD and two points for momentum, and so is that of its second moment,

    T_η(S) = E[M S Mᵀ] = M̄ S M̄ᵀ + η² c cᵀ ⊗ C(S_ee),   C(S) = E[(A − H) S (A − H)] = K(S) − (1 − mean) H S H,

K(S) = Σ second_n H_n S H_n, where S_ee is the block of the point at which A acts. Both parts keep S positive
semidefinite, so by Perron and Frobenius ρ(T_η) is an eigenvalue, and for ρ > ρ(M̄)² it is less than ρ iff the same is
true of 1 and C∘G: G gives the S_ee that a unit of noise makes, G_ij times its entry in the eigenbasis of H. The G_ij
are positive and C is self-adjoint, so that is iff the symmetric operator 1/G − C is positive definite. For ρ = 1

* SGD: 1/G_ij = (λ_i + λ_j)/η − λ_i λ_j, so the condition is η < 1/λ_max(𝓛⁻¹(C + H·H)), 𝓛(S) = HS + SH;
* heavy ball: 1/G_ij = (1 − μ)(λ_i + λ_j)/η + (μ(λ_i − λ_j)² − (1 − μ)² λ_i λ_j)/(1 − μ²), again linear in 1/η;
* Nesterov: a rational function, see :func:`response`.

Each 1/G_ij falls as η grows (for Nesterov seen on a grid of μ, ηλ_i and ηλ_j, not proven), C does not depend on η:
the stable step sizes are an interval (0, η*), for momentum too. No H_n needs to be positive semidefinite.
"""

import math
from functools import cache, cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, cg, eigsh

from dynsim.errors import NotApplicable, TooLarge, Unresolved
from dynsim.stability.bounds import Bounds
from dynsim.stability.dynamics import Dynamics

_DENSE = 400  # order up to which all eigenvalues take less time than Lanczos steps
_MOST_ENTRIES = 2 * 10**7  # of the features of all pairs of coordinates, 160 MB
_MOST_WORK = 5 * 10**9  # entries touched by one product; a threshold takes hundreds
_TOLERANCE = 1e-12  # of Lanczos and of conjugate gradients
_CLOSE = 1e-13  # growth above that of the mean which is none
_BEYOND = 700.0  # log of what rounding has put beyond a pole


def deterministic(dynamics: Dynamics) -> Bounds:
    """The step size at which the mean E[w] stops decaying: 2/λ, 2(1+μ)/λ or (2+2μ)/((1+2μ)λ), λ = λ_max(H)."""
    mu, top = dynamics.momentum, float(dynamics.curvatures[-1])
    eta = (2 + 2 * mu) / top
    if dynamics.kind == "nesterov":
        eta /= 1 + 2 * mu
    direction = np.zeros(dynamics.rank)
    direction[-1] = 1.0
    return Bounds(eta, eta, direction, {"null_space": _null_space(dynamics)})


def mean_square(dynamics: Dynamics) -> Bounds:
    """The η* with ρ(T_η) < 1 exactly for η < η*; ``details["matrix"]`` (r, r) is the S that neither grows nor decays.

    The direction is that in which this S is largest. Raises NotApplicable for probabilities by gradient norm, TooLarge
    where products with K take too long.
    """
    mean = deterministic(dynamics)
    coupling = Coupling(dynamics)
    details = mean.details | {"method": coupling.form}
    if coupling.silent:
        return mean._replace(details=details)

    @cache  # the solver asks for the ends again
    def excess(log_eta):
        return math.log(coupling.largest(coupling.weight(math.exp(log_eta))))

    high = math.log(mean.upper)
    over = excess(high)
    if over <= 0:  # all H_n agree where the mean is lost
        return mean._replace(details=details)
    low = high - 1.5 * over - 0.1  # the excess is nearly log η + constant
    while excess(low) > 0:
        low -= over + 1
    eta = min(math.exp(brentq(excess, low, high, xtol=1e-14)), mean.upper)
    S = coupling.leading(coupling.weight(eta))
    values, vectors = np.linalg.eigh(S)
    S = S * np.sign(values.sum()) / np.abs(values).max()
    direction = vectors[:, np.abs(values).argmax()]
    direction = direction * np.sign(direction[np.abs(direction).argmax()])
    return Bounds(eta, eta, direction, details | {"matrix": S})


def growth_rate(dynamics: Dynamics, eta: float) -> float:
    """log ρ(T_η): what log E‖w‖² gains per step in the long run. See :func:`growth_rates` for many η."""
    return float(growth_rates(dynamics, [eta])[0])


def growth_rates(dynamics: Dynamics, etas) -> np.ndarray:
    """log ρ(T_η) for each η of etas (m,)."""
    coupling = Coupling(dynamics)
    return np.array([_log_growth(coupling, float(eta)) for eta in etas])


def _log_growth(coupling, eta):
    """log of the ρ at which 1/G − C becomes singular, or of ρ(M̄)² where it never does."""
    low = _growth_of_mean(coupling.dynamics, eta)
    of_mean = math.log1p(low) if low > -1 else -math.inf

    @cache
    def excess(log_gap):
        W = coupling.weight(eta, low + math.exp(log_gap))
        return math.log(coupling.largest(W)) if W.min() > 0 else _BEYOND

    start, end = math.log(_CLOSE), 0.0
    if coupling.silent or excess(start) <= 0:
        return of_mean
    while excess(end) > 0:
        end += 3.0
    return math.log1p(low + math.exp(brentq(excess, start, end, xtol=1e-13)))


def _growth_of_mean(dynamics, eta):
    """ρ(M̄)² − 1, from the roots of z² − b z + c of each mode."""
    x, mu = eta * dynamics.curvatures, dynamics.momentum
    if mu == 0:
        return float((x * (x - 2)).max())
    if dynamics.kind == "nesterov":
        b, c = (1 + mu) * (1 - x), mu * (1 - x)
    else:
        b, c = 1 + mu - x, np.full_like(x, mu)
    discriminant = b * b - 4 * c
    real = (0.5 * (np.abs(b) + np.sqrt(np.maximum(discriminant, 0)))) ** 2
    return float(np.where(discriminant > 0, real, c).max()) - 1


def response(dynamics: Dynamics, eta: float, growth: float = 0.0) -> tuple[np.ndarray, np.ndarray | float]:
    """1/G (r, r) at ρ = 1 + ``growth``, and by what the second moment of q exceeds that of w (1 but for Nesterov).

    G_ij = η² Σ_k ρ^(−k−1) g_i(k) g_j(k), g_i being what mode i shows at the point where A acts, k steps after one unit
    of noise: an autoregression of order 2. In terms of means and differences of ηλ, so that small η and poles do not
    drown in rounding; G has its poles where k = ρ − μ(1 − η(λ_i + λ_j)/2) or ``own`` is 0 on the diagonal.
    """
    x, mu, rho = eta * dynamics.curvatures, dynamics.momentum, 1 + growth
    mean, apart = 0.5 * (x[:, None] + x), 0.25 * (x[:, None] - x) ** 2
    if dynamics.kind != "nesterov":
        c = mu / rho
        own = growth * (1 - c * mu) + 2 * (1 + mu) * mean - (mean**2 - apart)
        return ((1 - c) / (1 + c) * own + 4 * c / (1 - c * c) * apart) / eta**2, 1.0
    m, up = 1 - mean, (1 + mu) ** 2
    k, v = growth + (1 - mu) + mu * mean, up * rho - mu**2
    own = growth * (growth + (1 - mu**2) + 2 * (1 + mu + mu**2) * mean - up * mean**2)
    own += 2 * (1 + mu) * mean - (1 + 2 * mu) * mean**2  # ρ² + 2μρm − v m²
    cross = rho**2 * (up * (rho - 2 * mu * m) + 2 * mu**2) + mu**2 * v * (2 * m**2 - apart)
    of_q = rho * (up * rho + mu**2) - mu * m * v - mu**2 * v * apart / k
    of_w = rho * (rho + mu * m + mu**2 * apart / k)
    return (k * own + cross * apart / k) / (of_q * eta**2), of_q / of_w


class Coupling:
    """The pencil (K, W), K(S) = Σ_n second_n H_n S H_n and W(S)_ij = W_ij S_ij > 0, in the form that takes least work.

    As a dense matrix on symmetric S in an orthonormal basis; for H_n = x_n x_nᵀ also on the numbers
    q_n = √second_n x_nᵀ S x_n, with the matrix √(second_m second_n) Σ_ij x_mi x_mj x_ni x_nj/W_ij; else by products.
    """

    def __init__(self, dynamics: Dynamics):
        if dynamics.draws.second is None:
            raise NotApplicable(
                "the mean-square operator is linear only for probabilities that do not depend on θ, "
                f"not for {dynamics.draws.share:g} of them by gradient norm"
            )
        self.dynamics = dynamics
        kept = dynamics.draws.second > 0
        self.silent = not kept.any()
        self._weights = dynamics.draws.second[kept]
        self._x = None if dynamics.features is None else dynamics.features[kept]
        self._h = np.zeros((0, 0, 0)) if dynamics.hessians is None else dynamics.hessians[kept]
        r, n = dynamics.rank, self._weights.size
        order = r * (r + 1) // 2
        by_terms = self._x is not None and n < order
        dense = min(n, order) <= _DENSE if self._x is not None else order <= _DENSE
        dense = dense and not (by_terms and n * order > _MOST_ENTRIES)
        self.form = ("dense" if dense else "Lanczos") + (", terms" if by_terms else ", matrices")
        self._rows, self._columns = np.triu_indices(r)
        self._scale = np.where(self._rows == self._columns, 1.0, math.sqrt(2))
        work = n * r * r * (1 if self._x is not None else r)
        if not dense and work > _MOST_WORK:
            raise TooLarge(
                f"one product with the mean-square operator of {n} terms in {r} dimensions takes {work:.1e} operations "
                "and hundreds are needed; give sparse features, for which bounds are computed from products with H"
            )

    def weight(self, eta: float, growth: float = 0.0) -> np.ndarray:
        """The W with 1/G − C = W − K, shape (r, r)."""
        values = self.dynamics.curvatures
        return response(self.dynamics, eta, growth)[0] + (1 - self.dynamics.draws.mean) * values[:, None] * values

    def largest(self, W: np.ndarray) -> float:
        """The largest eigenvalue of the pencil."""
        return self._eigen(W)[0]

    def leading(self, W: np.ndarray) -> np.ndarray:
        """An S (r, r) that belongs to it."""
        return self._eigen(W)[1]()

    def solve(self, W: np.ndarray, R: np.ndarray) -> np.ndarray:
        """The S with W(S) − K(S) = R for symmetric R (r, r)."""
        if self.silent:
            return R / W
        root = np.sqrt(W)
        if self._rows.size <= _DENSE:
            root = root[self._rows, self._columns]
            system = np.eye(root.size) - self._matrix / (root[:, None] * root)
            packed = self._scale * R[self._rows, self._columns]
            try:
                return self._full(cho_solve(cho_factor(system), packed / root) / root)
            except np.linalg.LinAlgError:
                raise Unresolved("the step size is at the threshold to within rounding") from None

        def product(vector):
            S = vector.reshape(R.shape)
            return (S - self.apply(S / root) / root).ravel()

        solution, failed = cg(LinearOperator((R.size, R.size), product), (R / root).ravel(), rtol=_TOLERANCE)
        if failed:
            raise Unresolved("the covariance so near to the threshold takes more steps than conjugate gradients make")
        return solution.reshape(R.shape) / root

    def apply(self, S: np.ndarray) -> np.ndarray:
        """K(S) for symmetric S (r, r)."""
        if self._x is not None:
            return (self._x.T * (self._weights * ((self._x @ S) * self._x).sum(axis=1))) @ self._x
        r = len(S)
        left = (self._weights[:, None, None] * (self._h @ S)).transpose(1, 0, 2).reshape(r, -1)
        return left @ self._h.reshape(-1, r)

    def _eigen(self, W):
        """The largest eigenvalue, and a function that gives its S."""
        packed = W[self._rows, self._columns]
        if self.form == "dense, terms":
            value, q = _top((self._pairs / packed) @ self._pairs.T)
            return value, lambda: self._full(self._pairs.T @ q / packed)
        if self.form == "dense, matrices":
            root = np.sqrt(packed)
            value, vector = _top(self._matrix / (root[:, None] * root))
            return value, lambda: self._full(vector / root)
        if self.form == "Lanczos, terms":
            root = np.sqrt(self._weights)

            def by_terms(q):
                return root * ((self._x @ (self._spread(q) / W)) * self._x).sum(axis=1)

            value, q = _lanczos(by_terms, np.ones(root.size))
            return value, lambda: self._spread(q) / W
        roots = np.sqrt(W)

        def by_matrices(vector):
            return (self.apply(vector.reshape(W.shape) / roots) / roots).ravel()

        value, vector = _lanczos(by_matrices, np.eye(len(W)).ravel())
        return value, lambda: vector.reshape(W.shape) / roots

    def _spread(self, q):
        """Σ_n √second_n q_n x_n x_nᵀ."""
        return (self._x.T * (np.sqrt(self._weights) * q)) @ self._x

    def _full(self, packed):
        """The symmetric matrix with these coordinates in the orthonormal basis."""
        S = np.zeros((self.dynamics.rank,) * 2)
        S[self._rows, self._columns] = S[self._columns, self._rows] = packed / self._scale
        return S

    def _pair_features(self, x, weights):
        """Coordinates of √second_n x_n x_nᵀ, shape (n, r(r+1)/2)."""
        return (np.sqrt(weights)[:, None] * self._scale) * x[:, self._rows] * x[:, self._columns]

    @cached_property
    def _pairs(self):
        """Coordinates of all √second_n x_n x_nᵀ."""
        return self._pair_features(self._x, self._weights)

    @cached_property
    def _matrix(self):
        """K in the orthonormal basis of symmetric matrices."""
        order, r = self._rows.size, self.dynamics.rank
        parts = range(0, self._weights.size, max(1, _MOST_ENTRIES // (r * r)))
        if self._x is not None:
            total = np.zeros((order, order))
            for k in parts:
                part = slice(k, k + parts.step)
                pairs = self._pair_features(self._x[part], self._weights[part])
                total += pairs.T @ pairs
            return total
        basis = np.zeros((order, r, r))
        each = np.arange(order)
        basis[each, self._rows, self._columns] = basis[each, self._columns, self._rows] = 1 / self._scale
        flat = self._h.reshape(len(self._h), -1)
        kron = ((self._weights[:, None] * flat).T @ flat).reshape(r, r, r, r).transpose(0, 2, 1, 3)
        basis = basis.reshape(order, -1)
        return basis @ kron.reshape(r * r, r * r) @ basis.T


def _top(matrix):
    """Largest eigenvalue of a symmetric matrix, and its vector."""
    values, vectors = eigh(matrix, subset_by_index=[len(matrix) - 1] * 2)
    return float(values[0]), vectors[:, 0]


def _lanczos(product, start):
    """The same of an operator. The leading S is positive semidefinite, so a start that is, too, has a part in it."""
    operator = LinearOperator((start.size, start.size), product, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=_TOLERANCE)
    return float(values[0]), vectors[:, 0]


def _null_space(dynamics):
    return dynamics.basis.shape[0] - dynamics.rank
