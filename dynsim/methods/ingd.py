"""Interpolated normalized gradient descent, and the certificate of near-stationarity that it ends with."""

import math
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.methods.base import FULL, Method, Update, fraction
from dynsim.sampling import Sampling, Uniform


@dataclass(frozen=True, eq=False)
class StationarityCertificate:
    """What shows that θ is (δ, ε)-stationary: gradients within δ of it, a convex combination of which is short.

    Attributes
    ----------
    theta : ndarray, shape (dim,)
    delta, epsilon : float
        What was asked for.
    points : ndarray, shape (m, dim)
        Where gradients were taken.
    gradients : ndarray, shape (m, dim)
    weights : ndarray, shape (m,)
        Of the combination, nonnegative, with sum 1.
    n_calls : int
        Calls of the gradient oracle, that at the start included.
    found : bool
        Whether the points are within δ and the combination is at most ε long.
    """

    theta: np.ndarray
    delta: float
    epsilon: float
    points: np.ndarray = field(repr=False)
    gradients: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    n_calls: int
    found: bool

    @property
    def norm(self) -> float:
        """Length of the combination Σ w_i g_i."""
        return float(np.linalg.norm(self.weights @ self.gradients))

    @property
    def radius(self) -> float:
        """The largest distance of a point from θ."""
        return float(np.linalg.norm(self.points - self.theta, axis=1).max())


def _certificate(theta, delta, epsilon, points, gradients, weights, n_calls):
    points, gradients, weights = np.array(points), np.array(gradients), np.array(weights)
    near = np.linalg.norm(points - theta, axis=1).max() <= delta * (1 + 1e-12)
    short = np.linalg.norm(weights @ gradients) <= epsilon and weights.min() >= 0  # < 0: lipschitz was too small
    return StationarityCertificate(theta, delta, epsilon, points, gradients, weights, n_calls, bool(near and short))


@dataclass(frozen=True, repr=False)
class INGD(Method):
    """Interpolated normalized gradient descent: finds a (δ, ε)-stationary point of a Lipschitz loss. Z Algorithm 2.

    From θ it looks along −δ m/‖m‖, m a convex combination of gradients within δ. If the loss descends by δ‖m‖/4 there,
    it goes there and begins anew. If not, the gradient at a random point on the way joins m, which shortens m; the old
    m gets the weight (4L² − ‖m‖²)/(4L² + 2‖m‖²). At ‖m‖ ≤ ε it stops. A step of a run is one call of the gradient
    oracle, so θ often rests, and for good once it has stopped. It compares losses, so ``batch_size`` is "full".

    Parameters
    ----------
    delta : float
        δ > 0.
    epsilon : float
        ε > 0.
    lipschitz : float
        Lipschitz constant L of the loss, at least ε.

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.INGD(delta=0.1, epsilon=0.5, lipschitz=1.0)
    >>> certificate = method.certify(ds.problems.abs_well(), 0.55, rng=0)
    >>> certificate.found, bool(abs(abs(certificate.theta[0]) - 1) < 0.1)
    (True, True)
    """

    step_size: float = field(default=1.0, init=False)
    _: KW_ONLY
    sampling: Sampling = field(default_factory=Uniform)
    batch_size: int | str = FULL
    delta: float
    epsilon: float
    lipschitz: float

    compares_losses = True

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size != FULL or self.noise is not None:
            raise ArgumentError(
                "INGD compares losses, so it needs all terms and no noise: batch_size must be 'full', and noise not be "
                "given; StochasticINGD does with estimates"
            )
        for name in ("delta", "epsilon", "lipschitz"):
            object.__setattr__(self, name, _check.positive(name, getattr(self, name)))
        if self.lipschitz < self.epsilon:
            raise ArgumentError(f"lipschitz must be at least epsilon, {self.epsilon:g}, got {self.lipschitz:g}")

    @property
    def inner_steps(self) -> int:
        """K = ⌈48 L²/ε²⌉ gradients at most in one m; Z Theorem 5.4.1."""
        return math.ceil(48 * self.lipschitz**2 / self.epsilon**2)

    def rule(self, problem) -> Update:
        """One gradient more in m, and what follows from it."""
        from dynsim._kernels.methods.ingd import ingd

        params = np.array([self.delta, self.epsilon, self.lipschitz, self.inner_steps])
        dim = problem.dim
        return Update(ingd, params, lambda x0: np.column_stack([x0, np.zeros((len(x0), dim + 1))]), dim, 1)

    def certify(self, problem, x0: ArrayLike, *, rng: Seed = None, max_calls: int = 100_000) -> StationarityCertificate:
        """Run from x0 until ‖m‖ ≤ ε, and show it.

        The same numbers as the first path of :func:`dynsim.iterate` with the same ``rng``.

        Parameters
        ----------
        problem : Problem
        x0 : array_like, shape (dim,)
        rng : int, SeedSequence, Generator or None, optional
        max_calls : int, optional
            Calls of the gradient oracle after which it gives up: ``found`` is then False.
        """
        theta = _check.start("x0", x0, 1, problem.dim)[0]
        max_calls = _check.count("max_calls", max_calls)
        uniform = _uniforms(rng)
        points, gradients, weights = [theta], [problem.gradient(theta)], [1.0]
        m = gradients[0]
        for n_calls in range(1, max_calls + 1):
            norm = np.linalg.norm(m)
            if norm <= self.epsilon or n_calls == max_calls:
                break
            trial, fraction = theta - self.delta * m / norm, uniform(n_calls - 1)
            if problem.loss(trial) - problem.loss(theta) < -0.25 * self.delta * norm:
                theta, points, gradients, weights = trial, [trial], [problem.gradient(trial)], [1.0]
                m = gradients[0]
            elif len(points) >= self.inner_steps:
                points, gradients, weights = [theta], [problem.gradient(theta)], [1.0]
                m = gradients[0]
            else:
                y = theta + fraction * (trial - theta)
                four = 4 * self.lipschitz**2
                beta = (four - norm**2) / (four + 2 * norm**2)
                points.append(y)
                gradients.append(problem.gradient(y))
                weights = [beta * weight for weight in weights] + [1 - beta]
                m = beta * m + (1 - beta) * gradients[-1]
        return _certificate(theta, self.delta, self.epsilon, points, gradients, weights, n_calls)


@dataclass(frozen=True, repr=False)
class StochasticINGD(Method):
    """Stochastic interpolated normalized gradient descent: m ← β m + (1−β) g, θ' = θ − m/(p‖m‖ + q). Z Algorithm 3.

    g is estimated at a uniformly random point between θ and θ', at first at θ_0. It has no step size of its own; its
    steps are shorter than 1/p.

    Parameters
    ----------
    sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    p, q : float
        Above 0.
    beta : float
        β in [0, 1).

    Examples
    --------
    >>> import dynsim as ds
    >>> method = ds.StochasticINGD(p=200.0, q=1.0, beta=0.5)
    >>> ds.iterate(ds.problems.abs_well(), method, 0.5, n_steps=1000, rng=0).x[0, -1].round(1).tolist()
    [1.0]
    """

    step_size: float = field(default=1.0, init=False)
    p: float = field(kw_only=True)
    q: float = field(kw_only=True)
    beta: float = field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "p", _check.positive("p", self.p))
        object.__setattr__(self, "q", _check.positive("q", self.q))
        object.__setattr__(self, "beta", fraction("beta", self.beta))

    @classmethod
    def for_target(cls, delta: float, epsilon: float, bound: float, **options) -> "StochasticINGD":
        """Z Theorem 5.5.1's parameters for a (δ, ε)-stationary point, G = bound ≥ √(E‖g‖²).

        β = 1 − ε²/(64G²), p = 64G² ln(16G/ε)/(δε²), q = 4Gp.
        """
        delta, epsilon = _check.positive("delta", delta), _check.positive("epsilon", epsilon)
        bound = _check.positive("bound", bound)
        if epsilon >= bound:
            raise ArgumentError(f"epsilon must be below bound, {bound:g}, got {epsilon:g}")
        p = 64 * bound**2 * math.log(16 * bound / epsilon) / (delta * epsilon**2)
        return cls(p=p, q=4 * bound * p, beta=1 - epsilon**2 / (64 * bound**2), **options)

    def rule(self, problem) -> Update:
        """m ← β m + (1−β) g, θ ← θ − m/(p‖m‖ + q)."""
        from dynsim._kernels.methods.ingd import stochastic_ingd

        params, dim = np.array([self.p, self.q, self.beta]), problem.dim
        return Update(stochastic_ingd, params, lambda x0: np.column_stack([x0, np.zeros_like(x0)]), dim, 1)

    def certify(self, problem, path: ArrayLike, *, delta: float, epsilon: float) -> StationarityCertificate:
        """The best (δ, ε)-certificate that a path holds. Z Theorem 5.5.1.

        Z returns x_{i−K} for a random i, K = ⌊pδ⌋, since x_{i−K}, …, x_i are within δ of it. Here, for each i, the
        gradients ∇L (not the stochastic ones, a short combination of which may be chance) at these points are combined
        with weights ∝ β^{i−j}, as m_i does, and the i with the shortest combination is reported.

        Parameters
        ----------
        problem : Problem
        path : array_like, shape (n_steps + 1, dim)
            One path of a run with every step saved, ``run.x[0]``.
        delta, epsilon : float
            δ and ε to be shown.
        """
        delta, epsilon = _check.positive("delta", delta), _check.positive("epsilon", epsilon)
        path = _check.points("path", path, problem.dim)
        if path.ndim != 2:
            raise ArgumentError(f"path must have shape (n_steps + 1, {problem.dim}), got {path.shape}")
        gradients = problem.gradient(path)
        window = min(math.floor(self.p * delta), len(path) - 1) + 1
        weights = self.beta ** np.arange(window - 1, -1, -1.0)
        weights /= weights.sum()
        combined = np.stack([np.convolve(g, weights[::-1], mode="valid") for g in gradients.T], axis=1)
        lengths = np.linalg.norm(combined, axis=1)
        first = int(np.where(np.isfinite(lengths), lengths, np.inf).argmin())
        part = slice(first, first + window)
        return _certificate(path[first], delta, epsilon, path[part], gradients[part], weights, len(path))


def _uniforms(rng):
    """The uniform number of each step k of path 0, as the kernels draw it for a method that samples nothing."""
    from dynsim._kernels.increments import fill_step_uniforms

    _, key = seed_and_key(rng)

    def uniform(k):
        both = np.empty((2, 1))
        fill_step_uniforms(key, k >> 1, 0, both)
        return both[k & 1, 0]

    return uniform
