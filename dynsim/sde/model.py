"""The Itô stochastic differential equation dX = μ(t, X) dt + σ(t, X) dW."""

import inspect
from collections.abc import Callable

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

_PROBES = (0.5, 1.5, -0.5, 2.5, 10.0)  # where a user's function is called, to see what it returns


class SDE:
    """An Itô stochastic differential equation dX = μ(t, X) dt + σ(t, X) dW.

    Parameters
    ----------
    drift : callable
        μ for one path: ``drift(t, x)`` or ``drift(t, x, params)``, x of length ``dim``; returns a number (dim = 1) or
        a tuple. Or, for larger dim, ``drift(t, x, out)`` or ``drift(t, x, params, out)`` that fills ``out`` (dim,).
        The last argument must then be named ``out``. Plain Python with ``math`` or NumPy scalars; dynsim compiles it.
    diffusion : callable
        σ likewise: returns a number (dim = 1, or σ = number in the first component only where dim = 1), a tuple
        (diagonal σ), a tuple of rows, or fills ``out`` (dim, noise_dim).
    dim : int, optional
        Dimension of X.
    noise_dim : int, optional
        Dimension of W. Known from what ``diffusion`` returns; needed only where it fills ``out`` (dim by default).
    params : sequence of float, optional
        Passed on to both functions.
    breaks : sequence of float, optional
        For dim = 1, where μ or σ jumps; density grids put a face there.

    Raises
    ------
    ArgumentError
        If a function takes other arguments, returns another shape, or does not compile; the message says why.

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    >>> sde.drift(0.0, [[2.0]]).tolist(), sde.covariance(0.0, [[2.0]]).tolist()
    ([[-2.0]], [[[1.0]]])
    """

    def __init__(
        self,
        drift: Callable,
        diffusion: Callable,
        *,
        dim: int = 1,
        noise_dim: int | None = None,
        params: ArrayLike = (),
        breaks: ArrayLike = (),
    ):
        self.dim = _check.count("dim", dim)
        self.params = _check.array("params", params, ndim=1)
        self.breaks = tuple(np.sort(_check.array("breaks", breaks, ndim=1)))
        self.name = "SDE"
        self._drift_field, _ = self._compile("drift", drift, ((self.dim,),), None)
        square = (self.dim, self.dim)
        shape = square if noise_dim is None else (self.dim, _check.count("noise_dim", noise_dim))
        self._diffusion_field, shape = self._compile("diffusion", diffusion, ((self.dim,), shape), noise_dim)
        self.noise_dim = shape[-1] if len(shape) else 1

    @classmethod
    def _from_fields(cls, drift_field, diffusion_field, *, dim, noise_dim, params, breaks, name):
        """An SDE whose block fields exist already."""
        sde = cls.__new__(cls)
        sde.dim, sde.noise_dim, sde.name = dim, noise_dim, name
        sde.params = np.ascontiguousarray(params, dtype=np.float64)
        sde.breaks = tuple(breaks)
        sde._drift_field, sde._diffusion_field = drift_field, diffusion_field
        return sde

    def __repr__(self):
        return f"<{self.name}: dim {self.dim}, noise dim {self.noise_dim}>"

    def drift(self, t: float, x: ArrayLike) -> np.ndarray:
        """μ(t, x) at points x (..., dim), shape (..., dim)."""
        x = _check.points("x", x, self.dim)
        lanes = np.ascontiguousarray(x.reshape(-1, self.dim).T)
        out = np.zeros_like(lanes)
        self._drift_field(float(t), lanes, self.params, out)
        return out.T.reshape(x.shape)

    def diffusion(self, t: float, x: ArrayLike) -> np.ndarray:
        """σ(t, x) at points x (..., dim), shape (..., dim, noise_dim)."""
        x = _check.points("x", x, self.dim)
        lanes = np.ascontiguousarray(x.reshape(-1, self.dim).T)
        result = np.empty((lanes.shape[1], self.dim, self.noise_dim))
        for c in range(self.noise_dim):
            dw = np.zeros((self.noise_dim, lanes.shape[1]))
            dw[c] = 1.0
            out = np.zeros_like(lanes)
            self._diffusion_field(float(t), lanes, dw, self.params, out)
            result[:, :, c] = out.T
        return result.reshape(*x.shape, self.noise_dim)

    def covariance(self, t: float, x: ArrayLike) -> np.ndarray:
        """D(t, x) = σσᵀ at points x (..., dim), shape (..., dim, dim)."""
        sigma = self.diffusion(t, x)
        return sigma @ np.swapaxes(sigma, -1, -2)

    def _compile(self, name, function, shapes, noise_dim):
        """The block field of a user's function, and the shape that the function returns or fills."""
        from dynsim._kernels import user_fields

        arguments = _arguments(name, function)
        with_params = "params" in arguments
        try:
            if arguments[-1] == "out":
                shape = shapes[-1]
                self._call(name, function, with_params, np.zeros(shape))
                field = user_fields.filling_field(function, with_params=with_params, shape=shape)
            else:
                shape = self._returned_shape(name, function, shapes, noise_dim, with_params)
                make = user_fields.drift_field if name == "drift" else user_fields.diffusion_field
                field = make(function, shape, with_params=with_params, n_params=self.params.size)
        except user_fields.DoesNotCompile as reason:
            raise ArgumentError(f"{name} cannot be compiled: {reason}") from None
        return field, shape

    def _call(self, name, function, with_params, *out):
        """What a user's function returns at a point where it is defined; it must leave x alone."""
        plain = getattr(function, "py_func", function)
        for probe in _PROBES:
            x = np.full(self.dim, probe)
            try:
                with np.errstate(all="ignore"):
                    value = plain(0.0, x, *([tuple(self.params.tolist())] if with_params else []), *out)
            except (ValueError, ZeroDivisionError, OverflowError) as error:  # outside its domain
                reason = error
                continue
            except Exception as error:
                raise ArgumentError(f"{name} fails at t = 0, x = {probe}: {type(error).__name__}: {error}") from None
            if (x != probe).any():
                raise ArgumentError(f"{name} must not assign to x, it changed x = {probe} to {x.tolist()}")
            return value
        raise ArgumentError(f"{name} fails at t = 0, x = {_PROBES}: {type(reason).__name__}: {reason}")

    def _returned_shape(self, name, function, shapes, noise_dim, with_params):
        value = self._call(name, function, with_params)
        try:
            value = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise ArgumentError(f"{name} must return numbers, it returned {value!r}") from None
        rows_free = len(shapes) == 2 and noise_dim is None and value.ndim == 2 and value.shape[0] == self.dim
        if value.shape in shapes or (self.dim == 1 and value.shape == ()) or (rows_free and value.shape[1] > 0):
            return value.shape
        allowed = " or ".join(str(shape) for shape in (((),) if self.dim == 1 else ()) + shapes)
        raise ArgumentError(f"{name} must return a value of shape {allowed} for dim = {self.dim}, got {value.shape}")


def _arguments(name, function):
    """Names of the arguments that a user's function takes, by position: t, x[, params][, out]."""
    if not callable(function):
        raise ArgumentError(f"{name} must be a function of (t, x), got {type(function).__name__}")
    try:
        parameters = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a plain Python function, got {type(function).__name__}") from None
    names = [p.name for p in parameters if p.default is p.empty]
    extra = names[2:]
    filling = ["out"] if extra and extra[-1] == "out" else []
    middle = extra[: len(extra) - len(filling)]
    if len(names) < 2 or len(middle) > 1:
        raise ArgumentError(
            f"{name} must take (t, x) or (t, x, params), and a last argument named out if it fills an array, "
            f"got ({', '.join(names)})"
        )
    return ["t", "x", *(["params"] if middle else []), *filling]
