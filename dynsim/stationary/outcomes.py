"""All that one step of a stochastic optimization method may lead to, and with what probabilities."""

import itertools
import math
from typing import Any

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import NotApplicable, TooLarge
from dynsim.methods import Method
from dynsim.methods.base import FULL, Update
from dynsim.noise import TwoPoint
from dynsim.problems import Problem
from dynsim.sampling import WithoutReplacement

MOST_OUTCOMES = 100_000  # of one step
_LATER = 12_345  # a step number at which the update must do what it does at 0


def outcomes(verb: str, problem: Problem, method: Method, theta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Where one step of a method without memory leads from θ, and with what probabilities.

    A batch b of B terms, drawn with probability P(b | θ), gives θ' = U(θ, g_b + ξ), g_b = (1/B) Σ_{n∈b} (a_n/p_n) ∇l_n,
    U being the update rule of the method. There is one outcome for each batch: each multiset of B terms for independent
    draws, P(b) = B!/Πc_n! Π p_n^{c_n} where term n is drawn c_n times; each set of B terms without replacement, all
    alike; one for ``batch_size="full"``. With ``noise.TwoPoint`` there are 2^dim times as many.

    Parameters
    ----------
    verb : str
        What is asked for, which begins the messages.
    problem : Problem
    method : Method
        With constant rates; what it draws must not depend on the steps before.
    theta : array_like, shape (..., dim)

    Returns
    -------
    targets : ndarray, shape (..., K, dim)
    probability : ndarray, shape (..., K)
        Sums to 1 over the last axis; 0 for a batch that is never drawn.

    Raises
    ------
    NotApplicable
        If the outcomes are not finitely many with known probabilities, or depend on more than θ.
    TooLarge
        If a step has more than 100 000 outcomes, or those of all points do not fit in memory.
    ArgumentError
        If the method does not fit the problem, or never draws a term that has a gradient.

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stationary.outcomes import outcomes
    >>> targets, probability = outcomes("this", ds.problems.two_valleys(), ds.SGD(0.04), [0.25])
    >>> targets[:, 0].round(3).tolist(), probability.tolist()
    ([0.246, 0.05], [0.4, 0.6])
    """
    width = state_width(verb, problem, method)
    if width > problem.dim:
        raise NotApplicable(
            f"{verb} is for methods without memory: a step of {method.name} depends on {width - problem.dim} more "
            "numbers than those of θ"
        )
    return state_outcomes(verb, problem, method, theta)


def state_outcomes(verb: str, problem: Problem, method: Method, state: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Like :func:`outcomes`, also for a method with memory: state (..., D) -> (..., K, D), (..., K).

    A state is θ, followed by what the update remembers: v for ``HeavyBall`` and ``RMSProp``, q for ``Nesterov``.
    """
    width = state_width(verb, problem, method)
    batches, noises = _batches(verb, problem, method), _noises(problem, method)
    state = _check.points("theta" if width == problem.dim else "state", state, width)
    lanes = state.reshape(-1, width)
    n_outcomes = batches.shape[0] * len(noises)
    size = (lanes.shape[0], n_outcomes, width, 4)
    _check.fits_in_memory("the outcomes of a step", size, instead="ask for fewer points at once")
    update = method.rule(problem)
    g, p = _drawn(problem, method, lanes[:, update.query : update.query + problem.dim], batches)
    g = np.concatenate([g + shift for shift, _ in noises], axis=1)
    p = np.concatenate([p * share for _, share in noises], axis=1)
    targets = _updated(update, problem, method, np.repeat(lanes, n_outcomes, axis=0), g.reshape(-1, problem.dim))
    return targets.reshape(*state.shape[:-1], n_outcomes, width), p.reshape(*state.shape[:-1], n_outcomes)


def state_width(verb: str, problem: Problem, method: Method) -> int:
    """Of how many numbers the next state is a random function, dim of them θ; refuses what is no homogeneous chain."""
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    method.check(problem)
    if not all(isinstance(rate, float) for rate in method.schedules()):
        raise NotApplicable(f"{verb} needs steps that are all alike, got a schedule: {method!r}")
    update = method.rule(problem)
    if update.n_uniforms or _counts_steps(update, problem, method):
        raise NotApplicable(
            f"{verb} needs steps that depend on the state and the drawn gradient alone; those of {method.name} depend "
            f"on {'random numbers of its own' if update.n_uniforms else 'the step number'} too"
        )
    return problem.dim + update.memory(np.zeros((1, problem.dim))).shape[1]


def _counts_steps(update: Update, problem, method):
    """Whether a step depends on its number, as Adam's does: tried, since a user's rule does not tell."""
    start = np.linspace(0.5, 1.5, 3 * problem.dim).reshape(3, problem.dim)
    state = np.hstack([start, 0.5 + update.memory(start)])
    first, later = (_updated(update, problem, method, state, 1.0 - start, k) for k in (0, _LATER))
    return not np.array_equal(first, later, equal_nan=True)


def _updated(update: Update, problem, method, state, g, k=0):
    """What the compiled rule makes of states (W, D) and gradients (W, dim)."""
    lanes = np.array(state.T, order="C")
    nowhere = np.zeros(3, dtype=np.int64)  # the fields of the problem, which only rules that compare losses call
    given = (nowhere, problem.params, problem.weights.copy())
    uniforms = np.empty((0, lanes.shape[1]))
    rates = np.array(method.schedules())
    kernel: Any = update.kernel
    kernel(given, k, rates, np.array(g.T, order="C"), uniforms, update.params, lanes)
    return lanes.T


def _batches(verb, problem, method):
    """The terms of each batch that may be drawn, (K, B) int; (1, 0) for all terms at once."""
    scheme, size, n = method.sampling, method.batch_size, problem.n_terms
    if method.noise is not None and not isinstance(method.noise, TwoPoint):
        raise NotApplicable(f"{verb} needs a step with finitely many outcomes, got noise with a density: {method!r}")
    different = isinstance(scheme, WithoutReplacement)
    count = 1
    if size != FULL:
        _refuse_unknown_draws(verb, scheme)
        count = math.comb(n, size) if different else math.comb(n + size - 1, size)
    two_points = 2**problem.dim if isinstance(method.noise, TwoPoint) else 1
    if count * two_points > MOST_OUTCOMES:
        batches = "" if size == FULL else f", batches of {size} out of {n} terms"
        noise = f", 2^{problem.dim} values of the noise" if two_points > 1 else ""
        raise TooLarge(
            f"{verb} would have to follow {count * two_points} outcomes of one step, more than {MOST_OUTCOMES}"
            f"{batches}{noise}"
        )
    if size == FULL:
        return np.empty((1, 0), dtype=np.int64)
    draw = itertools.combinations if different else itertools.combinations_with_replacement
    return np.array(list(draw(range(n), size)), dtype=np.int64)


def _refuse_unknown_draws(verb, scheme):
    if not scheme.memoryless:
        raise NotApplicable(f"{verb} needs steps that do not depend on the draws before, got {scheme!r}")
    if not scheme.independent:
        raise NotApplicable(
            f"{verb} needs terms drawn with probabilities p_n(θ) in closed form, which {scheme!r} does not have"
        )


def _drawn(problem, method, theta, batches):
    """The gradients that may be drawn at θ (W, dim), (W, K, dim), and their probabilities (W, K)."""
    size = batches.shape[1]
    if size == 0:
        return problem.gradient(theta)[:, None, :], np.ones((theta.shape[0], 1))
    scheme = method.sampling
    scheme.refuse_bias(problem, theta)
    term_p = scheme.probabilities(problem, theta)
    estimates = scheme.reweighting(problem, theta)[..., None] * problem.term_gradients(theta)
    g = sum(estimates[:, batches[:, b]] for b in range(size)) / size
    if isinstance(scheme, WithoutReplacement):
        return g, np.full(g.shape[:2], 1 / batches.shape[0])
    p, same = np.ones(g.shape[:2]), np.zeros(batches.shape[0])
    for b in range(size):  # B!/Π c_n! factor by factor; equal members of a batch stand side by side
        same = np.where(batches[:, b] == batches[:, b - 1], same + 1, 1) if b else same + 1
        p *= term_p[:, batches[:, b]] * ((b + 1) / same)
    return g, p


def _noises(problem, method):
    """The values ξ (dim,) of the noise, with their probabilities."""
    noise = method.noise
    if noise is None:
        return [(0.0, 1.0)]
    noise.params(problem.dim)  # refuses scales that do not fit
    low, high = (np.broadcast_to(value, problem.dim) for value in noise.values)
    result = []
    for is_low in itertools.product([True, False], repeat=problem.dim):
        share = math.prod(noise.p if chosen else 1 - noise.p for chosen in is_low)
        result.append((np.where(is_low, low, high), share))
    return result
