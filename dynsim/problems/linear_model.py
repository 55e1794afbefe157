"""Linear models on data: L(θ) = Σ a_n φ(θ·x_n, y_n)."""

from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems import _fits
from dynsim.problems._losses import LOSSES, parameters
from dynsim.problems._tables import columns_and_rows
from dynsim.problems.data import Table
from dynsim.problems.problem import Problem


class LinearModel(Problem):
    """A linear model with its data; made by :func:`linear_model`.

    Attributes
    ----------
    X : ndarray, shape (n_terms, dim)
        Features as the model sees them: standardized and with the column of ones, where asked for.
    y : ndarray, shape (n_terms,)
        Targets as the model sees them: standardized where asked for, 0 and 1 for the logistic loss.
    features : tuple of str
        What the coordinates of θ belong to: the names of the features, ``"intercept"`` first if there is one.
    loss_name : str
    loss_parameters : dict
        Parameters of the loss by name.
    minima : ndarray of shape (1, dim), or None
        The only minimum, of a convex loss; found when it is first asked for. None for other losses, where Newton's
        method comes to none (separable classes), and where there are more (columns that depend linearly on each other).
    bounds : ndarray, shape (dim, 2)
        A box around the minimum and, where losses are of θ·x − y, least-squares fits to all rows, to each group, and
        those of a low loss to few rows, near which the minima of a loss that is not convex lie; made when it is first
        asked for.
    """

    def __init__(
        self,
        X,
        y,
        loss,
        *,
        weights,
        loss_parameters=None,
        features=None,
        shift=0.0,
        scale=1.0,
        target=(0.0, 1.0),
        intercept=False,
        **known,
    ):
        from dynsim._kernels.problems import linear_model as kernels

        own = dict(LOSSES[loss].defaults if loss_parameters is None else loss_parameters)
        size = np.linalg.norm(X, axis=1)
        sharpest, steepest = LOSSES[loss].sharpest(*own.values()), LOSSES[loss].steepest(*own.values())
        words = [loss, *(f"{name}={value:g}" for name, value in own.items()), f"{X.shape[0]} rows"]
        settings = {
            "name": f"linear_model({', '.join(words)})",
            "lipschitz": sharpest * size**2 if np.isfinite(sharpest) else None,
            "gradient_bounds": steepest * size if np.isfinite(steepest) else None,
        }
        super().__init__(
            getattr(kernels, f"{loss}_loss"),
            getattr(kernels, f"{loss}_gradient"),
            params=np.concatenate([np.column_stack([X, y]).ravel(), [*own.values(), 0.0, 0.0][:2]]),
            weights=weights,
            dim=X.shape[1],
            **settings | known,
        )
        self.X, self.y, self.loss_name, self.loss_parameters = X, y, loss, own
        self.features = tuple(f"x{j + 1}" for j in range(self.dim)) if features is None else features
        self.gradient_norms_field = kernels.norms_field(kernels.SLOPES[loss])
        self.gradients_field = kernels.drawn_gradients_field(kernels.SLOPES[loss])
        self._shift, self._scale, self._target, self._intercept = shift, scale, target, intercept
        for later in ("minima", "bounds"):  # what is not known is left to the properties of that name
            if getattr(self, later) is None:
                del self.__dict__[later]

    @cached_property
    def minima(self):
        """The only minimum of a convex loss, shape (1, dim); None where there is none, or not one only."""
        return _fits.only_minimum(self) if self.is_convex else None

    @cached_property
    def bounds(self):
        """A box worth looking at, shape (dim, 2)."""
        return _fits.box(self)

    @property
    def is_convex(self) -> bool:
        """Whether φ is convex in f, so that all local minima are global."""
        return LOSSES[self.loss_name].convex(*self.loss_parameters.values())

    def predictions(self, theta: ArrayLike) -> np.ndarray:
        """θ·x_n, log-odds for the logistic loss, ln E y for Poisson's: theta (..., dim) -> (..., n_terms)."""
        return _check.points("theta", theta, self.dim) @ self.X.T

    def residuals(self, theta: ArrayLike) -> np.ndarray:
        """θ·x_n − y_n: theta (..., dim) -> (..., n_terms)."""
        return self.predictions(theta) - self.y

    def curvatures(self, theta: ArrayLike) -> np.ndarray:
        """∂²φ/∂f² at (θ·x_n, y_n), the factor of x_n x_nᵀ in a term's Hessian: theta (..., dim) -> (..., n_terms)."""
        return LOSSES[self.loss_name].curvature(self.predictions(theta), self.y, *self.loss_parameters.values())

    @property
    def curvature_at_fit(self) -> float | None:
        """∂²φ/∂f² where f = y, for losses of f − y, which have it in common for all data; else None."""
        loss = LOSSES[self.loss_name]
        return float(loss.curvature(0.0, 0.0, *self.loss_parameters.values())) if loss.of_residual else None

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """The curvature times x_n x_nᵀ: theta (..., dim) -> (..., n_terms, dim, dim)."""
        return self.curvatures(theta)[..., None, None] * (self.X[:, :, None] * self.X[:, None, :])

    def hessian(self, theta: ArrayLike) -> np.ndarray:
        """∇²L(θ): theta (..., dim) -> (..., dim, dim)."""
        result = self.X.T @ ((self.weights * self.curvatures(theta))[..., None] * self.X)
        return 0.5 * (result + np.swapaxes(result, -1, -2))

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
    X: ArrayLike | Table,
    y: ArrayLike | str | None = None,
    loss: str = "square",
    *,
    alpha: float | None = None,
    scale: float | None = None,
    delta: float | None = None,
    intercept: bool = False,
    standardize: bool = False,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> LinearModel:
    """A linear model f = θ·x fitted to data: L(θ) = Σ a_n φ(θ·x_n, y_n).

    With r = f − y, φ is

    * ``"square"``: r²/2, AY (3.7);
    * ``"huber"``: r²/2 for ``|r| ≤ δ``, ``δ(|r| − δ/2)`` beyond;
    * ``"welsch"``: 1 − exp(−r²/2), AY (4.1), which an outlier pulls on ever less;
    * ``"barron"``: ``(|α−2|/α) [((r/c)²/|α−2| + 1)^{α/2} − 1]``, which has between square (α = 2, c = 1) and Welsch
      (α = −∞) the losses of Charbonnier (1), Cauchy (0) and Geman–McClure (−2), each as the limit where the formula
      has none: Barron (2019), A general and adaptive robust loss function, equation 8;
    * ``"logistic"``: ln(1 + e^f) − y f for two classes y = 0 and 1, or −1 and 1, which are read as 0 and 1;
    * ``"poisson"``: e^f − y f − y + y ln y for counts y ≥ 0, half the deviance: its least value is 0, at f = ln y.

    Parameters
    ----------
    X : array_like, shape (n, d), or DataFrame, or Table
        One row of features for each of n observations, n ≥ d. A data frame of pandas (or another with ``columns``)
        gives its columns' names to ``features``; a Table of :func:`load_data` has the targets with it.
    y : array_like, shape (n,), or str
        Targets; with a data frame also the name of the column that holds them, which is then no feature. What has an
        index must have that of the data frame.
    loss : {"square", "welsch", "barron", "huber", "logistic", "poisson"}
    alpha, scale : float, optional
        Shape α, any number or ``-inf``, and scale c > 0 of Barron's loss; 1 by default.
    delta : float, optional
        Where Huber's loss becomes linear, positive; 1 by default.
    intercept : bool, optional
        Put a column of ones before the features; θ[0] is then the intercept.
    standardize : bool, optional
        Shift and scale features and target to mean 0 and deviation 1 (without ``intercept``: scale only), so that one
        step size suits all; :meth:`LinearModel.coefficients` undoes it. Classes and counts stay as they are. ``scale``
        and ``delta`` are in the unit that y then has.
    weights : array_like, shape (n,), or str, optional
        Weights a_n > 0 of the observations, normalized to sum 1; 1/n by default. Like y and ``groups``, with a data
        frame also the name of a column.
    groups : array_like, shape (n,), or str, optional
        The group of each observation: labels of one kind, none missing, numbered in sorted order, for
        ``sampling.GroupNorm``.

    Raises
    ------
    ArgumentError
        If the data are not finite numbers of matching shapes, a target is none that the loss has, or a parameter is
        given to a loss that does not have it.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [2.0]], [1.0, 2.0])
    >>> problem.gradient([0.0]).tolist()
    [-2.5]
    >>> stars = ds.problems.load_data("stars-cyg")
    >>> ds.problems.linear_model(stars, loss="huber", delta=0.5, intercept=True)
    <Problem linear_model(huber, delta=0.5, 47 rows): 47 terms, dim 2>
    """
    X, y, weights, groups, features = columns_and_rows(X, y, weights, groups)
    _check.choice("loss", loss, LOSSES)
    loss_parameters = parameters(loss, {"alpha": alpha, "scale": scale, "delta": delta})
    n, d = X.shape
    if y.shape != (n,):
        raise ArgumentError(f"y must have one target for each of the {n} rows of X, got {y.size}")
    if d == 0 or n < d + bool(intercept):
        raise ArgumentError(
            f"X must have at least one column and as many rows as parameters, "
            f"got {n} rows for {d + bool(intercept)} parameters"
        )
    y = LOSSES[loss].target(y)
    shift, spread, target = np.zeros(d), np.ones(d), (0.0, 1.0)
    if standardize:
        shift, spread, target = _moments(X, y, center=intercept, target=LOSSES[loss].of_residual)
    X, y = (X - shift) / spread, (y - target[0]) / target[1]
    if intercept:
        X, features = np.column_stack([np.ones(n), X]), ("intercept", *features)
    return LinearModel(
        X,
        y,
        loss,
        weights=_check.weights("weights", weights, n, each="each row of X"),
        loss_parameters=loss_parameters,
        features=features,
        shift=shift,
        scale=spread,
        target=target,
        intercept=intercept,
        groups=None if groups is None else _numbered(groups, n),
    )


def _numbered(groups, n):
    try:
        groups = np.asarray(groups)
        if groups.dtype.kind == "O" and any(label is None for label in groups.ravel()):
            raise TypeError
        distinct, numbers = np.unique(groups, return_inverse=True, equal_nan=False)
        whole = bool((distinct == distinct).all())  # NaN is a label that is missing
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ArgumentError("groups must be labels of one kind, such as numbers or texts, none missing")
    if groups.shape != (n,):
        raise ArgumentError(f"groups must be {n} labels, one for each row of X, got shape {groups.shape}")
    return numbers


def _moments(X, y, *, center, target):
    """Means (0 without ``center``) and deviations of the features, and those of y (0 and 1 without ``target``)."""
    with np.errstate(over="ignore", invalid="ignore"):
        shift = X.mean(axis=0) if center else np.zeros(X.shape[1])
        spread = X.std(axis=0)
        of_y = (float(y.mean()) if center else 0.0, float(y.std())) if target else (0.0, 1.0)
    if not (np.isfinite(shift).all() and np.isfinite(spread).all() and np.isfinite(of_y).all()):
        raise ArgumentError("X and y cannot be standardized: the squares of their entries overflow")
    constant = np.flatnonzero(spread <= 1e-12 * np.abs(X).max(axis=0))
    if constant.size or (target and of_y[1] <= 1e-12 * np.abs(y).max()):
        what = f"column {constant[0]} of X" if constant.size else "y"
        raise ArgumentError(f"{what} is constant, so it cannot be standardized")
    return shift, spread, of_y
