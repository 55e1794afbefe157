"""Z Theorem 6.5.1: what one step of a reduced size does to the mean loss where full steps leave it as it is."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.averages import Estimate
from dynsim.errors import ArgumentError
from dynsim.methods import SGD
from dynsim.problems import Problem
from dynsim.results.common import xarray_module
from dynsim.theory.exact_draws import Draws

if TYPE_CHECKING:
    from dynsim.results import Trajectories

_FACTORS = (0.01, 0.02, 0.05, *np.arange(1, 11) / 10)


@dataclass(frozen=True, eq=False)
class ReducedStep:
    """Change of the mean loss under one step of reduced size, from :func:`dynsim.theory.theorem_6_5_1`.

    Attributes
    ----------
    factors : ndarray, shape (m,)
        c, ascending.
    change : Estimate, shape (m,)
        E_μ[L(θ − cηg) − L(θ)].
    slope : Estimate
        Its derivative by c at 0, −η E‖∇L‖².
    step_size : float
        η.
    settings : dict
        What was asked for.
    """

    factors: np.ndarray
    change: Estimate
    slope: Estimate
    step_size: float
    settings: dict = field(repr=False)

    def largest(self, confidence: float = 0.95) -> float:
        """The largest of the factors up to which the change is below 0 with this confidence; NaN if none is.

        Each factor has its own interval, one-sided in effect: what is above 0 is found to be below with a probability
        of (1 − confidence)/2.
        """
        below = self.change.interval(confidence)[1] < 0
        first = below.size if below.all() else int(np.argmin(below))
        return float(self.factors[first - 1]) if first else float("nan")

    @property
    def best(self) -> float:
        """The factor with the least mean loss after one step."""
        return float(self.factors[np.argmin(self.change.value)])

    def plot(self, ax=None, **style):
        """Draw the change with its 95 % intervals and its tangent at 0 against c; return the Axes."""
        from dynsim.plot import plot_reduced_step

        return plot_reduced_step(self, ax, **style)

    def to_xarray(self):
        """The change as an ``xarray.Dataset`` over the factor (needs the extra ``xarray``)."""
        values = {"change": (("factor",), self.change.value), "stderr": (("factor",), self.change.stderr)}
        attrs = {"step_size": self.step_size, "method": self.settings["method"]}
        return xarray_module().Dataset(values, coords={"factor": self.factors}, attrs=attrs)

    def __repr__(self):
        k = int(np.argmin(self.change.value))
        return (
            f"ReducedStep(η = {self.step_size:g}, below 0 up to c = {self.largest():g}, least at c = {self.best:g}: "
            f"{self.change.value[k]:.4g} ± {self.change.stderr[k]:.2g})"
        )


def theorem_6_5_1(
    problem: Problem,
    method: SGD,
    run: "Trajectories | ArrayLike",
    *,
    factors: ArrayLike = _FACTORS,
    burn_in: float | str = "auto",
) -> ReducedStep:
    """Z Theorem 6.5.1: where steps η keep the mean loss, one step of cη lowers it for small c. The change, with error.

    E_μ[L(F'(θ))] − E_μ[L(θ)] for F'(θ) = θ − cηg(θ) and μ the law of the states of a run with step size η; E over g is
    exact, a sum over all batches. It is 0 at c = 1, and −cη E‖∇L‖² + O(c²) near 0, so it is below 0 for small c unless
    ∇L = 0 on all of μ. How small c must be the theorem does not say: on a quadratic any c < 1 will do, the change being
    c(c − 1)η E‖∇L‖². It is about the first step: what the loss becomes under many of them is the business of the
    stationary law of cη.

    Notes
    -----
    The printed proof (§6.7.7) needs repair. E[L(θ) − L(F(θ))] has the sign of the opposite difference throughout, and
    the last line bounds it from above where it must be E[L(F'(θ)) − L(θ)]; the second Taylor expansion lacks the
    factor t and the term ⟨∇L, ∇L(θ−tηg) − ∇L⟩, see :func:`dynsim.theory.equation_6_10`; (6.14) bounds the deviation of
    ∇²L from its mean on the segment, so that the mean itself is missing in the last line; √(M²/c) has become √(M/c).
    With G = sup‖g‖ and K the largest norm of such a mean, E[L(F') − L] ≤ −cηE‖∇L‖² + c²η²G²(K + M/√c), and the claim
    follows. For L twice continuously differentiable the change is at most −cηE‖∇L‖² + ½c²η² sup‖∇²L‖ E‖g‖².

    Parameters
    ----------
    problem : Problem
    method : SGD
        That of the run, with a constant step size η and a known law of its batches: terms drawn independently with
        probabilities p_n(θ), batches without replacement, or ``batch_size="full"``.
    run : Trajectories or array_like, shape (n_saved, dim) or (n_paths, n_saved, dim)
        A run of it that has settled. Paths that diverge are left out.
    factors : array_like, shape (m,), optional
        c > 0, ascending; up to 1 by default.
    burn_in : float or "auto", optional
        Time to leave out at the beginning, as for :func:`dynsim.time_average`.

    Returns
    -------
    ReducedStep

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or the run is one of another method or of an SDE.
    NotApplicable
        If the method is none of these, or the loss is not finite after a step.
    TooShort
        If the run is too short for honest errors.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])
    >>> run = ds.iterate(problem, ds.SGD(0.2), x0=0.0, n_steps=2000, n_paths=16, rng=0)
    >>> found = ds.theory.theorem_6_5_1(problem, ds.SGD(0.2), run, factors=[0.25, 0.5, 0.75])
    >>> found.best, found.largest()
    (0.5, 0.75)
    """
    draws = Draws.of("theorem_6_5_1", problem, method)
    c = _check.array("factors", np.atleast_1d(factors), ndim=1)
    if c.size == 0 or not ((c > 0).all() and (np.diff(c) > 0).all()):
        raise ArgumentError(f"factors must be positive and increasing, at least one, got {c.tolist()}")

    def columns(theta, p, d):
        changes = [draws.loss_change(theta, p, factor * d) for factor in c]
        slope = -draws.eta * (problem.gradient(theta) ** 2).sum(axis=-1)
        return np.stack([*changes, slope], axis=1)

    names = (*(f"c = {factor:g}" for factor in c), "slope")
    per_step = problem.n_terms * problem.dim
    averages = draws.averaged(run, columns, names, per_step=per_step, burn_in=burn_in)
    settings = {"problem": problem.name, "method": repr(method), "burn_in": burn_in}
    return ReducedStep(c, averages.transform(lambda values: values[:-1]), averages["slope"], draws.eta, settings)
