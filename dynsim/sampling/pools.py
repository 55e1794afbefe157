"""Schemes that draw by gradient norm without looking at all terms."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sampling.base import Estimator, Sampling, draw_table
from dynsim.sampling.by_norm import GradientNorm

if TYPE_CHECKING:
    from dynsim.problems import Problem


@dataclass(frozen=True, repr=False)
class GroupNorm(Sampling):
    """One random term n_j of each group; one of these by gradient norm, AY §4.1 read per group.

    Group j is drawn with probability A_j‖∇l_{n_j}‖/S, S = Σ_k A_k‖∇l_{n_k}‖, and reweighted by S/‖∇l_{n_j}‖, A_j being
    the sum of the weights of the group, in which n_j is drawn in proportion to them. As many gradients a step as there
    are groups.

    Parameters
    ----------
    groups : sequence of int, optional
        The group 0, 1, … of each term; ``problem.groups`` by default.
    """

    groups: tuple[int, ...] | None = None
    independent = False

    def __init__(self, groups: ArrayLike | None = None):
        if groups is not None:
            values = _check.array("groups", groups, ndim=1)
            if (values != np.rint(values)).any() or set(values.tolist()) != set(range(len(set(values.tolist())))):
                raise ArgumentError("groups must number the groups 0, 1, … without gaps")
            groups = tuple(values.astype(int).tolist())
        object.__setattr__(self, "groups", groups)

    def _groups(self, problem):
        groups = problem.groups if self.groups is None else np.array(self.groups)
        if groups is None:
            raise NotApplicable(
                f"GroupNorm needs the group of each term, which {problem.name} does not have; give them: "
                "GroupNorm(groups)"
            )
        if groups.shape != (problem.n_terms,):
            raise ArgumentError(f"groups has {groups.size} numbers, but {problem.name} has {problem.n_terms} terms")
        return groups

    def check(self, problem: "Problem", batch_size: int) -> None:
        """There must be a group for each term."""
        self._groups(problem)

    def second_moment(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Σ_j A_j (A_j E[g_j g_jᵀ] + Σ_{k≠j} A_k E‖g_k‖ E[g_j g_jᵀ/‖g_j‖]), the expectations over n_j in its group."""
        groups = self._groups(problem)
        g = problem.term_gradients(theta)
        norm = np.linalg.norm(g, axis=-1)
        inverse = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
        mean_norm = np.stack(
            [(problem.weights * norm)[..., groups == j].sum(axis=-1) for j in range(groups.max() + 1)], -1
        )
        total = mean_norm.sum(axis=-1)
        weight = np.bincount(groups, weights=problem.weights)[groups]
        outer = inverse * (total[..., None] - mean_norm[..., groups]) + weight
        return np.einsum("n,...n,...nj,...nk->...jk", problem.weights, outer, g, g)

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.group_norm import group_norm

        groups = self._groups(problem)
        n_groups = int(groups.max()) + 1
        order = np.argsort(groups, kind="stable")
        weight = np.zeros(problem.n_terms)
        weight[:n_groups] = np.bincount(groups, weights=problem.weights)
        table = np.vstack([draw_table(problem.weights[order], problem.weights[order]), order, weight])
        return Estimator.make(
            group_norm,
            batch_size,
            integers=[n_groups],
            table=table,
            uniforms=batch_size * (n_groups + 1),
            work=problem.dim + 3 + 2 * n_groups,
        )


@dataclass(frozen=True, repr=False)
class Rejection(Sampling):
    """Exact draws by gradient norm from bounds M_n ≥ ‖∇l_n(θ)‖, without a pass over the terms.

    Term n is proposed in proportion to a_n M_n and taken with probability ‖∇l_n(θ)‖/M_n, after Q/C(θ) proposals on
    average, Q = Σ a_n M_n; after a thousand in vain, all terms are looked at. What is taken has the distribution p^GN
    of AY (3.5).

    Its weight C(θ)/‖∇l_n(θ)‖ needs C(θ) = Σ a_n‖∇l_n(θ)‖. ``weight="estimated"`` puts in its place the mean of
    Q‖∇l_m‖/M_m over some more proposals m, which are independent of the term taken, so that the step stays unbiased;
    its variance is larger. ``weight="exact"`` computes C(θ) in a pass over the terms.

    Parameters
    ----------
    bounds : float or sequence of float, optional
        M_n > 0; ``problem.gradient_bounds`` by default. A gradient above its bound ends the run with an error.
    weight : {"estimated", "exact"}, optional
    n_proposals : int, optional
        Proposals that an estimated weight is the mean of, at most 1000.
    """

    bounds: tuple[float, ...] | None = None
    weight: str = "estimated"
    n_proposals: int = 1

    @property
    def independent(self) -> bool:  # type: ignore[override]
        """Whether the weight is exact."""
        return self.weight == "exact"

    def __init__(self, bounds: ArrayLike | None = None, *, weight: str = "estimated", n_proposals: int = 1):
        if bounds is not None:
            values = _check.array("bounds", np.atleast_1d(bounds), ndim=1)
            if not (values > 0).all():
                raise ArgumentError(f"bounds must be positive, got {values.min():g}")
            bounds = tuple(values.tolist())
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "weight", _check.choice("weight", weight, ("estimated", "exact")))
        object.__setattr__(self, "n_proposals", _check.count("n_proposals", n_proposals))
        if n_proposals > 1000:
            raise ArgumentError(f"n_proposals must be at most 1000, got {n_proposals}")

    def _bounds(self, problem):
        bounds = problem.gradient_bounds if self.bounds is None else np.array(self.bounds)
        if bounds is None or not np.isfinite(bounds).all():
            raise NotApplicable(
                f"Rejection needs bounds of the gradients, which {problem.name} does not have; where they hold in the "
                "region that a run stays in, give them: Rejection(bounds)"
            )
        if bounds.size not in (1, problem.n_terms):
            raise ArgumentError(f"bounds has {bounds.size} numbers, but {problem.name} has {problem.n_terms} terms")
        bounds = np.broadcast_to(bounds, problem.n_terms)
        return np.where(bounds > 0, bounds, np.finfo(float).tiny)  # a term without gradient is never proposed

    @property
    def norm_share(self) -> float | None:  # type: ignore[override]
        """1, where the weight is exact."""
        return 1.0 if self.weight == "exact" else None

    def check(self, problem: "Problem", batch_size: int) -> None:
        """There must be bounds, and numbers for the proposals of all members of the batch."""
        from dynsim._kernels.estimators.common import ON_DEMAND, SHUFFLE
        from dynsim._kernels.estimators.rejection import COMPONENTS

        self._bounds(problem)
        if batch_size > (SHUFFLE - ON_DEMAND) // COMPONENTS:
            raise ArgumentError(
                f"batch_size must be at most {(SHUFFLE - ON_DEMAND) // COMPONENTS} with Rejection, got {batch_size}"
            )

    def probabilities(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """Those of AY (3.5)."""
        return GradientNorm().probabilities(problem, theta)

    def second_moment(self, problem: "Problem", theta: ArrayLike) -> np.ndarray:
        """E[Ĉ²]/C² times that of AY (3.5)."""
        second = super().second_moment(problem, theta)
        if self.weight == "exact":
            return second
        bounds = self._bounds(problem)
        norm = np.linalg.norm(problem.term_gradients(theta), axis=-1)
        c = (problem.weights * norm).sum(axis=-1)
        square = (problem.weights * bounds).sum() * (problem.weights * norm**2 / bounds).sum(axis=-1)
        excess = np.divide(square, c**2, out=np.ones_like(c), where=c > 0) - 1
        return (1 + excess / self.n_proposals)[..., None, None] * second

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.draw import SCRATCH, TILE
        from dynsim._kernels.estimators.rejection import rejection

        bounds = self._bounds(problem)
        q = problem.weights * bounds
        return Estimator.make(
            rejection,
            batch_size,
            proportions=problem.gradient_norms_field,
            integers=[self.weight == "exact", self.n_proposals],
            numbers=[q.sum()],
            table=np.vstack([draw_table(problem.weights, q / q.sum()), bounds]),
            uniforms=0,
            work=problem.dim + 7 + SCRATCH + -(-problem.n_terms // TILE),
            promise="a gradient was larger than its bound in {} draws, which were not by norm; give larger bounds",
        )


@dataclass(frozen=True, repr=False)
class Presample(Sampling):
    """A pool drawn uniformly, and from it the batch by gradient norm: Katharopoulos & Fleuret (2018), Algorithm 1.

    The pool's importance sampling is on while τ, a running mean of √(P Σ p_m²) over the pool, exceeds a threshold: τ is
    the factor by which a uniform batch would have to grow for the same variance. Until then the batch is uniform, and
    τ is estimated from it alone. Here by exact norms, where the paper bounds them.

    Parameters
    ----------
    pool : int
        Size P of the pool, at least the batch size.
    threshold : float, optional
        By default (P + 3B)/(3B) for batches of B, from where the paper expects it to pay; 0: always on.
    smoothing : float, optional
        Share of the old τ in the new one, in [0, 1).
    """

    pool: int
    threshold: float | None = None
    smoothing: float = 0.9
    independent = False
    memoryless = False

    def __post_init__(self):
        object.__setattr__(self, "pool", _check.count("pool", self.pool))
        if self.threshold is not None:
            value = _check.real("threshold", self.threshold)
            if value < 0:
                raise ArgumentError(f"threshold must not be negative, got {value:g}")
            object.__setattr__(self, "threshold", value)
        smoothing = _check.real("smoothing", self.smoothing)
        if not 0 <= smoothing < 1:
            raise ArgumentError(f"smoothing must lie in [0, 1), got {smoothing:g}")
        object.__setattr__(self, "smoothing", smoothing)

    def check(self, problem: "Problem", batch_size: int) -> None:
        """The pool must hold the batch; from a batch of one, τ is always 1 and the gate never opens."""
        if self.pool < batch_size:
            raise ArgumentError(f"pool must be at least the batch size, {batch_size}, got {self.pool}")
        if batch_size == 1 and self.threshold != 0:
            raise ArgumentError(
                "Presample with batch_size=1 never turns itself on, as τ of one term is 1: use a larger batch, "
                "or threshold=0"
            )

    def covariance(self, problem: "Problem", theta: ArrayLike, batch_size: int = 1) -> np.ndarray:
        """Refused: it depends on the pool."""
        raise NotApplicable("Presample has no covariance in closed form: it depends on the pool and on τ")

    def estimator(self, problem: "Problem", batch_size: int) -> Estimator:
        """How kernels draw a batch."""
        from dynsim._kernels.estimators.presample import presample

        threshold = (self.pool + 3 * batch_size) / (3 * batch_size) if self.threshold is None else self.threshold
        return Estimator.make(
            presample,
            batch_size,
            integers=[self.pool],
            numbers=[threshold, self.smoothing],
            table=draw_table(problem.weights, problem.weights),
            memory=[1.0 if self.threshold == 0 else 0.0],
            uniforms=self.pool + batch_size,
            work=problem.dim + 4 + 2 * self.pool,
        )
