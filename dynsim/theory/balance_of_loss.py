"""Z (6.10): what the gradient norm must be where the loss neither rises nor falls on average."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.averages import Estimate
from dynsim.errors import NotApplicable
from dynsim.landscape.curvature import hessian_products, sharpness
from dynsim.methods import SGD
from dynsim.problems import LinearModel, Problem
from dynsim.theory.exact_draws import Draws

if TYPE_CHECKING:
    from dynsim.results import Trajectories

_NAMES = ("squared_gradient", "curvature", "loss_change", "noise", "second_moment", "sharpness")
_BY = ("auto", "hessian", "loss")
_RESOLVED = 1e-3  # relative error of the quadrature, above which curvature is taken from the losses


@dataclass(frozen=True, eq=False)
class LossBalance:
    """Both sides of the balance of the loss, exact and as printed in Z (6.10); from
    :func:`dynsim.theory.equation_6_10`.

    Attributes
    ----------
    step_size : float
        η.
    averages : Estimate, shape (6,)
        Time averages with joint errors: ``"squared_gradient"`` E‖∇L‖², ``"curvature"`` η E∫₀¹(1−r)⟨g, ∇²L(θ−rηg) g⟩dr,
        ``"loss_change"`` E[L(θ−ηg) − L(θ)], ``"noise"`` E tr Σ, ``"second_moment"`` E‖g‖², ``"sharpness"``
        E‖∇²L(θ)‖_op.
    residual : float
        Largest deviation over the states from the identity loss_change = η(curvature − squared_gradient), relative to
        the largest of its terms: the error of quadrature and Hessians. Rounding where curvature is taken from the
        losses.
    settings : dict
        What was asked for; ``"by"`` says where the curvature comes from.
    """

    step_size: float
    averages: Estimate
    residual: float
    settings: dict = field(repr=False)

    @property
    def squared_gradient(self) -> Estimate:
        """E‖∇L‖², the left side of both."""
        return self.averages["squared_gradient"]

    @property
    def curvature(self) -> Estimate:
        """η E∫₀¹(1−r)⟨g, ∇²L(θ−rηg) g⟩dr, the right side of the exact balance."""
        return self.averages["curvature"]

    @property
    def loss_change(self) -> Estimate:
        """E[L(θ−ηg) − L(θ)]: the two sides are equal where it is 0, and else differ by it over η."""
        return self.averages["loss_change"]

    @property
    def printed(self) -> Estimate:
        """ηΣℒG, the right side of Z (6.10): Σ = √E tr Σ, ℒ = E‖∇²L‖_op, G = √E‖g‖²; 0 without noise."""
        return self.averages.transform(self._printed if self.averages.value[3] > 0 else lambda values: 0 * values[0])

    @property
    def printed_ratio(self) -> float:
        """E‖∇L‖²/(ηΣℒG), which Z (6.10) says is 1; inf where ηΣℒG = 0 and the gradient is not."""
        left, right = float(self.averages.value[0]), float(self._printed(self.averages.value))
        return left / right if right > 0 else float("inf") if left > 0 else float("nan")

    @property
    def mean_curvature(self) -> Estimate:
        """Curvature along the steps, 2E∫₀¹(1−r)⟨g, ∇²L(θ−rηg) g⟩dr / E‖g‖².

        The balance says that it is 2E‖∇L‖²/(ηE‖g‖²): for full batches exactly 2/η, the edge of stability, and less with
        noise.
        """
        if not self.averages.value[4] > 0:
            raise NotApplicable("no step is made where g is 0 throughout, so there is no curvature along steps")
        return self.averages.transform(lambda values: 2 * values[1] / (self.step_size * values[4]))

    def _printed(self, values):
        noise, second_moment, sharp = values[3:]
        return self.step_size * np.sqrt(max(noise, 0.0)) * sharp * np.sqrt(max(second_moment, 0.0))

    def plot(self, ax=None, **style):
        """Draw E‖∇L‖² beside both right sides, with 95 % intervals; return the Axes."""
        from dynsim.plot import plot_loss_balance

        return plot_loss_balance(self, ax, **style)

    def __repr__(self):
        (left, right, change), error = self.averages.value[:3], self.averages.stderr[:3]
        off = f"; quadrature off by {self.residual:.1g}" if self.residual > _RESOLVED else ""
        return (
            f"LossBalance(E‖∇L‖² = {left:.4g} ± {error[0]:.2g}, exact right side {right:.4g} ± {error[1]:.2g}, "
            f"as printed {self._printed(self.averages.value):.4g}; loss change {change:.2g} ± {error[2]:.2g}{off})"
        )


def equation_6_10(
    problem: Problem,
    method: SGD,
    run: "Trajectories | ArrayLike",
    *,
    by: str = "auto",
    n_nodes: int = 16,
    burn_in: float | str = "auto",
) -> LossBalance:
    """The balance of Z (6.10) in its exact form and as printed, both sides from the states of a run.

    E over a state of the run and the next draw g of the estimated gradient. Taylor's formula with g unbiased is

    ``E[L(θ−ηg) − L(θ)] = −η E‖∇L(θ)‖² + η² E∫₀¹(1−r)⟨g, ∇²L(θ−rηg) g⟩dr``,

    so where the mean loss stays the same, E‖∇L‖² = η E∫₀¹(1−r)⟨g, ∇²L(θ−rηg) g⟩dr. E over g is exact, a sum over all
    batches.

    Z prints Grad² = ηΣℒG. That is a product of averages in place of an average, and a bound at best; and without
    noise it says that the gradient vanishes, which is false: in Z Fig 6-5, at η = 0.04, Σ = 0 and Grad is not.
    The integral that Z takes it from (§6.5.2 and §6.7.7) has ⟨∇L − g, …⟩ for ⟨g, …⟩ and lacks the factor t of its
    second Taylor expansion: it drops ⟨∇L, ∇L(θ−tηg) − ∇L⟩, the whole curvature where there is no noise.

    Parameters
    ----------
    problem : Problem
    method : SGD
        With a constant step size and a known law of its batches: terms drawn independently with probabilities p_n(θ),
        batches without replacement, or ``batch_size="full"``.
    run : Trajectories or array_like, shape (n_saved, dim) or (n_paths, n_saved, dim)
        A run of this method that has settled. Paths that diverge are left out.
    by : {"auto", "hessian", "loss"}, optional
        The curvature by Gauss–Legendre quadrature of ⟨g, ∇²L g⟩, which does not look at L, or from the change of L by
        the formula above. Where the gradient jumps the curvature sits in the kinks, and only "loss" counts it; "auto"
        takes it there, and where the quadrature is off by more than 1e-3.
    n_nodes : int, optional
        Of the quadrature.
    burn_in : float or "auto", optional
        Time to leave out at the beginning, as for :func:`dynsim.time_average`.

    Returns
    -------
    LossBalance

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or the run is one of another method or of an SDE.
    NotApplicable
        If the method is none of these, or "hessian" is asked for at kinks.
    TooShort
        If the run is too short for honest errors.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])  # noise ±1, curvature 1
    >>> run = ds.iterate(problem, ds.SGD(0.2), x0=0.0, n_steps=2000, n_paths=16, rng=0)
    >>> balance = ds.theory.equation_6_10(problem, ds.SGD(0.2), run)
    >>> balance.squared_gradient.value.round(2), balance.curvature.value.round(2)  # η/(2 − η) = 0.111
    (np.float64(0.11), np.float64(0.11))
    >>> round(balance.printed_ratio, 1)
    0.5
    """
    draws = Draws.of("equation_6_10", problem, method)
    _check.choice("by", by, _BY)
    n_nodes = _check.count("n_nodes", n_nodes)
    kinked = problem.kink_planes.size > 0
    if by == "hessian" and kinked:
        raise NotApplicable(f"{problem.name} has kinks, whose curvature no Hessian shows: take by='loss'")
    eta = draws.eta
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    nodes, weights = 0.5 * (1 + nodes), 0.25 * weights * (1 - nodes)  # on [0, 1], times 1 − r
    per_step = problem.n_terms * (problem.dim + 1) * (1 if isinstance(problem, LinearModel) else problem.dim)

    def averaged(by):
        residuals = [0.0]
        columns = partial(_columns, draws, nodes, weights, residuals if by == "hessian" else None)
        return draws.averaged(run, columns, _NAMES, per_step=per_step, burn_in=burn_in), max(residuals)

    chosen = "loss" if kinked and by == "auto" else by.replace("auto", "hessian")
    averages, residual = averaged(chosen)
    if by == "auto" and residual > _RESOLVED:
        chosen = "loss"
        averages, residual = averaged(chosen)
    settings = {"problem": problem.name, "method": repr(method), "by": chosen, "n_nodes": n_nodes, "burn_in": burn_in}
    return LossBalance(eta, averages, residual, settings)


def _columns(draws, nodes, weights, residuals, theta, p, d):
    """The numbers to average at theta (P, dim); by Hessians if there is a list for the ``residuals`` of that."""
    problem, eta = draws.problem, draws.eta
    g = -d / eta
    square = (problem.gradient(theta) ** 2).sum(axis=-1)
    change = draws.loss_change(theta, p, d)
    curvature = square + change / eta
    if residuals is not None:
        integral = np.zeros(p.shape)
        for r, w in zip(nodes, weights, strict=True):
            integral += w * (g * hessian_products(problem, theta[:, None, :] + r * d, g)).sum(axis=-1)
        found = eta * (p * integral).sum(axis=1)
        scale = np.maximum(np.maximum(square, np.abs(found)), np.abs(change) / eta).max(initial=1e-300)
        residuals.append(float(np.abs(found - curvature).max() / scale))
        curvature = found
    second = (p * (g**2).sum(axis=-1)).sum(axis=1)
    noise = np.maximum(second - square, 0.0) if draws.count > 1 else np.zeros_like(second)
    values = (square, curvature, change, noise, second, sharpness(problem, theta)[0])
    return np.stack(values, axis=1)
