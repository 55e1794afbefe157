"""What a method without memory makes of φ in one step, exactly: Pφ(θ) = Σ_i p_i φ(F_i θ), and its covariance."""

from collections.abc import Callable, Mapping

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.stationary.outcomes import outcomes

_NUMBERS = 2**20  # coordinates of outcomes that are looked at together


class Functions:
    """One or several functions φ of θ (..., dim), each with one value, a vector or a tuple of them, as one (..., q).

    Parameters
    ----------
    phi : callable or dict of callables
    """

    def __init__(self, phi: Callable | Mapping[str, Callable]):
        several = isinstance(phi, Mapping)
        self.parts: dict = dict(phi) if isinstance(phi, Mapping) else {"phi": phi}
        for name, function in self.parts.items():
            if not callable(function):
                raise ArgumentError(
                    f"phi must be a function of theta (..., dim), or a dict of them, got {type(function).__name__}"
                    + (f" for {name!r}" if several else "")
                )
        if not self.parts:
            raise ArgumentError("phi must be at least one function, got an empty dict")
        self.names = tuple(map(str, self.parts)) if several else ()
        self.shape: tuple = (len(self.parts),) if several else ()
        self._several = several

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Their values at theta (..., dim), (..., q)."""
        columns = [self._column(name, function, theta) for name, function in self.parts.items()]
        if not self._several:
            self.shape = columns[0].shape[theta.ndim - 1 :]
        flat = [column.reshape(*theta.shape[:-1], -1) for column in columns]
        return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1)

    def _column(self, name, function, theta):
        try:
            values = function(theta)
            values = np.stack(values, axis=-1) if isinstance(values, tuple) else np.asarray(values)
        except Exception as error:
            raise ArgumentError(
                f"{name} fails for theta of shape {theta.shape}: {type(error).__name__}: {error}"
            ) from None
        if values.dtype.kind not in "biuf" or values.shape[: theta.ndim - 1] != theta.shape[:-1]:
            raise ArgumentError(
                f"{name} must return a number for each point, shape {theta.shape[:-1]}, or several, "
                f"got {values.dtype} of shape {values.shape}; for dim = 1 write theta[..., 0], not theta"
            )
        if values.ndim > theta.ndim or (self._several and values.ndim == theta.ndim):
            raise ArgumentError(
                f"{name} must return {'one number' if self._several else 'one number or a vector'} for each point, "
                f"got shape {values.shape} for theta of shape {theta.shape}"
            )
        if not np.isfinite(values).all():
            raise ArgumentError(f"{name} must be finite, but {np.count_nonzero(~np.isfinite(values))} values are not")
        return values.astype(np.float64)


class Transition:
    """The transition kernel P of a method on a problem, by the outcomes of a step.

    Raises what :func:`dynsim.stationary.outcomes.outcomes` does for ``verb``.
    """

    def __init__(self, verb: str, problem: Problem, method: Method):
        self.verb, self.problem, self.method = verb, problem, method
        _, probability = self._outcomes(self._somewhere())
        self.n_outcomes = probability.shape[-1]

    def _somewhere(self):
        _check.instance("problem", self.problem, Problem, "a problem, such as problems.two_valleys()")
        return np.full((1, self.problem.dim), 0.5)

    def _outcomes(self, theta):
        return outcomes(self.verb, self.problem, self.method, theta)

    def moments(self, functions: Functions, theta: np.ndarray, draw: np.random.Generator | None = None):
        """At points theta (n, dim): Pφ (n, q), the sum of the covariances of φ(F θ) (q, q), and extremes of φ(F_i θ).

        The extremes are (2, q). With ``draw`` also φ at one fresh step from each point, (n, q).
        """
        some = max(1, _NUMBERS // (self.n_outcomes * self.problem.dim))
        mean, cov, extremes, fresh = [], 0.0, [], []
        for first in range(0, len(theta), some):
            targets, p = self._outcomes(theta[first : first + some])
            values = functions(targets)
            mean.append(np.einsum("nk,nkq->nq", p, values))
            centered = values - mean[-1][:, None]
            flat = centered.reshape(-1, centered.shape[-1])
            cov = cov + (p.reshape(-1, 1) * flat).T @ flat
            possible = np.where(p[..., None] > 0, values, np.nan)
            extremes.append([np.nanmin(possible, axis=(0, 1)), np.nanmax(possible, axis=(0, 1))])
            if draw is not None:
                below = np.cumsum(p, axis=1) <= draw.random((len(p), 1)) * p.sum(axis=1, keepdims=True)
                chosen = np.minimum(below.sum(axis=1), p.shape[1] - 1)
                fresh.append(values[np.arange(len(p)), chosen])
        ends = np.array(extremes)
        result = np.concatenate(mean), cov, np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)])
        return (*result, np.concatenate(fresh)) if draw is not None else result
