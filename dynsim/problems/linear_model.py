"""Linear models on data: L(θ) = Σ a_n φ(θ·x_n − y_n)."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem

LOSSES = ("square", "welsch")


class LinearModel(Problem):
    """A linear model with its data; made by :func:`linear_model`.

    Attributes
    ----------
    X : ndarray, shape (n_terms, dim)
        Features as the model sees them: standardized and with the column of ones, where asked for.
    y : ndarray, shape (n_terms,)
        Targets as the model sees them.
    loss_name : str
    """

    def __init__(self, X, y, loss, *, weights, shift, scale, target, intercept):
        from dynsim._kernels.problems import linear_model as kernels

        super().__init__(
            getattr(kernels, f"{loss}_loss"),
            getattr(kernels, f"{loss}_gradient"),
            params=np.column_stack([X, y]).ravel(),
            weights=weights,
            dim=X.shape[1],
            name=f"linear_model({loss}, {X.shape[0]} rows)",
        )
        self.X, self.y, self.loss_name = X, y, loss
        self.gradient_norms_field = getattr(kernels, f"{loss}_norms")
        self.gradients_field = getattr(kernels, f"{loss}_gradients")
        self._shift, self._scale, self._target, self._intercept = shift, scale, target, intercept

    def residuals(self, theta: ArrayLike) -> np.ndarray:
        """θ·x_n − y_n: theta (..., dim) -> (..., n_terms)."""
        return _check.points("theta", theta, self.dim) @ self.X.T - self.y

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """φ''(r_n) x_n x_nᵀ: theta (..., dim) -> (..., n_terms, dim, dim)."""
        r = self.residuals(theta)
        curvature = np.ones_like(r) if self.loss_name == "square" else (1 - r**2) * np.exp(-(r**2) / 2)
        return curvature[..., None, None] * (self.X[:, :, None] * self.X[:, None, :])

    def least_squares(self) -> np.ndarray:
        """The weighted least-squares θ, shape (dim,): the minimum for the square loss."""
        root = np.sqrt(self.weights)
        return np.linalg.lstsq(root[:, None] * self.X, root * self.y, rcond=None)[0]

    def coefficients(self, theta: ArrayLike) -> np.ndarray:
        """θ in the units of the data as given: theta (..., dim) -> (..., dim), the intercept first if there is one."""
        theta = _check.points("theta", theta, self.dim)
        center, spread = self._target
        if not self._intercept:
            return spread * theta / self._scale
        slopes = spread * theta[..., 1:] / self._scale
        constant = center + spread * theta[..., :1] - (slopes * self._shift).sum(axis=-1, keepdims=True)
        return np.concatenate([constant, slopes], axis=-1)


def linear_model(
    X: ArrayLike,
    y: ArrayLike,
    loss: str = "square",
    *,
    intercept: bool = False,
    standardize: bool = False,
    weights: ArrayLike | None = None,
) -> LinearModel:
    """A linear model f(x, θ) = θ·x fitted to data: L(θ) = Σ a_n φ(θ·x_n − y_n).

    Parameters
    ----------
    X : array_like, shape (n, d)
        One row of features for each of n observations, n ≥ d.
    y : array_like, shape (n,)
        Targets.
    loss : {"square", "welsch"}
        φ(r) = r²/2, AY (3.7), or φ(r) = 1 − exp(−r²/2), AY (4.1), which an outlier pulls on ever less.
    intercept : bool, optional
        Put a column of ones before the features; θ[0] is then the intercept.
    standardize : bool, optional
        Shift and scale features and target to mean 0 and deviation 1 (without ``intercept``: scale only), so that one
        step size suits all; :meth:`LinearModel.coefficients` undoes it.
    weights : array_like, shape (n,), optional
        Weights a_n > 0 of the observations, normalized to sum 1; 1/n by default.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [2.0]], [1.0, 2.0])
    >>> problem.gradient([0.0]).tolist()
    [-2.5]
    """
    X, y = _check.array("X", X, ndim=2), _check.array("y", y, ndim=1)
    _check.choice("loss", loss, LOSSES)
    n, d = X.shape
    if y.shape != (n,):
        raise ArgumentError(f"y must have one target for each of the {n} rows of X, got {y.size}")
    if d == 0 or n < d + bool(intercept):
        raise ArgumentError(
            f"X must have at least one column and as many rows as parameters, "
            f"got {n} rows for {d + bool(intercept)} parameters"
        )
    weights = np.full(n, 1 / n) if weights is None else _check.array("weights", weights, ndim=1)
    if weights.shape != (n,) or not (weights > 0).all():
        raise ArgumentError(f"weights must be {n} positive numbers, one for each row of X")
    weights = weights / weights.max()
    weights = weights / weights.sum()
    shift, scale, target = np.zeros(d), np.ones(d), (0.0, 1.0)
    if standardize:
        with np.errstate(over="ignore", invalid="ignore"):
            shift = X.mean(axis=0) if intercept else shift
            scale = X.std(axis=0)
            target = (float(y.mean()) if intercept else 0.0, float(y.std()))
        if not (np.isfinite(shift).all() and np.isfinite(scale).all() and np.isfinite(target).all()):
            raise ArgumentError("X and y cannot be standardized: the squares of their entries overflow")
        constant = np.flatnonzero(scale <= 1e-12 * np.abs(X).max(axis=0))
        if constant.size or target[1] <= 1e-12 * np.abs(y).max():
            what = f"column {constant[0]} of X" if constant.size else "y"
            raise ArgumentError(f"{what} is constant, so it cannot be standardized")
    X, y = (X - shift) / scale, (y - target[0]) / target[1]
    if intercept:
        X = np.column_stack([np.ones(n), X])
    return LinearModel(X, y, loss, weights=weights, shift=shift, scale=scale, target=target, intercept=intercept)
