"""A user's own method."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.methods.base import Method, Update, zeros

_GIVEN = ("theta", "g", "step_size", "k")


@dataclass(frozen=True, repr=False)
class Custom(Method):
    """A method by your own update rule, written for one path; dynsim compiles it.

    Parameters
    ----------
    step_size, sampling, batch_size, noise
        As for :class:`dynsim.SGD`.
    update : callable
        ``update(theta, g, step_size, k, …)`` changes the array ``theta`` (dim,) in place, given the estimated gradient
        ``g`` (dim,), η_k and the step number k from 0. Each further argument names an array that the path remembers
        from step to step, zeros at the start; one named ``params`` gets the parameters. Plain Python with ``math`` or
        NumPy scalars.
    state : mapping, optional
        Length of each remembered array by its name, where it is not ``dim``.
    params : sequence of float, optional
        Passed on as ``params``.

    Examples
    --------
    >>> import dynsim as ds
    >>> def lion(theta, g, step_size, k, m):
    ...     for j in range(len(theta)):
    ...         theta[j] -= step_size * np.sign(0.9 * m[j] + 0.1 * g[j])
    ...         m[j] = 0.99 * m[j] + 0.01 * g[j]
    >>> method = ds.methods.Custom(0.01, update=lion)
    >>> ds.iterate(ds.problems.two_valleys(), method, 0.5, n_steps=3, rng=0).x[0, :, 0].round(3).tolist()
    [0.5, 0.49, 0.48, 0.47]
    """

    update: Callable = field(kw_only=True)
    state: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    params: tuple[float, ...] = field(default=(), kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not callable(self.update):
            raise ArgumentError(f"update must be a function, got {type(self.update).__name__}")
        _check.instance("state", self.state, Mapping, "a mapping from names to lengths")
        object.__setattr__(self, "params", tuple(_check.array("params", self.params, ndim=1).tolist()))
        self._remembered()

    def __hash__(self):
        return hash((self.step_size, self.sampling, self.batch_size, self.noise, self.update, *self.state.items()))

    @cached_property
    def _compiled(self) -> dict:  # not a field: it is no part of what a checkpoint knows the method by
        return {}

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.update, "__name__", "Custom")

    def __repr__(self):
        return super().__repr__().replace(repr(self.update), self.name)

    def _remembered(self):
        """Names of the arrays that a path remembers, and whether the function takes params."""
        parameters = inspect.signature(getattr(self.update, "py_func", self.update)).parameters.values()
        names = [p.name for p in parameters]
        if len(names) < len(_GIVEN) or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            raise ArgumentError(f"update must take (theta, g, step_size, k, …) by name, got ({', '.join(names)})")
        if "params" in names[: len(_GIVEN)] or "params" in names[:-1]:
            raise ArgumentError("update must take params as its last argument")
        extra = names[len(_GIVEN) :]
        with_params = extra[-1:] == ["params"]
        arrays = extra[: len(extra) - with_params]
        if unknown := set(self.state) - set(arrays):
            raise ArgumentError(f"state has {sorted(unknown)}, which update does not take; it takes {arrays}")
        for name, size in self.state.items():
            _check.count(f"state[{name!r}]", size)
        return arrays, with_params

    def _sizes(self, dim):
        return [self.state.get(name, dim) for name in self._remembered()[0]]

    def check(self, problem) -> None:
        """Call the function once as it stands, so that a mistake in it shows as such."""
        super().check(problem)
        arguments: list = [np.full(problem.dim, 0.5), np.full(problem.dim, 0.25), 0.1, 0]
        arguments += [np.zeros(size) for size in self._sizes(problem.dim)]
        if self._remembered()[1]:
            arguments.append(np.array(self.params))
        before = copy.deepcopy(arguments)
        try:
            with np.errstate(all="ignore"):
                value = self.update(*arguments)
        except Exception as error:
            raise ArgumentError(f"update fails in its first step: {type(error).__name__}: {error}") from None
        if value is not None:
            raise ArgumentError(f"update must change theta in place and return nothing, it returned {value!r}")
        if all(np.array_equal(a, b) for a, b in zip(arguments, before, strict=True)):
            raise ArgumentError(
                "update must change theta in place: for g = 0.25 in all coordinates its first step changes nothing "
                "(write theta[j] = … or theta[:] = …, not theta = …)"
            )

    def rule(self, problem) -> Update:
        """The function, compiled for blocks of paths."""
        from dynsim._kernels.user_fields import DoesNotCompile
        from dynsim._kernels.user_methods import update_field

        sizes = self._sizes(problem.dim)
        key = (problem.dim, *sizes)
        if key not in self._compiled:
            try:
                self._compiled[key] = update_field(self.update, problem.dim, sizes, self._remembered()[1])
            except DoesNotCompile as error:
                raise ArgumentError(f"update cannot be compiled: {error}") from None
        return Update(self._compiled[key], np.array(self.params), zeros(sum(sizes)))
