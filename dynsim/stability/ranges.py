"""The public question: which step sizes are stable here?"""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import NotApplicable
from dynsim.methods import Method
from dynsim.methods.base import plain_sgd
from dynsim.problems import LinearModel, Problem
from dynsim.problems.two_valleys import TwoValleys
from dynsim.results import StepSizeRange
from dynsim.stability.one_step import critical_for_fixed, critical_for_gradient_norm

CRITERIA = ("one-step",)


def step_size_range(problem: Problem, method: Method, *, at: ArrayLike, criterion: str = "one-step") -> StepSizeRange:
    """The step sizes for which a scheme holds on to a minimum θ*.

    ``criterion="one-step"``: the expected squared distance to θ* does not grow in one step, whatever the direction.

    * On a linear model, with H_n = x_n x_nᵀ, H = Σ a_n H_n (AY (3.9)), that is η ≤ 2/λ_max of the pencil
      (Σ a_n² H_n²/p_n, H) for fixed proportions p: AY (3.10) for plain SGD. For ``RR`` the second moment of the step
      is the square of C(θ), AY (3.11) with the quadratic form at one direction (as printed, with λ_max, the condition
      is vacuous), and η ≤ 2 / max_s w_sᵀ H⁻¹ w_s over signs s ∈ {±1}ⁿ, w_s = Σ a_n s_n ‖x_n‖ x_n: exact for up to 20
      rows or 2 columns, else certified bounds.
      The H_n are those at a minimum that fits all data, φ''(0) x_n x_nᵀ. Where the residuals at θ* are
      not zero (``details["interpolating"]``), the range is about the part of the dynamics that decides whether
      fluctuations stay bounded, for the square loss: the distance between two SGD runs that draw the same terms, and
      the pull towards θ* from far away under RR. The Welsch loss, whose gradient vanishes far away, cannot blow up.
    * On ``two_valleys``, piecewise linear, one step from θ* (from either side of its kink) does not cross the barrier:
      η ≤ (distance to the barrier)/(longest reweighted gradient towards it): 1/K² for SGD at 1/K, 1/(K(a1 + K a2))
      for ``Balanced``, 1/(K(ε a1 + K a2)) for ``RR``.

    Parameters
    ----------
    problem : Problem
        ``linear_model(...)`` or ``two_valleys(...)``.
    method : Method
        Its own step size plays no part.
    at : array_like, shape (dim,)
        The minimum θ*.
    criterion : {"one-step"}

    Returns
    -------
    StepSizeRange

    Raises
    ------
    NotApplicable
        If the criterion does not apply to the problem, or ``at`` is not one of the minima of ``two_valleys``.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys(a1=0.4, eps=0.1, K=5.0)
    >>> ds.step_size_range(problem, ds.SGD(step_size=1.0), at=[0.2]).max
    0.04
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    plain_sgd("step_size_range", method)
    _check.choice("criterion", criterion, CRITERIA)
    minimum = _check.start("at", at, 1, problem.dim)[0]
    if isinstance(problem, TwoValleys):
        return _hold_on_valley(problem, method, minimum)
    if isinstance(problem, LinearModel):
        return _linear_model(problem, method, minimum)
    raise NotApplicable(f"criterion 'one-step' needs a linear model or two_valleys, got {problem.name}")


def _linear_model(problem, method, at):
    if problem.curvature_at_fit is None:
        raise NotApplicable(
            "criterion 'one-step' is about a minimum that fits all data, which "
            f"the {problem.loss_name} loss does not have"
        )
    proportions = method.sampling.proportions(problem)
    if proportions is None and method.sampling.norm_share == 0:
        proportions = problem.weights
    X = np.sqrt(problem.curvature_at_fit) * problem.X
    if proportions is not None:
        lower, direction, rank = critical_for_fixed(X, problem.weights, proportions)
        upper = lower
    elif method.sampling.norm_share != 1:
        raise NotApplicable(f"criterion 'one-step' is for fixed proportions and GradientNorm, got {method.sampling!r}")
    else:
        lower, upper, direction, rank = critical_for_gradient_norm(X, problem.weights)
    details = {
        "interpolating": bool(np.abs(problem.residuals(at)).max() <= 1e-8 * max(1.0, np.abs(problem.y).max())),
        "null_space": problem.dim - rank,
    }
    return StepSizeRange(lower, "one-step", lower == upper, lower, upper, direction, details)


def _hold_on_valley(problem, method, at):
    if not np.isclose(problem.minima, at, rtol=1e-9, atol=0).all(axis=-1).any():
        raise NotApplicable(f"at must be one of the minima {problem.minima.ravel().tolist()}, got {at.tolist()}")
    low, high = problem.basin(at)
    barrier = low if np.isfinite(low) else high
    gap = 1e-6 * abs(barrier - at[0])
    sides = at + np.array([[-gap], [gap]])
    steps = -method.sampling.reweighting(problem, sides) * problem.term_gradients(sides)[..., 0]
    towards = steps * np.sign(barrier - at[0])
    largest = abs(barrier - at[0]) / towards.max()
    side, term = np.unravel_index(towards.argmax(), towards.shape)
    details = {"barrier": barrier, "term": int(term), "side": ("below", "above")[side]}
    direction = np.array([np.sign(barrier - at[0])])
    return StepSizeRange(float(largest), "one-step", True, float(largest), float(largest), direction, details)
