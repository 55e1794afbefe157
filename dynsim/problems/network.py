"""A small neural network on data."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem


class ReLUNetwork(Problem):
    """One hidden layer of ReLUs with its data; made by :func:`relu_network`.

    Attributes
    ----------
    X : ndarray, shape (n_terms, d)
    y : ndarray, shape (n_terms,)
    hidden : int
    """

    def __init__(self, X, y, hidden):
        from dynsim._kernels.problems.network import relu_gradient, relu_loss

        self.X, self.y, self.hidden = X, y, hidden
        n, d = X.shape
        dim = hidden * (d + 2) + 1
        planes = np.zeros((n, hidden, dim + 1))
        for j in range(hidden):
            planes[:, j, j * d : (j + 1) * d] = X
            planes[:, j, hidden * d + j] = 1
        super().__init__(
            relu_loss,
            relu_gradient,
            params=[hidden, *np.column_stack([X, y]).ravel()],
            weights=np.full(n, 1 / n),
            dim=dim,
            name=f"relu_network({hidden} hidden units, {n} rows)",
            kink_planes=planes,
            bounds=np.tile([-2.0, 2.0], (dim, 1)),
        )

    def predict(self, theta: ArrayLike, X: ArrayLike | None = None) -> np.ndarray:
        """The network at the rows of X (m, d), by default the data: theta (..., dim) -> (..., m)."""
        theta = _check.points("theta", theta, self.dim)
        X = self.X if X is None else _check.array("X", X, ndim=2)
        if X.shape[1] != self.X.shape[1]:
            raise ArgumentError(f"X must have {self.X.shape[1]} columns, like the data, got {X.shape[1]}")
        _, active, v, c = self._layers(theta, X)
        return (active @ v[..., None])[..., 0] + c

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """g_n g_nᵀ + r_n ∇²N(x_n), g_n the gradient of the network N: theta (..., dim) -> (..., n_terms, dim, dim)."""
        theta = _check.points("theta", theta, self.dim)
        n, d, h = self.n_terms, self.X.shape[1], self.hidden
        inputs, active, v, c = self._layers(theta, self.X)
        on = (inputs > 0).astype(float)
        r = (active @ v[..., None])[..., 0] + c - self.y
        slopes = on * v[..., None, :]  # ∂N/∂b, (..., n, h)
        lead = theta.shape[:-1]
        by_weights = (slopes[..., None] * self.X[:, None, :]).reshape(*lead, n, h * d)
        g = np.concatenate([by_weights, slopes, active, np.ones((*lead, n, 1))], axis=-1)
        result = g[..., :, None] * g[..., None, :]
        mixed = r[..., None] * on  # r ∂²N/∂b∂v
        for j in range(h):
            b, v_j = h * d + j, h * (d + 1) + j
            for row, factor in [(b, 1.0), *((j * d + i, self.X[:, i]) for i in range(d))]:
                result[..., row, v_j] += mixed[..., j] * factor
                result[..., v_j, row] += mixed[..., j] * factor
        return result

    def _layers(self, theta, X):
        """w_j·x + b_j (..., m, h), its positive part, v (..., h), and c (..., 1)."""
        h, d = self.hidden, X.shape[1]
        w = theta[..., : h * d].reshape(*theta.shape[:-1], h, d)
        inputs = X @ np.swapaxes(w, -1, -2) + theta[..., None, h * d : h * (d + 1)]
        return inputs, np.maximum(inputs, 0), theta[..., h * (d + 1) : -1], theta[..., -1:]


def relu_network(X: ArrayLike, y: ArrayLike, hidden: int = 4) -> ReLUNetwork:
    """A small network fitted to data, neither convex nor smooth: l_n(θ) = ½(N(x_n) − y_n)².

    N(x) = Σ_j v_j max(w_j·x + b_j, 0) + c, with j = 1, …, h and θ = (w_1, …, w_h, b_1, …, b_h, v_1, …, v_h, c), so that
    dim = h(d + 2) + 1. The kind of loss that Z ch. 5 is about.

    The gradient jumps where w_j·x_n + b_j = 0: hyperplanes in θ (``kink_planes``). There a unit counts as off,
    max(z, 0) having slope 0, the one from the left. At θ = 0 all units are off, and only c moves: start elsewhere.
    Gradients are neither bounded nor Lipschitz, and no minimum is known.

    Parameters
    ----------
    X : array_like, shape (n, d)
        One row of features for each of n observations.
    y : array_like, shape (n,)
        Targets.
    hidden : int, optional
        Number h of hidden units.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.relu_network([[-1.0], [1.0]], [1.0, 1.0], hidden=2)
    >>> theta = [-1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]  # the absolute value: max(−x, 0) + max(x, 0)
    >>> problem.predict(theta, [[-2.0], [0.5]]).tolist(), float(problem.loss(theta))
    ([2.0, 0.5], 0.0)
    """
    X, y = _check.array("X", X, ndim=2), _check.array("y", y, ndim=1)
    hidden = _check.count("hidden", hidden)
    n, d = X.shape
    if n == 0 or d == 0:
        raise ArgumentError(f"X must have at least one row and one column, got shape {X.shape}")
    if y.shape != (n,):
        raise ArgumentError(f"y must have one target for each of the {n} rows of X, got {y.size}")
    _check.fits_in_memory("the kink planes", (n * hidden, hidden * (d + 2) + 2, 2), instead="use fewer hidden units")
    return ReLUNetwork(X, y, hidden)
