"""Chains in exact arithmetic."""

from fractions import Fraction

from .problems import two_valleys_terms


def lattice_chain(a1, eps, K, step_size, x0, proportions):
    """The two-valleys chain in exact rational arithmetic: states and transition probabilities as Fractions.

    ``proportions``: (f1, f2) as Fractions, or None for AY (3.5)'s, proportional to a_j |gradient|.
    """
    weights = (a1, 1 - a1)
    states, moves, pending = {x0: 0}, [], [x0]
    while pending:
        theta = pending.pop()
        _, gradients = two_valleys_terms(theta, eps, K)
        if proportions is None:
            norms = [a * abs(g) for a, g in zip(weights, gradients, strict=True)]
            p = [norm / sum(norms) for norm in norms]
        else:
            p = proportions
        for a, q, g in zip(weights, p, gradients, strict=True):
            target = theta - step_size * a / q * g
            if target not in states:
                states[target] = len(states)
                pending.append(target)
            moves.append((states[theta], states[target], q))
    transition = {}
    for i, j, q in moves:
        transition[i, j] = transition.get((i, j), Fraction(0)) + q
    return states, transition


def birth_death_stationary(up, down):
    """Exact stationary law of a birth–death chain with Fractions: p[i+1]/p[i] = up[i]/down[i]."""
    p = [Fraction(1)]
    for u, d in zip(up, down, strict=True):
        p.append(p[-1] * u / d)
    total = sum(p)
    return [value / total for value in p]
