"""Loss, gradient norm, noise and sharpness along a run: Z (6.2), as in Z Figs 6-1 … 6-4."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape.curvature import sharpness
from dynsim.landscape.saved import SavedStates
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results.common import xarray_module

if TYPE_CHECKING:
    from dynsim.results import Trajectories

NAMES = ("loss", "gradient_norm", "noise_norm", "sharpness")
_NUMBERS = 2**22  # float64 values that are held at a time


@dataclass(frozen=True, eq=False)
class RunStatistics:
    """The quantities of Z (6.2) along a run, from :func:`dynsim.landscape.run_statistics`.

    All but ``t`` and ``step_sizes`` have shape (n_paths, n_points); NaN where a path has diverged.

    Attributes
    ----------
    t : ndarray, shape (n_points,)
        Step numbers of a chain, times of an SDE.
    loss : ndarray
        L(θ).
    gradient_norm : ndarray
        ‖∇L(θ)‖.
    noise_norm : ndarray
        σ(θ) = √(Σ_n a_n ‖∇l_n(θ) − ∇L(θ)‖²); with a method √tr Σ(θ), of its own estimated gradient.
    sharpness : ndarray
        ‖∇²L(θ)‖_op.
    sharpness_error : ndarray
        Bound of its numerical error, see :func:`dynsim.landscape.sharpness`.
    step_sizes : ndarray, shape (n_points,)
        η of the method at these steps; NaN without a method.
    settings : dict
        What was asked for.
    """

    t: np.ndarray
    loss: np.ndarray = field(repr=False)
    gradient_norm: np.ndarray = field(repr=False)
    noise_norm: np.ndarray = field(repr=False)
    sharpness: np.ndarray = field(repr=False)
    sharpness_error: np.ndarray = field(repr=False)
    step_sizes: np.ndarray = field(repr=False)
    settings: dict = field(repr=False)

    @property
    def edge(self) -> np.ndarray:
        """η‖∇²L(θ)‖: above 2 a full step overshoots along the steepest direction, the edge of stability."""
        return self.step_sizes * self.sharpness

    def band(self, name: str, probability: float = 0.8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median over the paths, and the band that holds this share of them.

        Parameters
        ----------
        name : {"loss", "gradient_norm", "noise_norm", "sharpness", "edge"}
        probability : float, optional
            Between 0 and 1.

        Returns
        -------
        median, low, high : ndarray, each of shape (n_points,)
            NaN where all paths have diverged.
        """
        values = getattr(self, _check.choice("name", name, (*NAMES, "edge")))
        outside = 0.5 * (1 - _check.between("probability", probability, 0, 1))
        result = np.full((3, values.shape[1]), np.nan)
        some = ~np.isnan(values).all(axis=0)
        with np.errstate(invalid="ignore"):
            found = np.nanquantile(values[:, some], [0.5, outside, 1 - outside], axis=0)
        result[:, some] = np.where(np.isnan(found), np.inf, found)  # between a number and an overflow
        median, low, high = result
        return median, low, high

    def from_sample(self, m: int) -> dict:
        """What a random sample of m of the N terms shows instead, Z §6.6.2: root mean squares over all samples.

        E‖ĝ‖² = ‖∇L‖² + (σ²/m)(N − m)/(N − 1) for the gradient of the sample, which is too large, as Z says; but
        E σ̂² = σ² (m − 1)N/(m(N − 1)) for its noise, which is too small. Both are exact for m = N.

        Parameters
        ----------
        m : int
            From 1 to the number of terms; drawn without replacement.

        Returns
        -------
        dict
            ``"gradient_norm"`` and ``"noise_norm"``, of the shape of these attributes.

        Raises
        ------
        NotApplicable
            If the terms have different weights, or the noise is that of a method.
        """
        m, n = _check.count("m", m), self.settings["n_terms"]
        if m > n:
            raise ArgumentError(f"m must be at most the number of terms, {n}, got {m}")
        if not self.settings["equal_weights"] or self.settings["method"] is not None:
            raise NotApplicable(
                "from_sample is about the noise of the terms themselves, all of the same weight: call run_statistics "
                "without a method"
            )
        left = (n - m) / (m * (n - 1)) if n > 1 else 0.0
        kept = (m - 1) * n / (m * (n - 1)) if n > 1 else 0.0
        return {
            "gradient_norm": np.sqrt(self.gradient_norm**2 + left * self.noise_norm**2),
            "noise_norm": np.sqrt(kept) * self.noise_norm,
        }

    def plot(self, axes=None, *, probability=0.8, **style):
        """Draw the four quantities against t, medians over the paths with bands; return the array of four Axes."""
        from dynsim.plot import plot_run_statistics

        return plot_run_statistics(self, axes, probability=probability, **style)

    def to_xarray(self):
        """The quantities as an ``xarray.Dataset`` over path and t (needs the extra ``xarray``)."""
        values = {name: (("path", "t"), getattr(self, name)) for name in (*NAMES, "sharpness_error")}
        values["step_sizes"] = (("t",), self.step_sizes)
        attrs = {name: str(value) for name, value in self.settings.items()}
        return xarray_module().Dataset(values, coords={"t": self.t}, attrs=attrs)

    def __repr__(self):
        n_paths, n_points = self.loss.shape
        return f"RunStatistics({self.settings['problem']}, {n_paths} paths, {n_points} points, t to {self.t[-1]:g})"


def run_statistics(
    problem: Problem,
    run: "Trajectories | ArrayLike",
    *,
    method: Method | None = None,
    every: int = 1,
    tol: float = 1e-6,
) -> RunStatistics:
    """Loss, gradient norm, noise norm and sharpness along a run: Z (6.2), Z Figs 6-1 … 6-4.

    Over the whole data, not estimated on a sample as in Z; :meth:`RunStatistics.from_sample` says what a sample would
    have shown.

    Parameters
    ----------
    problem : Problem
    run : Trajectories or array_like, shape (n_points, dim) or (n_paths, n_points, dim)
        From :func:`dynsim.iterate` or :func:`dynsim.integrate`, or any points, then t = 0, 1, ….
    method : Method, optional
        For its step size η_t and for the noise of its own estimated gradient (without what ``noise`` adds). By default
        the noise is that of single terms, Z (6.2).
    every : int, optional
        Look at every so many saved states: sharpness costs far more than a step.
    tol : float, optional
        Of the sharpness, see :func:`dynsim.landscape.sharpness`.

    Returns
    -------
    RunStatistics

    Raises
    ------
    ArgumentError
        If an argument is out of its range or no state is finite.
    NotApplicable
        If the covariance of the method's estimated gradient is not known in closed form, or the run is one of an SDE
        and the method has a schedule, which goes by step numbers.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem, descent = ds.problems.egg_carton(), ds.SGD(0.01, batch_size="full")
    >>> run = ds.iterate(problem, descent, x0=[1.0, -0.5], n_steps=20)
    >>> stats = ds.landscape.run_statistics(problem, run, method=descent)
    >>> stats.sharpness[0, [0, -1]].round(3).tolist(), stats.edge[0, -1].round(3)
    ([87.758, 100.0], np.float64(1.0))
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    if method is not None:
        _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04), or None")
        method.check(problem)
    states = SavedStates.of(run, problem.dim, every)
    points = states.x[states.alive]
    found = {name: np.full(states.alive.shape, np.nan) for name in (*NAMES, "sharpness_error")}
    with np.errstate(over="ignore", invalid="ignore"):
        found["loss"][states.alive] = problem.loss(points)
        found["gradient_norm"][states.alive] = np.linalg.norm(problem.gradient(points), axis=-1)
        found["noise_norm"][states.alive] = np.sqrt(noise_traces(problem, points, method))
    step_sizes = _step_sizes(method, states.t, run)
    found["sharpness"][states.alive], found["sharpness_error"][states.alive] = sharpness(problem, points, tol=tol)
    settings = {
        "problem": problem.name,
        "method": None if method is None else repr(method),
        "every": every,
        "tol": tol,
        "n_terms": problem.n_terms,
        "equal_weights": bool(np.ptp(problem.weights) <= 1e-12 / problem.n_terms),
    }
    return RunStatistics(states.t, **found, step_sizes=step_sizes, settings=settings)


def noise_traces(problem, points, method=None):
    """tr Σ at points (P, dim), (P,): of the method's estimated gradient, or of one term's about ∇L by the weights."""
    result = np.empty(len(points))
    each = problem.n_terms * problem.dim if method is None else (problem.n_terms + problem.dim) * problem.dim
    size = max(1, _NUMBERS // each)
    for first in range(0, len(points), size):
        theta = points[first : first + size]
        if method is None:
            off = problem.term_gradients(theta) - problem.gradient(theta)[..., None, :]
            values = (off**2).sum(axis=-1) @ problem.weights
        else:
            values = np.trace(method.gradient_covariance(problem, theta), axis1=-2, axis2=-1)
        result[first : first + size] = np.maximum(values, 0.0)  # rounding where all terms agree
    return result


def _step_sizes(method, t, run):
    """η at the steps t (n,), NaN without a method."""
    if method is None:
        return np.full(t.size, np.nan)
    if isinstance(method.schedules()[0], float):
        return np.full(t.size, method.schedules()[0])
    if "dt" in getattr(run, "settings", {}):
        raise NotApplicable(
            f"the times of an SDE are not the step numbers that a schedule goes by, got {method!r}: give a method with "
            "a constant step size"
        )
    return np.array([method.rates(k, k + 1)[0, 0] for k in map(int, t.tolist())])
