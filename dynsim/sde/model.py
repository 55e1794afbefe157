"""The Itô stochastic differential equation dX = μ(t, X) dt + σ(t, X) dW."""

import inspect
from collections.abc import Callable
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sde.scheme import ADDITIVE, DIAGONAL, NOISES, SCALAR


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
    stratonovich : bool, optional
        The given drift is that of the Stratonovich equation dX = μ dt + σ ∘ dW. It is converted: :meth:`drift`, and
        all schemes and densities, take the Itô drift μ + ½ Σ_j (∇σ_j) σ_j, by central differences.
    noise : str, optional
        The kind of noise, for schemes that depend on it: "additive" (σ does not depend on x), "scalar" (one noise),
        "diagonal" (σ_jj depends on x_j alone), "commutative" or "general". By default σ is examined at random points.

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
        stratonovich: bool = False,
        noise: str | None = None,
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
        self._check_noise(noise_dim, shape, noise)
        self._check_params(drift, diffusion)
        self._formulas = fingerprint(drift, diffusion, bool(stratonovich), noise)
        if noise is not None:
            self.noise_type = self._declared_noise = noise
        if stratonovich:
            self._stratonovich_field = self._drift_field
            if noise != ADDITIVE:
                self._drift_field = self._corrected_drift(1.0)

    @classmethod
    def _from_fields(cls, drift_field, diffusion_field, *, dim, noise_dim, params, breaks, name):
        """An SDE whose block fields exist already."""
        sde = cls.__new__(cls)
        sde.dim, sde.noise_dim, sde.name = dim, noise_dim, name
        sde.params = np.ascontiguousarray(params, dtype=np.float64)
        sde.breaks = tuple(breaks)
        sde._drift_field, sde._diffusion_field = drift_field, diffusion_field
        sde._formulas = name
        return sde

    @classmethod
    def from_sdeint(cls, f: Callable, G: Callable, *, dim: int, noise_dim: int | None = None, **options) -> "SDE":
        """The SDE of functions written for sdeint: f(x, t) -> (dim,) and G(x, t) -> (dim, noise_dim).

        Parameters
        ----------
        f, G : callable
            Plain Python with NumPy, compiled by dynsim; x is an array (dim,).
        dim : int
        noise_dim : int, optional
            Taken from what G returns.
        **options
            As in :class:`SDE`, such as ``breaks``, ``stratonovich`` or ``noise``.

        Examples
        --------
        >>> import dynsim as ds, numpy as np
        >>> A, B = np.array([[-0.5, -2.0], [2.0, -1.0]]), np.diag([0.5, 0.5])
        >>> sde = ds.SDE.from_sdeint(lambda x, t: A.dot(x), lambda x, t: B, dim=2)
        >>> sde.drift(0.0, [1.0, 0.0]).tolist()
        [-0.5, 2.0]
        """
        from dynsim._kernels.user_sdeint import swapped

        for name, function in (("f", f), ("G", G)):
            if not inspect.isfunction(getattr(function, "py_func", function)):
                raise ArgumentError(f"{name} must be a plain function of (x, t), got {type(function).__name__}")
        return cls(swapped(f), swapped(G), dim=dim, noise_dim=noise_dim, **options)

    def to_sdeint(self) -> tuple[Callable, Callable]:
        """Functions (f, G) for sdeint: f(x, t) -> (dim,), the Itô drift, and G(x, t) -> (dim, noise_dim)."""

        def f(x, t):
            return self.drift(t, np.atleast_1d(x))

        def G(x, t):
            return self.diffusion(t, np.atleast_1d(x))

        return f, G

    @cached_property
    def noise_type(self) -> str:
        """Kind of noise: additive, scalar, diagonal, commutative or general, the first of them that fits."""
        from dynsim.sde.noise import noise_type

        return noise_type(self)

    def _noise_around(self, start, t_end):
        from dynsim.sde.noise import noise_type

        return vars(self).get("_declared_noise") or noise_type(self, start, t_end)

    @cached_property
    def _stratonovich_field(self):
        declared = vars(self).get("_declared_noise")  # found additive is not enough: it is found at some points only
        return self._drift_field if declared == ADDITIVE else self._corrected_drift(-1.0)

    def _check_noise(self, noise_dim, shape, noise):
        if noise_dim is not None and noise_dim != self.noise_dim:
            what = (
                "a number" if shape == () else f"a tuple of {shape[0]}, which is a diagonal" if len(shape) == 1 else ""
            )
            raise ArgumentError(f"noise_dim is {noise_dim}, but diffusion returns {what or f'shape {shape}'}")
        if noise is not None:
            _check.choice("noise", noise, NOISES)
        if (noise == SCALAR and self.noise_dim != 1) or (noise == DIAGONAL and self.noise_dim != self.dim):
            raise ArgumentError(f"noise cannot be {noise!r} for a σ of shape ({self.dim}, {self.noise_dim})")

    def _check_params(self, *functions):
        if self.params.size and not any("params" in _arguments("function", f) for f in functions):
            raise ArgumentError(
                f"params has {self.params.size} numbers, but neither function has an argument for them: (t, x, params)"
            )

    def _corrected_drift(self, sign):
        from dynsim._kernels.conversion import corrected_drift
        from dynsim.sde.noise import jumps

        if places := jumps(self):
            raise NotApplicable(
                f"{self.name} has no Stratonovich form: its noise jumps at {', '.join(f'{b:g}' for b in places)}"
            )

        return corrected_drift(self._drift_field, self._diffusion_field, self.noise_dim, sign)

    def fingerprint(self) -> str:
        """A digest of the functions and their parameters."""
        return fingerprint(self.dim, self.noise_dim, self.params, self._formulas)

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
        plain = getattr(function, "__wrapped__", getattr(function, "py_func", function))
        for probe in _check.PROBES:
            x = np.full(self.dim, probe)
            try:
                with np.errstate(all="ignore"):
                    value = plain(0.0, x, *([tuple(self.params.tolist())] if with_params else []), *out)
            except (ValueError, ZeroDivisionError, OverflowError) as error:  # outside its domain
                reason = error
                continue
            except Exception as error:
                raise ArgumentError(f"{name} fails at t = 0, x = {probe}: {type(error).__name__}: {error}") from None
            if out and value is not None:
                raise ArgumentError(f"{name} has an argument out, which it must fill, but it returned {value!r}")
            if (x != probe).any():
                raise ArgumentError(f"{name} must not assign to x, it changed x = {probe} to {x.tolist()}")
            return value
        raise ArgumentError(f"{name} fails at t = 0, x = {_check.PROBES}: {type(reason).__name__}: {reason}")

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
    names = [p.name for p in parameters if p.default is p.empty or p.name == "params"]
    if "random" in getattr(getattr(function, "__code__", None), "co_names", ()):
        raise ArgumentError(f"{name} must not draw random numbers: the noise is σ dW, and only that can be repeated")
    extra = names[2:]
    filling = ["out"] if extra and extra[-1] == "out" else []
    middle = extra[: len(extra) - len(filling)]
    if len(names) < 2 or len(middle) > 1:
        raise ArgumentError(
            f"{name} must take (t, x) or (t, x, params), and a last argument named out if it fills an array, "
            f"got ({', '.join(names)})"
        )
    return ["t", "x", *(["params"] if middle else []), *filling]
