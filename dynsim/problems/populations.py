"""AY §4.1's mixed populations: one group that is quite sensitive in a trait, another that is much less so."""

import math
from collections.abc import Sequence

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems._losses import parameters
from dynsim.problems.linear_model import LinearModel

_OF_RESIDUAL = ("square", "welsch", "barron", "huber")
_RASTER = 2001  # points at which §4.1.1's gradient is looked at for changes of sign
_FLAT = 1e-12  # relative curvature that counts as 0
_NOISE = 0.1  # deviation of ε_i, AY §4.1.2


class _Population(LinearModel):
    """A linear model on a sample of two groups, with the loss that it is a sample of.

    Attributes
    ----------
    seed : int or SeedSequence
        ``rng=seed`` draws the same sample.
    population_minima : ndarray, shape (k, dim)
        All minima of the population's loss, the global one first.
    """

    _shares: np.ndarray  # of the groups
    _centers: np.ndarray  # features of group g are N(center · e, spread² I)
    _spreads: np.ndarray

    def population_loss(self, theta: ArrayLike) -> np.ndarray:
        """E φ(θ·x − y), the loss of a sample without end, in closed form: theta (..., dim) -> (...)."""
        return self._population(theta)[0]

    def population_gradient(self, theta: ArrayLike) -> np.ndarray:
        """Its gradient, in closed form: theta (..., dim) -> (..., dim)."""
        return self._population(theta)[1]

    def _population(self, theta):
        """Both of them."""
        raise NotImplementedError


class RobustClassification(_Population):
    """AY §4.1.1; made by :func:`robust_classification`."""

    def __init__(self, sizes, rng):
        self.seed, _ = seed_and_key(rng)
        generator = np.random.default_rng(self.seed)
        n, m = sizes
        x = np.concatenate([20 + generator.standard_normal(n), 0.5 + 0.5 * generator.standard_normal(m)])
        y = generator.integers(0, 2, n + m).astype(float)
        super().__init__(
            x[:, None],
            y,
            "welsch",
            weights=np.full(n + m, 1 / (n + m)),
            groups=np.repeat([0, 1], sizes),
            name=f"robust_classification({n} + {m} rows)",
            bounds=[(-1.0, 2.0)],
        )
        self._shares = np.array([n, m]) / (n + m)
        self._centers, self._spreads = np.array([20.0, 0.5]), np.array([1.0, 0.5])
        self.minima = _by_loss(_minima_on(self.gradient, self.bounds[0]), self.loss)
        self.population_minima = _by_loss(_minima_on(self.population_gradient, self.bounds[0]), self.population_loss)

    def _population(self, theta):
        """The residual of group g and class y is N(μ, v), μ = θ m_g − y, v = θ² s_g²: E exp(−r²/2) = e^{−μ²/2w}/√w."""
        theta = _check.points("theta", theta, 1)[..., None]
        loss, slope = np.zeros(theta.shape[:-2]), np.zeros(theta.shape[:-2])
        for y in (0.0, 1.0):
            mu, w = theta[..., 0, :] * self._centers - y, 1 + (theta[..., 0, :] * self._spreads) ** 2
            kept = np.exp(-(mu**2) / (2 * w)) / np.sqrt(w)
            d_mu = mu / w * kept
            d_w = (0.5 / w - mu**2 / (2 * w**2)) * kept
            loss += 0.5 * (1 - kept) @ self._shares
            slope += 0.5 * (d_mu * self._centers + d_w * 2 * theta[..., 0, :] * self._spreads**2) @ self._shares
        return loss, slope[..., None]


def _minima_on(gradient, interval):
    """Where a derivative rises through 0 on an interval, (k, 1): changes of sign on a raster, then Brent's method."""
    from scipy.optimize import brentq

    raster = np.linspace(*interval, _RASTER)
    slope = gradient(raster[:, None])[:, 0]
    at = np.flatnonzero((slope[:-1] < 0) & (slope[1:] >= 0))
    roots = [brentq(lambda t: gradient([t])[0], raster[k], raster[k + 1], xtol=1e-15, rtol=1e-15) for k in at]
    return np.array(roots)[:, None]


def _by_loss(minima, loss):
    return minima[np.argsort(loss(minima), kind="stable")]


class RobustRegression(_Population):
    """AY §4.1.2; made by :func:`robust_regression`.

    Attributes
    ----------
    beta : ndarray, shape (dim,)
        The coefficients β* that the uncorrupted responses have.
    corruption : float
        R = 3‖y*‖_∞: u_i is uniform on [−R, R].
    """

    def __init__(self, sizes, dim, rng):
        self.seed, _ = seed_and_key(rng)
        generator = np.random.default_rng(self.seed)
        n, m = sizes
        self.beta = generator.standard_normal(dim)
        x = np.concatenate([20 + generator.standard_normal((n, dim)), 0.25 + 0.5 * generator.standard_normal((m, dim))])
        pure = x @ self.beta
        self.corruption = float(3 * np.abs(pure).max())
        u = generator.uniform(-self.corruption, self.corruption, n + m)
        super().__init__(
            x,
            pure + u + _NOISE * generator.standard_normal(n + m),
            "welsch",
            weights=np.full(n + m, 1 / (n + m)),
            groups=np.repeat([0, 1], sizes),
            name=f"robust_regression({n} + {m} rows)",
            bounds=np.column_stack([self.beta - 10, self.beta + 10]),
        )
        self._shares = np.array([n, m]) / (n + m)
        self._centers, self._spreads = np.array([20.0, 0.25]), np.array([1.0, 0.5])
        self.minima = _descend(self, self.beta)
        self.population_minima = self.beta[None].copy()

    def _population(self, theta):
        """With δ = θ − β*, r = z − u, z ~ N(μ, v), μ = m_g e·δ, v = s_g²‖δ‖² + 0.01, and u uniform on [−R, R].

        E exp(−r²/2) = √(2π)/(2R) [Φ((R − μ)/√w) + Φ((R + μ)/√w) − 1], w = 1 + v.
        """
        from scipy.special import erf

        delta, reach = _check.points("theta", theta, self.dim) - self.beta, self.corruption
        mu = delta.sum(axis=-1, keepdims=True) * self._centers
        w = 1 + _NOISE**2 + (delta**2).sum(axis=-1, keepdims=True) * self._spreads**2
        ahead, behind = (reach - mu) / np.sqrt(2 * w), (reach + mu) / np.sqrt(2 * w)
        height = math.sqrt(2 * math.pi) / (4 * reach)
        loss = 1 - height * (erf(ahead) + erf(behind)) @ self._shares
        bell_ahead, bell_behind = np.exp(-(ahead**2)), np.exp(-(behind**2))
        d_mu = height * math.sqrt(2 / math.pi) * (bell_ahead - bell_behind) / np.sqrt(w)
        d_w = height / math.sqrt(math.pi) * (ahead * bell_ahead + behind * bell_behind) / w
        along_e, outward = (d_mu * self._centers) @ self._shares, (d_w * 2 * self._spreads**2) @ self._shares
        return loss, along_e[..., None] + outward[..., None] * delta


def _descend(problem, start):
    """The minimum that a trust-region method comes to, then Newton iterations to rounding: (1, dim), or None.

    None where it ends on a floor that is flat to rounding, as it does if few rows come to fit any θ.
    """
    from scipy.optimize import minimize

    run = minimize(
        problem.loss,
        start,
        jac=problem.gradient,
        hess=problem.hessian,
        method="trust-exact",
        options={"gtol": 1e-9, "initial_trust_radius": 0.1},
    )
    theta = run.x
    values = np.linalg.eigvalsh(problem.hessian(theta))
    if values[0] <= _FLAT * values[-1]:
        return None
    for _ in range(3):
        theta = theta - np.linalg.solve(problem.hessian(theta), problem.gradient(theta))
    return theta[None]


def robust_classification(
    sizes: Sequence[int] = (800, 4000), *, rng: int | np.random.SeedSequence | np.random.Generator | None = None
) -> RobustClassification:
    """AY §4.1.1: two classes, told apart by a line through 0 under the Welsch loss; one group is 40 times as sensitive.

    Group 0 has x = 20 + N(0, 1), group 1 x = ½ + N(0, ¼) (variance ¼), y ∈ {0, 1} is a fair coin in both. A chain from
    θ0 = −½ (AY Fig 2) passes a sharp minimum near 0.028, the global one, and a flat one near 0.51. ``minima`` are the
    sample's in ``bounds``; far outside, where only rows with x next to 0 still count, it has more, of no depth.

    Parameters
    ----------
    sizes : pair of int, optional
        Rows of the two groups.
    rng : int, SeedSequence, Generator or None
        What the sample is drawn from; :attr:`seed` repeats it.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.robust_classification(rng=0)
    >>> problem.population_minima.round(4).tolist()
    [[0.0277], [0.5103]]
    >>> problem.population_loss(problem.population_minima).round(4).tolist()
    [0.1803, 0.2973]
    """
    return RobustClassification(_sizes(sizes), rng)


def robust_regression(
    sizes: Sequence[int] = (2000, 800),
    dim: int = 10,
    *,
    rng: int | np.random.SeedSequence | np.random.Generator | None = None,
) -> RobustRegression:
    """AY §4.1.2: linear regression under the Welsch loss, every response corrupted.

    Group 0 has x = 20e + N(0, I), group 1 x = ¼e + ½N(0, I), e = (1, …, 1); y = x·β* + u + ε with β* ~ N(0, I),
    u uniform on [−R, R], R = 3‖y*‖_∞ over the sample, ε ~ N(0, 0.01). AY's chains start at β* + 5e + N(0, I).

    The population's loss, for this β* and R, grows along every ray from β*, its only minimum; but where predictions
    are off by less than R, by about exp(−R²/2) only: in double precision its floor is flat. What the sample's loss has
    there is the noise of the ten to thirty of 2 800 rows that fit a θ to within the loss's unit width: very many
    minima, most of them deeper than the loss at β*. ``minima`` has the one that descent from β* comes to; the global
    one is not known.

    Parameters
    ----------
    sizes : pair of int, optional
        Rows of the two groups.
    dim : int, optional
        d, at most the number of rows.
    rng : int, SeedSequence, Generator or None
        What β* and the sample are drawn from; :attr:`seed` repeats them.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.robust_regression(rng=0)
    >>> problem.population_gradient(problem.beta).round(12).tolist() == [0.0] * 10
    True
    """
    sizes, dim = _sizes(sizes), _check.count("dim", dim)
    if sum(sizes) < dim:
        raise ArgumentError(f"dim must be at most the number of rows, {sum(sizes)}, got {dim}")
    return RobustRegression(sizes, dim, rng)


def _sizes(sizes):
    try:
        first, second = sizes
    except (TypeError, ValueError):
        raise ArgumentError(f"sizes must be the rows of two groups, such as (800, 4000), got {sizes!r}") from None
    sizes = _check.count("sizes[0]", first), _check.count("sizes[1]", second)
    _check.fits_in_memory("the rows", (sum(sizes), 20), instead="use fewer of them")
    return sizes


class DisparateGroups(LinearModel):
    """Two groups whose features differ in size; made by :func:`disparate_groups`.

    Attributes
    ----------
    beta : ndarray, shape (2, dim)
        The coefficients that the targets of either group were made with.
    seed : int or SeedSequence
        ``rng=seed`` draws the same data.
    """

    beta: np.ndarray
    seed: int | np.random.SeedSequence


def disparate_groups(
    n: int = 1000,
    dim: int = 2,
    *,
    disparity: float = 20.0,
    fraction: float = 0.5,
    beta: ArrayLike | None = None,
    noise: float = 0.0,
    loss: str = "square",
    alpha: float | None = None,
    scale: float | None = None,
    delta: float | None = None,
    rng: int | np.random.SeedSequence | np.random.Generator | None = None,
) -> DisparateGroups:
    """A linear model whose features are K times as large in one group as in the other: AY Remark 2.2.

    A share ``fraction`` of the rows, group 1, has ‖x‖ = K, the others, group 0, ‖x‖ = 1. (The remark gives K to the
    share a1, but §2.1's group of slope K is that of share a2: so it is here.) Directions are uniform on the sphere, and
    y = x·β_g + N(0, noise²) in group g. One β for both, without noise, fits all data and is the minimum. Two make the
    groups disagree, as in §2.1; a loss such as Welsch's then has a minimum near either.

    Parameters
    ----------
    n, dim : int
        Rows, and features of each. With fewer rows than features β is one of many θ that fit all data.
    disparity : float, optional
        K, at least 1.
    fraction : float, optional
        Share a2 of the group with ‖x‖ = K, in (0, 1), rounded to whole rows, at least one in each group.
    beta : array_like, shape (dim,) or (2, dim), optional
        Coefficients of all, or of group 0 and group 1; N(0, I), the same for both, by default.
    noise : float, optional
        Standard deviation of the targets' noise, at least 0.
    loss : {"square", "welsch", "barron", "huber"}
    alpha, scale, delta : float, optional
        As in :func:`linear_model`.
    rng : int, SeedSequence, Generator or None
        What the data are drawn from.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.disparate_groups(100, 3, disparity=5.0, fraction=0.2, rng=0)
    >>> problem.lipschitz.min().round(9), problem.lipschitz.max().round(9), int(problem.groups.sum())
    (np.float64(1.0), np.float64(25.0), 20)
    """
    n, dim = _check.count("n", n, least=2), _check.count("dim", dim)
    disparity, fraction = _check.real("disparity", disparity), _check.between("fraction", fraction, 0, 1)
    noise = _check.real("noise", noise)
    if disparity < 1:
        raise ArgumentError(f"disparity must be at least 1, got {disparity:g}")
    if noise < 0:
        raise ArgumentError(f"noise must be at least 0, got {noise:g}")
    _check.choice("loss", loss, _OF_RESIDUAL)
    own = parameters(loss, {"alpha": alpha, "scale": scale, "delta": delta})
    _check.fits_in_memory("the rows", (n, dim, 4), instead="use fewer of them")
    seed, _ = seed_and_key(rng)
    generator = np.random.default_rng(seed)
    if beta is None:
        beta = generator.standard_normal(dim)
    beta = _check.array("beta", np.atleast_2d(beta), ndim=2)
    if beta.shape not in ((1, dim), (2, dim)):
        raise ArgumentError(f"beta must have shape ({dim},) or (2, {dim}), got {beta.shape}")
    beta = np.broadcast_to(beta, (2, dim)).copy()
    large = min(max(round(fraction * n), 1), n - 1)
    groups = np.repeat([0, 1], [n - large, large])
    x = generator.standard_normal((n, dim))
    x *= (np.where(groups == 1, disparity, 1.0) / np.linalg.norm(x, axis=1))[:, None]
    y = (x * beta[groups]).sum(axis=1) + noise * generator.standard_normal(n)
    fits = noise == 0 and (beta[0] == beta[1]).all()
    problem = DisparateGroups(
        x,
        y,
        loss,
        weights=np.full(n, 1 / n),
        loss_parameters=own,
        groups=groups,
        minima=beta[:1] if fits else None,
        name=f"disparate_groups({n - large} + {large} rows, K={disparity:g})",
    )
    problem.beta, problem.seed = beta, seed
    return problem
