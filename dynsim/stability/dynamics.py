"""A method on linearized terms, in the coordinates in which it is analyzed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dynsim import _check
from dynsim.errors import NotApplicable
from dynsim.methods import SGD, HeavyBall, Method, Nesterov
from dynsim.methods.base import FULL
from dynsim.sampling import WithoutReplacement
from dynsim.schedules import Schedule
from dynsim.stability.linearized import Terms

_RANK = 1e-13  # eigenvalues of H below this share of the largest are its null space: rounding of its entries
_RANK_OF_ROWS = 1e-10  # the same for singular values of the features, of which H has the squares
_MOST_DIRECT = 10**10  # n d² up to which those are computed, rather than eigenvalues of H


@dataclass(frozen=True, eq=False)
class Draws:
    """How an estimate A of H is drawn: E[A S A] = Σ_n ``second[n]`` H_n S H_n + ``mean`` H S H for symmetric S.

    With independent draws by fixed p and batches of B, second = a²/(pB) and mean = 1 − 1/B. With probabilities by
    gradient norm p_n(u) = t a_n‖H_n u‖/C(u) + (1 − t) a_n, C(u) = Σ a_n‖H_n u‖, ``share`` is t > 0 and second is
    None: then E‖A u‖² = Σ_n a_n²‖H_n u‖²/(p_n(u) B) + (1 − 1/B)‖H u‖².
    """

    second: np.ndarray | None
    mean: float
    share: float
    batch: int
    proportions: np.ndarray | None
    distinct: bool = False  # batches without replacement

    @classmethod
    def of(cls, terms: Terms, method: Method) -> "Draws":
        """Those of a method, or the refusal of one whose steps are not of this kind."""
        n, a, scheme = terms.n_terms, terms.weights, method.sampling
        source: Any = terms if terms.problem is None else terms.problem  # Terms have what schemes ask a problem for
        method.check(source)
        if method.batch_size == FULL:
            return cls(np.zeros(n), 1.0, 0.0, n, None)
        batch = int(method.batch_size)
        if not scheme.memoryless:
            raise NotApplicable(f"stability needs steps that do not depend on the draws before, got {scheme!r}")
        p = scheme.proportions(source)
        if isinstance(scheme, WithoutReplacement):
            finite = n / batch * (n - batch) / (n - 1) if n > 1 else 0.0
            both = n * (batch - 1) / (batch * (n - 1)) if n > 1 else 1.0
            return cls(finite * a**2, both, 0.0, batch, p, distinct=True)
        if not scheme.independent:
            raise NotApplicable(f"stability needs steps that are drawn independently by p_n(θ), got {scheme!r}")
        if p is None and scheme.norm_share == 0:
            p = a
        if p is not None:
            return cls(a**2 / (p * batch), 1 - 1 / batch, 0.0, batch, p)
        if scheme.norm_share is None:
            raise NotApplicable(
                f"stability is for fixed proportions, GradientNorm, Mixture and WithoutReplacement, got {scheme!r}"
            )
        return cls(None, 1 - 1 / batch, float(scheme.norm_share), batch, None)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A method near θ*, in units and coordinates in which H = diag(``curvatures``), the largest being 1.

    θ − θ* = ``basis`` w, and a step size η here is η/``unit`` there. Of ``features`` (n, r), for H_n = x_n x_nᵀ, and
    ``hessians`` (n, r, r) one is None. ``kind`` is "sgd", "heavy-ball" or "nesterov", with ``momentum`` μ:

    * sgd: w' = w − η A w
    * heavy-ball: w' = w − η v', v' = μ v + A w
    * nesterov: w' = q − η A q, q' = w' + μ (w' − w)

    A = Σ (a_n/p_n) H_n/B over the drawn terms, or n/B Σ a_n H_n over a batch of different ones.
    """

    terms: Terms
    draws: Draws
    kind: str
    momentum: float
    curvatures: np.ndarray  # (r,), ascending
    basis: np.ndarray  # (dim, r)
    unit: float
    features: Any
    hessians: Any

    @classmethod
    def of(cls, terms: Terms, method: Method) -> "Dynamics":
        """The linearized dynamics of a method, dense."""
        kind, momentum = update_of(method)
        values, basis = _range(terms)
        unit = float(values[-1])
        features = hessians = None
        if terms.features is None:
            hessians = basis.T @ terms.hessians @ basis / unit
        else:
            features = np.asarray(terms.features @ basis) / np.sqrt(unit)
        draws = Draws.of(terms, method)
        return cls(terms, draws, kind, momentum, values / unit, basis, unit, features, hessians)

    @property
    def rank(self) -> int:
        """Dimension r of the range of H."""
        return self.curvatures.size

    @property
    def weights(self) -> np.ndarray:
        """The a_n."""
        return self.terms.weights

    def each(self, u: np.ndarray) -> np.ndarray:
        """H_n u for all terms: (..., r) -> (..., n, r)."""
        if self.features is None:
            return np.einsum("njk,...k->...nj", self.hessians, u)
        return (u @ self.features.T)[..., None] * self.features

    def norms(self, u: np.ndarray) -> np.ndarray:
        """‖H_n u‖ for all terms: (..., r) -> (..., n)."""
        if self.features is None:
            return np.linalg.norm(self.each(u), axis=-1)
        return np.abs(u @ self.features.T) * np.linalg.norm(self.features, axis=1)

    def probabilities(self, u: np.ndarray) -> np.ndarray:
        """p_n(u) of a single draw: (..., r) -> (..., n)."""
        if self.draws.proportions is not None:
            return np.broadcast_to(self.draws.proportions, (*u.shape[:-1], self.weights.size))
        norms = self.weights * self.norms(u)
        total = norms.sum(axis=-1, keepdims=True)
        by_norm = np.where(total > 0, norms / np.where(total > 0, total, 1.0), self.weights)
        return self.draws.share * by_norm + (1 - self.draws.share) * self.weights

    def second_moment(self, u: np.ndarray) -> np.ndarray:
        """E‖A u‖²: (..., r) -> (...)."""
        mean = self.draws.mean * ((self.curvatures * u) ** 2).sum(axis=-1)
        squares = self.norms(u) ** 2
        if self.draws.second is not None:
            return squares @ self.draws.second + mean
        p = self.probabilities(u)
        ratio = np.divide(self.weights**2 * squares, p, out=np.zeros_like(p), where=squares > 0)
        return ratio.sum(axis=-1) / self.draws.batch + mean

    def drawn(self, q: np.ndarray, n: np.ndarray) -> np.ndarray:
        """A q for batches n (m, B) of terms and points q (m, r): (m, r)."""
        B = n.shape[1]
        if self.draws.distinct:
            scale = self.weights.size / B * self.weights[n]
        elif self.draws.proportions is not None:
            scale = (self.weights / self.draws.proportions)[n] / B
        else:
            scale = self.weights[n] / np.take_along_axis(self.probabilities(q), n, axis=1) / B
        if self.features is None:
            return np.einsum("mb,mbjk,mk->mj", scale, self.hessians[n], q)
        x = self.features[n]
        return np.einsum("mb,mbj->mj", scale * np.einsum("mbj,mj->mb", x, q), x)


def _range(terms):
    """Eigenvalues (r,) of H above 0, ascending, and their eigenvectors (dim, r)."""
    if terms.features is None or terms.is_sparse or terms.n_terms * terms.dim**2 > _MOST_DIRECT:
        values, vectors = np.linalg.eigh(terms.hessian)
        kept = values > _RANK * values[-1]
        return values[kept], vectors[:, kept]
    size = np.abs(terms.features).max()
    rows = np.sqrt(terms.weights)[:, None] * (terms.features / size)  # whose squares neither overflow nor underflow
    _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
    kept = np.flatnonzero(singular > _RANK_OF_ROWS * singular[0])[::-1]
    return (singular[kept] * size) ** 2, vectors[kept].T


def update_of(method: Method) -> tuple[str, float]:
    """Kind of update and momentum of a method, or the refusal."""
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    kinds: dict[type, str] = {SGD: "sgd", HeavyBall: "heavy-ball", Nesterov: "nesterov"}
    if type(method) not in kinds:
        raise NotApplicable(
            f"stability is for SGD (with any sampling scheme), HeavyBall and Nesterov, got {method.name}"
        )
    if method.noise is not None:
        raise NotApplicable(f"stability is that of the method without added noise, got {method.noise!r}")
    momentum = getattr(method, "momentum", 0.0)
    if isinstance(momentum, Schedule):
        raise NotApplicable(f"stability needs a constant momentum, got {momentum!r}")
    return ("sgd" if momentum == 0 else kinds[type(method)]), float(momentum)
