"""The noise of a stochastic gradient at one point, as vectors."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD, Method
from dynsim.methods.base import FULL
from dynsim.problems import Problem
from dynsim.sampling import Sampling
from dynsim.tails import TailIndex, VarianceGrowth, tail_index, variance_growth

_DRAWS = 10_000
_LANES = 512  # draws made at once: few enough to stay in the cache
_GAUSSIANS = 20_000  # draws of the Gaussian vectors that noise is compared with


@dataclass(frozen=True, eq=False, repr=False)
class GradientNoise:
    """Vectors g − ∇L(θ) of one step's stochastic gradient g, from :func:`dynsim.gradient_noise`.

    Attributes
    ----------
    theta : ndarray, shape (dim,)
        The point.
    vectors : ndarray, shape (m, dim)
        All values of g − ∇L, or draws of it.
    probabilities : ndarray, shape (m,)
        Of each; 1/m for draws.
    exact : bool
        Whether these are all values, and not draws.
    settings : dict
        What was asked for, and the seed of draws.
    """

    theta: np.ndarray
    vectors: np.ndarray
    probabilities: np.ndarray
    exact: bool
    settings: dict = field(repr=False)

    @cached_property
    def norms(self) -> np.ndarray:
        """‖g − ∇L‖, shape (m,)."""
        return lengths(self.vectors)

    @property
    def _size(self):
        """Root mean square of the norms."""
        largest = float(self.norms.max()) or 1.0
        return largest * float(self.probabilities @ (self.norms / largest) ** 2) ** 0.5

    @property
    def mean(self) -> np.ndarray:
        """E[g − ∇L], shape (dim,): 0, up to rounding if exact and up to the scatter of the draws if not."""
        return self.probabilities @ self.vectors

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of g, shape (dim, dim): that of ``method.gradient_covariance(problem, theta)`` if exact."""
        unit, scale = self._scaled_covariance()
        with np.errstate(over="ignore", under="ignore"):
            covariance = unit * scale * scale
        if not np.isfinite(covariance).all():
            raise NotApplicable(f"the covariance of noise of size {scale:.3g} is beyond the largest number, 1.8e308")
        return covariance

    def _scaled_covariance(self):
        """That of vectors divided by the largest coordinate, whose squares cannot overflow, and that number."""
        scale = float(np.abs(self.vectors).max()) or 1.0
        unit = self.vectors / scale
        centered = unit - self.probabilities @ unit
        return np.einsum("m,mj,mk->jk", self.probabilities, centered, centered), scale

    def gaussian(self, n_draws: int = _GAUSSIANS) -> np.ndarray:
        """Draws (n_draws, dim) of Gaussian vectors with the same covariance, for comparison; always the same ones."""
        covariance, scale = self._scaled_covariance()
        values, axes = np.linalg.eigh(covariance)
        z = np.random.default_rng(0).normal(size=(_check.count("n_draws", n_draws), values.size))
        return (z * np.sqrt(np.maximum(values, 0.0)) @ axes.T) * scale

    def tail_index(self, method: str = "hill", **options) -> TailIndex:
        """The tail index of ‖g − ∇L‖ by :func:`dynsim.tails.tail_index`, which takes the options."""
        return tail_index(self._alike(self.norms), method=method, **options)

    def variance_growth(self, **options) -> VarianceGrowth:
        """The empirical variance of g against the sample size by :func:`dynsim.tails.variance_growth`."""
        return variance_growth(self._alike(self.vectors), **options)

    def plot(self, ax=None, **style):
        """Draw the histogram of ‖g − ∇L‖ beside that of Gaussian vectors of the same covariance; return the Axes."""
        from dynsim.plot import plot_gradient_noise

        return plot_gradient_noise(self, ax, **style)

    def _alike(self, values):
        """What counts each vector once, refused where they differ in probability."""
        if np.ptp(self.probabilities) > 1e-9 * self.probabilities.max():
            raise NotApplicable(
                "the values of the noise differ in probability: make draws, with gradient_noise(..., n_draws=10_000)"
            )
        return values

    def __repr__(self):
        kind = "all values" if self.exact else "draws"
        return (
            f"GradientNoise({self.settings['problem']}, {len(self.vectors)} {kind}, root mean square {self._size:.4g})"
        )


def gradient_noise(
    problem: Problem,
    theta: ArrayLike,
    *,
    method: Method | Sampling | None = None,
    n_draws: int | None = None,
    rng: Seed = None,
) -> GradientNoise:
    """The noise g − ∇L(θ) of one step's stochastic gradient at a point: its vectors, norms, covariance and tails.

    g = (1/B) Σ_{n∈b} (a_n/p_n) ∇l_n(θ) + ξ is what a method estimates from its batch b, ξ the noise that it adds, if
    any. For one term drawn in a step, B = 1, and no ξ there are as many values as terms, v_n = (a_n/p_n) ∇l_n − ∇L
    with probability p_n, and these are returned. Otherwise g is drawn, by the compiled code that a run draws it with.

    A finite sum has finite moments; what a tail index of its noise tells is how the data's tail continues. Z Fig. 4-1
    shows histograms of ‖g − ∇L‖, and its variance against the sample size: ``plot`` and ``variance_growth``.

    Parameters
    ----------
    problem : Problem
    theta : array_like, shape (dim,)
    method : Method or Sampling, optional
        Whose draws, batch size and noise; a sampling scheme alone is that of single draws, as is the default,
        ``sampling.Uniform()``.
    n_draws : int, optional
        Make so many draws; by default all values where there are as many as terms, else 10 000 draws.
    rng : int, SeedSequence, Generator or None, optional
        Source of randomness (SPEC 7).

    Returns
    -------
    GradientNoise

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or the gradient at θ is not finite.
    NotApplicable
        If the problem lacks what the sampling scheme needs, or a term that has a gradient is never drawn.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)
    >>> noise = ds.gradient_noise(problem, [0.25])
    >>> noise.vectors[:, 0].round(3).tolist(), noise.probabilities.tolist()
    ([-2.94, 1.96], [0.4, 0.6])
    >>> bool(np.isclose(noise.covariance, problem.gradient_covariance([0.25])).all())
    True
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    theta = _check.start("theta", theta, 1, problem.dim)[0]
    method = _method(method)
    method.check(problem)
    gradient = problem.gradient(theta)
    if not np.isfinite(gradient).all():
        raise ArgumentError(f"theta must be where the gradient is finite, it is not at {theta.tolist()}")
    method.sampling.refuse_bias(problem, theta[None])
    settings = {"problem": problem.name, "method": repr(method), "n_draws": n_draws}
    single = method.batch_size == 1 and method.sampling.independent
    if n_draws is None and method.noise is None and (single or method.batch_size == FULL):
        if not single:
            return GradientNoise(theta, np.zeros((1, problem.dim)), np.ones(1), True, settings)
        p = method.sampling.probabilities(problem, theta)
        drawn = p > 0
        weighted = method.sampling.reweighting(problem, theta)[:, None] * problem.term_gradients(theta)
        return GradientNoise(theta, weighted[drawn] - gradient, p[drawn], True, settings)
    n_draws = _DRAWS if n_draws is None else _check.count("n_draws", n_draws)
    _check.fits_in_memory("the draws", (n_draws, problem.dim, 4), instead="make fewer")
    seed, key = seed_and_key(rng)
    vectors = _draws(problem, method, theta, n_draws, key) - gradient
    settings["seed"] = seed
    return GradientNoise(theta, vectors, np.full(n_draws, 1 / n_draws), False, settings)


def _method(method):
    """A method; a sampling scheme alone is made one."""
    if method is None or isinstance(method, Sampling):
        return SGD(1.0) if method is None else SGD(1.0, method)
    return _check.instance("method", method, Method, "a method or a sampling scheme, such as SGD(0.1, batch_size=8)")


def lengths(vectors):
    """‖v‖ of vectors (m, d), whose squares may overflow."""
    largest = np.abs(vectors).max(axis=1)
    unit = vectors / np.where(largest > 0, largest, 1.0)[:, None]
    return largest * np.sqrt((unit**2).sum(axis=1))


def _draws(problem, method, theta, n_draws, key):
    """Estimates (n_draws, dim) of the gradient in a first step, one for each path of a run."""
    from dynsim._kernels.estimators.common import BROKEN, N_PATHS, problem_addresses
    from dynsim._kernels.fields import no_losses

    estimator = method.estimator(problem)
    estimator.integers[N_PATHS] = n_draws
    fields = (no_losses, problem.gradients_field, estimator.proportions)
    terms = (problem_addresses(*fields), problem.params, problem.weights.copy())
    sampling = (estimator.integers, estimator.numbers, estimator.table)
    rng, result = np.random.default_rng(key), np.empty((n_draws, problem.dim))
    for first in range(0, n_draws, _LANES):
        width = min(_LANES, n_draws - first)
        u = rng.random((estimator.n_uniforms, width))
        memory = np.repeat(estimator.memory[:, None], width, axis=1)
        space = (memory, np.full((estimator.n_work, width), -1.0), np.empty(width, dtype=np.int64))
        g = np.empty((problem.dim, width))
        points = np.repeat(theta[:, None], width, axis=1)
        estimator.kernel(terms, sampling, (key, first, 0, u), points, space, g)
        result[first : first + width] = g.T
    if broken := int(estimator.integers[BROKEN]):
        raise NotApplicable(f"{method.sampling!r}: {estimator.promise.format(broken)}")
    if method.noise is not None:
        result += method.noise.sample((n_draws, problem.dim), rng)
    return result
