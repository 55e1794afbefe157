"""The problem L(θ) = Σ a_n l_n(θ)."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike
from dynsim.sampling import Sampling, Uniform

_TERMS, _PAIRS = 256, 2**16  # terms, and pairs of a term and a point, that are evaluated together
_DIFFERENCE = 1e-3  # of a scheme of fourth order: its error h⁴ and the rounding 1e-16/h are then both small


class Problem:
    """A weighted finite sum of losses, L(θ) = Σ a_n l_n(θ) with a_n > 0, Σ a_n = 1.

    Made by the functions of :mod:`dynsim.problems`. Its methods take θ of shape (..., dim) and work on all leading
    axes at once.

    Attributes
    ----------
    dim : int
        Dimension of θ.
    n_terms : int
        Number of terms.
    weights : ndarray, shape (n_terms,)
        The weights a_n.
    name : str
        What it is called in results and plots.
    minima : ndarray of shape (k, dim) or None
        Known local minima, the global one first.
    kinks : tuple of float
        For dim = 1, where the gradient jumps.
    kink_planes : ndarray, shape (m, dim + 1)
        Hyperplanes on which the gradient jumps: a row [a, b] is {θ : a·θ = b}. None at all where it is smooth.
    bounds : ndarray of shape (dim, 2), or None
        A box worth looking at.
    slopes : ndarray of shape (n_terms,) or None
        Slope of each term in its own valley, what ``sampling.Balanced`` needs.
    lipschitz : ndarray of shape (n_terms,) or None
        Lipschitz constants of the ∇l_n, what ``sampling.Lipschitz`` needs.
    gradient_bounds : ndarray of shape (n_terms,) or None
        Bounds of ‖∇l_n(θ)‖ over all θ, what ``sampling.Rejection`` needs.
    groups : ndarray of int, shape (n_terms,), or None
        The group of each term, 0, 1, …, what ``sampling.GroupNorm`` draws from.
    """

    slopes: np.ndarray | None = None

    def __init__(
        self,
        loss,
        gradient,
        *,
        params,
        weights,
        dim,
        name,
        term_hessians=None,
        minima=None,
        kinks=(),
        kink_planes=None,
        bounds=None,
        lipschitz=None,
        gradient_bounds=None,
        groups=None,
    ):
        """Keep the formulas ``loss(theta, n, params)`` and ``gradient(theta, n, params, out)`` and what is known.

        ``term_hessians(theta)`` is vectorized, (..., dim) -> (..., n_terms, dim, dim); without it the Hessians are
        differences of gradients.
        """
        self._loss, self._gradient, self._term_hessians = loss, gradient, term_hessians
        self.params = np.ascontiguousarray(params, dtype=np.float64).ravel()
        self.weights = np.ascontiguousarray(weights, dtype=np.float64)
        self.weights.flags.writeable = False
        self.n_terms, self.dim, self.name = self.weights.size, dim, name
        self.minima = None if minima is None else np.asarray(minima, dtype=np.float64).reshape(-1, dim)
        self.kinks = tuple(float(kink) for kink in kinks)
        planes = [[1.0, kink] for kink in self.kinks] if kink_planes is None else kink_planes
        self.kink_planes = np.asarray(planes, dtype=np.float64).reshape(-1, dim + 1)
        self.bounds = None if bounds is None else np.asarray(bounds, dtype=np.float64).reshape(dim, 2)
        self.lipschitz = None if lipschitz is None else np.broadcast_to(lipschitz, self.n_terms)
        self.gradient_bounds = None if gradient_bounds is None else np.broadcast_to(gradient_bounds, self.n_terms)
        self.groups = None if groups is None else np.asarray(groups, dtype=np.int64)

    def __repr__(self):
        return f"<Problem {self.name}: {self.n_terms} terms, dim {self.dim}>"

    @classmethod
    def from_terms(
        cls,
        loss: Callable,
        gradient: Callable | None = None,
        *,
        n_terms: int,
        dim: int,
        params: ArrayLike = (),
        weights: ArrayLike | None = None,
        name: str | None = None,
        hessian: Callable | None = None,
        minima: ArrayLike | None = None,
        kinks: ArrayLike = (),
        bounds: ArrayLike | None = None,
        check: bool = True,
    ) -> "Problem":
        """A problem of your own losses, L(θ) = Σ a_n l_n(θ): plain Python functions of one θ and one term.

        They are compiled, and their ``math`` and NumPy functions become SIMD code where that is possible. Functions
        that yours call must be compiled already: decorate them with ``numba.njit``. Globals keep the values that
        they have at the time of definition.

        Parameters
        ----------
        loss : callable
            ``loss(theta, n, params) -> float``: l_n(θ) for θ of length ``dim`` and the term n = 0 … n_terms − 1. The
            argument ``params`` may be left out.
        gradient : callable, optional
            ``gradient(theta, n, params, out)`` that assigns ∇l_n(θ) to ``out`` (dim,). Without it the gradient is
            derived from ``loss`` by dual numbers, exact to rounding, at the cost of ``dim`` evaluations; at a kink of
            abs, min or max it is that of one of the pieces that meet there.
        n_terms, dim : int
            Number of terms; dimension of θ.
        params : array_like, shape (k,) or (m, k), optional
            Numbers or rows of data that the functions get as an array of this shape.
        weights : array_like, shape (n_terms,), optional
            Weights a_n > 0, normalized to sum 1; 1/n_terms by default.
        name : str, optional
        hessian : callable, optional
            ``hessian(theta, n, params, out)`` that assigns ∇²l_n(θ) to ``out`` (dim, dim). Without it Hessians are
            differences of gradients.
        minima, kinks, bounds : optional
            What is known; see the attributes.
        check : bool, optional
            Compare the gradient with differences of the loss, see :func:`dynsim.problems.check_gradient`, and look at
            the gradient at ``minima`` and beside them.

        Raises
        ------
        ArgumentError
            If a function takes other arguments, fails for one of up to 64 terms, returns no number, leaves a part of
            ``out`` unset, or does not compile; if the gradient does not fit the loss; if one of ``minima`` is none.

        Examples
        --------
        >>> import dynsim as ds, numpy as np
        >>> data = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 5.0]])
        >>> def loss(theta, n, params):
        ...     return abs(theta[0] * params[n, 0] - params[n, 1]) ** 1.5
        >>> problem = ds.Problem.from_terms(loss, n_terms=3, dim=1, params=data)
        >>> problem.term_gradients([1.0])[:, 0].round(6).tolist()
        [-1.5, -3.0, -6.363961]
        """
        from dynsim.problems.user import from_terms

        return from_terms(
            loss,
            gradient,
            n_terms=n_terms,
            dim=dim,
            params=params,
            weights=weights,
            name=name,
            hessian=hessian,
            minima=minima,
            kinks=kinks,
            bounds=bounds,
            check=check,
        )

    @classmethod
    def from_sympy(
        cls,
        expr,
        theta,
        *,
        data: Mapping | None = None,
        weights: ArrayLike | None = None,
        name: str | None = None,
        minima: ArrayLike | None = None,
        kinks: ArrayLike = (),
        bounds: ArrayLike | None = None,
    ) -> "Problem":
        """A problem from SymPy expressions, with exact gradients and Hessians. Needs the extra ``dynsim[sympy]``.

        Parameters
        ----------
        expr : expression or sequence of expressions
            One loss l(θ), or one for each term. Abs, Max, Min and Piecewise may occur.
        theta : symbol or sequence of symbols
            The coordinates of θ.
        data : dict, optional
            Numbers or arrays (n,) for the other symbols. With one expression each row makes a term; with several,
            row n belongs to the n-th.
        weights, name, minima, kinks, bounds : optional
            As in :meth:`from_terms`.

        Raises
        ------
        ArgumentError
            If a symbol is neither in ``theta`` nor in ``data``, or the columns differ in length.
        NotApplicable
            If SymPy is not installed, cannot differentiate the expression, or a function in it cannot be compiled.

        Examples
        --------
        >>> import dynsim as ds
        >>> import sympy
        >>> a, x, y = sympy.symbols("a x y")
        >>> data = {x: [1.0, 2.0, 3.0], y: [2.0, 3.0, 5.0]}
        >>> problem = ds.Problem.from_sympy(1 - sympy.exp(-((a * x - y) ** 2) / 2), a, data=data)
        >>> problem.hessian([1.6]).round(6).tolist()
        [[4.336099]]
        """
        from dynsim.problems.symbolic import from_sympy

        return from_sympy(expr, theta, data=data, weights=weights, name=name, minima=minima, kinks=kinks, bounds=bounds)

    def fingerprint(self) -> str:
        """A digest of the formulas, their parameters and the weights."""
        return fingerprint(self._loss, self._gradient, self.params, self.weights)

    @cached_property
    def losses_field(self):
        """Block field of the terms' losses, for kernels."""
        from dynsim._kernels.fields import losses_field

        return losses_field(self._loss)

    @cached_property
    def gradients_field(self):
        """Block field of the terms' gradients, for kernels."""
        from dynsim._kernels.fields import gradients_field

        return gradients_field(self._gradient)

    @cached_property
    def gradient_norms_field(self):
        """Block field of a_n‖∇l_n‖ for all terms, for kernels."""
        from dynsim._kernels.fields import gradient_norms_field

        return gradient_norms_field(self._gradient)

    def limit_fields(self, method):
        """Drift and diffusion of the SDE limit of ``SGD``, block fields, and their parameters, where the problem has
        faster ones than sums over its terms; else None.
        """
        return None

    def term_losses(self, theta: ArrayLike) -> np.ndarray:
        """l_n(θ) for all terms: theta (..., dim) -> (..., n_terms)."""
        theta, lanes = self._lanes(theta)
        result = np.empty((self.n_terms, lanes.shape[1]))
        for terms, points, values in self._losses(lanes):
            result[terms, points] = values
        return result.T.reshape(*theta.shape[:-1], self.n_terms)

    def loss(self, theta: ArrayLike) -> np.ndarray:
        """L(θ): theta (..., dim) -> (...)."""
        theta, lanes = self._lanes(theta)
        result = np.zeros(lanes.shape[1])
        for terms, points, values in self._losses(lanes):
            result[points] += _weighted_sum(self.weights[terms], values)
        return result.reshape(theta.shape[:-1])

    def term_gradients(self, theta: ArrayLike) -> np.ndarray:
        """∇l_n(θ) for all terms: theta (..., dim) -> (..., n_terms, dim). At a kink, of one of the pieces."""
        theta, lanes = self._lanes(theta)
        result = np.empty((self.dim, self.n_terms, lanes.shape[1]))
        for terms, points, values in self._gradients(lanes):
            result[:, terms, points] = values
        result[:, :, np.isnan(lanes).any(axis=0)] = np.nan  # a branch on θ would lose it
        return np.ascontiguousarray(result.T).reshape(*theta.shape[:-1], self.n_terms, self.dim)

    def _few_losses(self, x, term):
        """Losses of columns of x (dim, W), each of its term, (W,): for checks at a few points."""
        values = np.empty(term.size)
        self.losses_field(np.ascontiguousarray(x), self.params, np.ascontiguousarray(term, dtype=np.int64), values)
        return values

    def _is_finite(self, theta: ArrayLike) -> np.ndarray:
        """Whether L(θ) is finite: theta (..., dim) -> (...)."""
        theta, lanes = self._lanes(theta)
        result = np.zeros(lanes.shape[1])
        for terms, points, x, term in self._parts(lanes):
            result[points] += self.weights[terms] @ self._few_losses(x, term).reshape(terms.stop - terms.start, -1)
        return np.isfinite(result).reshape(theta.shape[:-1])

    def gradient(self, theta: ArrayLike) -> np.ndarray:
        """∇L(θ): theta (..., dim) -> (..., dim)."""
        theta, lanes = self._lanes(theta)
        result = np.zeros_like(lanes)
        for terms, points, values in self._gradients(lanes):
            for j in range(self.dim):
                result[j, points] += _weighted_sum(self.weights[terms], values[j])
        result[:, np.isnan(lanes).any(axis=0)] = np.nan
        return result.T.reshape(theta.shape)

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """∇²l_n(θ) for all terms: theta (..., dim) -> (..., n_terms, dim, dim).

        By the problem's own formula, or by differences of gradients of the fourth order, to about nine digits.
        """
        theta = _check.points("theta", theta, self.dim)
        if self._term_hessians is not None:
            return self._term_hessians(theta)
        columns = []
        for j in range(self.dim):
            h = _DIFFERENCE * np.maximum(1.0, np.abs(theta[..., j]))
            step = np.zeros_like(theta)
            step[..., j] = h
            near = self.term_gradients(theta + step) - self.term_gradients(theta - step)
            far = self.term_gradients(theta + 2 * step) - self.term_gradients(theta - 2 * step)
            columns.append((8 * near - far) / (12 * h[..., None, None]))
        result = np.stack(columns, axis=-1)
        return 0.5 * (result + np.swapaxes(result, -1, -2))

    def hessian(self, theta: ArrayLike) -> np.ndarray:
        """∇²L(θ): theta (..., dim) -> (..., dim, dim)."""
        return np.einsum("n,...njk->...jk", self.weights, self.term_hessians(theta))

    def gradient_covariance(
        self, theta: ArrayLike, sampling: Sampling | None = None, batch_size: int = 1
    ) -> np.ndarray:
        """Covariance of the reweighted gradient of one drawn term, or of the mean of a batch.

        Σ(θ) = Σ_n p_n v_n v_nᵀ with v_n = (a_n/p_n) ∇l_n(θ) − ∇L(θ): Σ¹ of AY (3.4) for uniform sampling, Σ² of
        AY (3.6) for ``sampling.GradientNorm()``.

        Parameters
        ----------
        theta : array_like, shape (..., dim)
        sampling : Sampling, optional
            ``sampling.Uniform()`` by default.
        batch_size : int, optional

        Returns
        -------
        ndarray, shape (..., dim, dim)
        """
        return (Uniform() if sampling is None else sampling).covariance(self, theta, batch_size)

    def plot(
        self, ax=None, *, bounds: ArrayLike | None = None, coordinates=None, at: ArrayLike | None = None, points=None
    ):
        """Draw L over a box and return the Axes: a curve with its terms in dim 1, filled contours in dim 2.

        Kinks are dotted. High walls are cut off: the colors cover the lower nine tenths of the box, or up to twice the
        median's height above it, on a logarithmic scale where a narrow floor lies far below the rest.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        bounds : array_like, shape (dim, 2) or (2,), optional
            The box; ``self.bounds`` by default. For a section, a (low, high) for each of its coordinates will do.
        coordinates : tuple of one or two int, optional
            Draw over these coordinates, the others being those of ``at``; needed for dim above 2.
        at : array_like, shape (dim,), optional
            The point that the section goes through.
        points : StationaryPoints, optional
            From :func:`dynsim.minima`, marked by kind; by default ``self.minima``, if known.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        NotApplicable
            If dim is above 2 and no section is chosen, or no box is known and none is given.
        """
        from dynsim.plot import plot_problem

        return plot_problem(self, ax, bounds=bounds, coordinates=coordinates, at=at, points=points)

    def _lanes(self, theta):
        theta = _check.points("theta", theta, self.dim)
        return theta, np.array(theta.reshape(-1, self.dim).T, order="C")

    def _losses(self, lanes):
        """Terms, points and the losses (terms, points) of part after part."""
        for terms, points, x, term in self._parts(lanes):
            values = np.empty(term.size)
            self.losses_field(x, self.params, term, values)
            yield terms, points, values.reshape(terms.stop - terms.start, -1)

    def _gradients(self, lanes):
        """Terms, points and the gradients (dim, terms, points) of part after part."""
        for terms, points, x, term in self._parts(lanes):
            values = np.empty_like(x)
            self.gradients_field(x, self.params, term, values)
            yield terms, points, values.reshape(self.dim, terms.stop - terms.start, -1)

    def _parts(self, lanes):
        """Every term at every point, a block of both at a time: a lane of the fields for each pair.

        The terms are cut the same way for any number of points, so that a sum over them is the same to the last bit.
        """
        most = max(1, _PAIRS // min(self.n_terms, _TERMS))
        for first_point in range(0, lanes.shape[1], most):
            points = slice(first_point, min(first_point + most, lanes.shape[1]))
            part = lanes[:, points]
            for first in range(0, self.n_terms, _TERMS):
                terms = slice(first, min(first + _TERMS, self.n_terms))
                numbers = np.arange(terms.start, terms.stop)
                yield terms, points, np.tile(part, numbers.size), np.repeat(numbers, part.shape[1])


def _weighted_sum(weights, values):
    """Σ a_n v_n over the rows of values, from the first to the last for any number of columns."""
    return np.cumsum(weights[:, None] * values, axis=0)[-1]
