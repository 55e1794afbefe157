"""The public question: which step sizes are stable here?"""

import numpy as np

from dynsim import _check
from dynsim._random import seed_and_key
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import NotApplicable, NotInterpolating
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import StepSizeRange
from dynsim.stability.dynamics import Draws, Dynamics, update_of
from dynsim.stability.hold import hold_at_kink
from dynsim.stability.linearized import Terms, terms_at

CRITERIA = ("one-step", "lemma", "mean-square", "almost-sure", "deterministic")
_DENSE = 1000  # columns of sparse features up to which they are analyzed as dense ones


def step_size_range(
    problem: Problem | Terms,
    method: Method,
    *,
    at: ArrayLike | None = None,
    criterion: str = "one-step",
    rng: Seed = 0,
) -> StepSizeRange:
    """The step sizes for which a scheme holds on to a minimum θ* that fits all terms.

    Near θ* a step is θ' − θ* = (I − ηA)(θ − θ*), where A is the mean of (a_n/p_n) H_n over the terms drawn,
    H_n = ∇²l_n(θ*), and E A = H = Σ a_n H_n. What is stable is a matter of definition; the strictest first:

    * ``"one-step"``: E‖θ' − θ*‖² ≤ ‖θ − θ*‖² from wherever the step is made, AY Lemma 3.2: η ≤ min_u 2 uᵀHu / E‖Au‖².
      For fixed proportions p that is 2/λ_max of the pencil (E A², H), AY (3.10) for plain SGD. For ``RR`` E‖Au‖² is
      C(u)², C(u) = Σ a_n‖H_n u‖, AY (3.11) with the quadratic form at one direction: where H_n = x_n x_nᵀ,
      η ≤ 2 / max_s w_sᵀ H⁻¹ w_s over signs s ∈ {±1}ⁿ, w_s = Σ a_n s_n ‖x_n‖ x_n; exact for few rows and in two
      dimensions, otherwise between a certified bound and the best direction found.
    * ``"mean-square"``: E‖θ_k − θ*‖² → 0. For fixed proportions exactly 2/λ_max of the pencil
      (E A⊗A, ½(H⊗I + I⊗H)); for probabilities that depend on the direction the Perron root of an operator on
      directions, with its error.
    * ``"almost-sure"``: θ_k → θ* with probability 1: the first zero of the top Lyapunov exponent, with its error.
    * ``"deterministic"``: E θ_k → θ*, the range of the full-batch method; for SGD η < 2/λ_max(H).
    * ``"lemma"``: AY Lemma 3.2 as printed. For SGD it is "one-step"; for RR, (3.11) with λ_max at every θ_k is vacuous
      in two and more dimensions, because G̃_i → ∞ where θ_k − θ* ⟂ x_i: no step size satisfies it, ``max`` is 0 and
      ``details["vacuous"]`` True.

    Always one-step ≤ mean-square ≤ almost-sure, and mean-square ≤ deterministic. Motion in the null space of H is
    neutral and left out. Sparse features of many columns are looked at through products alone; "mean-square" is then
    bounded, and "almost-sure" refused.

    On ``two_valleys`` and other losses with dim = 1 that are linear beside their minimum "one-step" means that one step
    from θ* (from either side of the kink) does not cross the barrier: η ≤ (distance to the barrier)/(longest reweighted
    gradient towards it): 1/K² for SGD at 1/K, 1/(K(a1 + K a2)) for ``Balanced``, 1/(K(ε a1 + K a2)) for ``RR``.

    Parameters
    ----------
    problem : Problem or Terms
        A problem, or what :func:`dynsim.stability.terms` makes of Hessians or gradients.
    method : Method
        ``SGD`` with fixed proportions, ``GradientNorm``, ``Mixture`` or ``WithoutReplacement``, any batch size;
        ``HeavyBall`` and ``Nesterov``, for which there are the last three criteria. Its own step size plays no part.
    at : array_like, shape (dim,)
        The minimum θ* of a problem.
    criterion : {"one-step", "mean-square", "almost-sure", "deterministic", "lemma"}
    rng : int, SeedSequence, Generator or None, optional
        For what is found by simulation (SPEC 7); 0 by default.

    Returns
    -------
    StepSizeRange

    Raises
    ------
    ArgumentError
        If ``at`` is not stationary.
    NotApplicable
        If the criterion does not exist for the method (the message lists those that do), or there are no Hessians.
    NotInterpolating
        If gradients of terms do not vanish at θ*: by how much. ``error.stationary(step_sizes)`` then is how far the
        iterates fluctuate about θ*, and up to which step size with a finite variance.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]], [1.0, 6.0, 3.0])
    >>> for criterion in ("one-step", "mean-square", "deterministic"):
    ...     print(round(ds.step_size_range(problem, ds.SGD(0.1), at=[1.0, 2.0], criterion=criterion).max, 4))
    0.2324
    0.2423
    0.5927
    """
    _check.choice("criterion", criterion, CRITERIA)
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if isinstance(problem, Problem) and at is not None and problem.dim == 1 and problem.kinks:
        minimum = float(_check.start("at", at, 1, 1)[0, 0])
        held = hold_at_kink(problem, method, minimum, criterion)
        if held is not None:
            return held
    found = terms_at(problem, at)
    available = criteria_of(found, method)
    if criterion not in available:
        listed = ", ".join(map(repr, available))
        raise NotApplicable(f"criterion {criterion!r} does not exist for {method!r}; it has {listed}")
    if found.gradients is not None:
        raise _not_interpolating(found, method, criterion)
    if found.is_sparse and found.dim > _DENSE:
        return _by_products(found, method, criterion)
    dynamics = Dynamics.of(found, method)
    bounds = _bounds(dynamics, criterion, seed_of(rng))
    direction = None if bounds.direction is None else _unit(dynamics.basis @ bounds.direction)
    details = {"null_space": found.dim - dynamics.rank, **_in_units(bounds.details, dynamics)}
    return _range(criterion, bounds.lower / dynamics.unit, bounds.upper / dynamics.unit, direction, details)


def seed_of(rng: Seed) -> int:
    """A number from which all random numbers of a call are made."""
    seed, key = seed_and_key(rng)
    return seed if isinstance(seed, int) else int(key[0])


def _in_units(details, dynamics):
    """What was found in the units and coordinates of the dynamics, in those of the problem."""
    powers = {"stderr": -1, "error": -1, "bias": -1, "slope": 1}
    result = dict(details)
    for name, power in powers.items():
        if result.get(name) is not None:
            result[name] = float(result[name]) * dynamics.unit**power
    if result.get("stable_again") is not None:
        result["stable_again"] = tuple(eta / dynamics.unit for eta in result["stable_again"])
    if "matrix" in result:
        result["matrix"] = dynamics.basis @ result["matrix"] @ dynamics.basis.T
    return result


def criteria_of(found: Terms, method: Method) -> list[str]:
    """The criteria that exist for a method, the strictest first."""
    kind, _ = update_of(method)
    draws = Draws.of(found, method)
    if kind != "sgd":
        return ["mean-square", "almost-sure", "deterministic"]
    plain = draws.proportions is not None and np.allclose(draws.proportions, found.weights, rtol=1e-12, atol=0)
    as_printed = draws.batch == 1 and (plain or draws.share == 1)
    return ["one-step", *(["lemma"] if as_printed else []), "mean-square", "almost-sure", "deterministic"]


def _bounds(dynamics, criterion, rng):
    from dynsim.stability.almost_sure import almost_sure, mean_square_by_direction
    from dynsim.stability.mean_square import deterministic, mean_square
    from dynsim.stability.one_step import lemma, one_step

    if criterion == "one-step":
        return one_step(dynamics)
    if criterion == "lemma":
        return lemma(dynamics)
    if criterion == "deterministic":
        return deterministic(dynamics)
    if criterion == "almost-sure":
        return almost_sure(dynamics, rng=rng)
    return mean_square(dynamics) if dynamics.draws.second is not None else mean_square_by_direction(dynamics, rng=rng)


def _by_products(found, method, criterion):
    """For features that are only multiplied with."""
    from dynsim.stability import matrix_free

    if update_of(method)[0] != "sgd" or criterion == "almost-sure":
        raise NotApplicable(
            f"with {found.dim} sparse columns there are the criteria 'one-step', 'mean-square' and 'deterministic' "
            f"of SGD; for {criterion!r} of {method.name} give dense gradients"
        )
    bounds = matrix_free.bounds(found, Draws.of(found, method), criterion)
    return _range(criterion, bounds.lower, bounds.upper, bounds.direction, bounds.details)


def _range(criterion, lower, upper, direction, details):
    lower, upper = float(lower), float(upper)
    return StepSizeRange(lower, criterion, lower == upper, lower, upper, direction, details)


def _unit(u):
    return u / np.linalg.norm(u)


def _not_interpolating(found, method, criterion):
    from dynsim.stability.fluctuations import stationary_covariance

    norms = np.linalg.norm(found.gradients, axis=1)
    n = int(norms.argmax())

    def stationary(step_sizes):
        return stationary_covariance(found, method, step_sizes=step_sizes)

    return NotInterpolating(
        f"criterion {criterion!r} is about a minimum that fits all terms; here ∇l_n(θ*) is not zero, of norm "
        f"{norms[n]:.3g} for term {n}, so the iterates do not converge but fluctuate about θ*: stationary(step_sizes) "
        "of this error (ds.stability.stationary_covariance) says how far and up to which step size, "
        "ds.stability.terms(hessians=…) or terms(gradients=…) asks for the range of the Hessians alone",
        residual=float(norms[n]),
        stationary=stationary,
    )
