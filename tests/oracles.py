"""Exact answers, derived apart from dynsim: closed forms, enumerations and slow references in plain Python."""

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np


def two_valleys_terms(theta, eps, K):
    """AY §2.1, both losses and their left derivatives, at one θ."""
    if theta <= 0:
        return (abs(theta + 1) - 1, -eps * theta), (1 if theta > -1 else -1, -eps)
    return (eps * theta, abs(K * theta - 1) - 1), (eps, K if K * theta > 1 else -K)


def two_valleys_variances(a1, eps, K, f1):
    """AY §2.1's variances of the reweighted gradient in the four regions, for proportions (f1, 1 − f1)."""
    a2, f2 = 1 - a1, 1 - f1
    u, v = np.sqrt(f2 / f1), np.sqrt(f1 / f2)
    return np.array(
        [
            (a1 * u - eps * a2 * v) ** 2,
            (a1 * u + eps * a2 * v) ** 2,
            (eps * a1 * u + K * a2 * v) ** 2,
            (eps * a1 * u - K * a2 * v) ** 2,
        ]
    )


def piecewise_log_mass(edges, breaks, drifts, noises):
    """Logarithms of the stationary cell masses of dX = μ dt + √D dW with μ, D constant between breaks.

    On each piece D p = C exp(2 μ x / D), and D p is continuous (Itô); all in 50 digits.
    """
    with mpmath.workdps(50):
        corners = [mpmath.mpf(float(edges[0])), *[mpmath.mpf(float(b)) for b in breaks], mpmath.mpf(float(edges[-1]))]
        value = mpmath.mpf(1)  # D p at the left end of the piece
        pieces = []
        for left, right, mu, noise in zip(corners[:-1], corners[1:], drifts, noises, strict=True):
            rate = 2 * mpmath.mpf(mu) / mpmath.mpf(noise)
            pieces.append((left, right, rate, value / noise))
            value *= mpmath.exp(rate * (right - left))
        masses = []
        for a, b in pairwise(edges):
            middle = (a + b) / 2
            left, _, rate, p = next(piece for piece in pieces if piece[0] <= middle <= piece[1])
            a, b = mpmath.mpf(float(a)), mpmath.mpf(float(b))
            masses.append(p * (mpmath.exp(rate * (b - left)) - mpmath.exp(rate * (a - left))) / rate)
        total = mpmath.fsum(masses)
        return np.array([float(mpmath.log(mass / total)) for mass in masses])


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


def euler_maruyama(drift, diffusion, x0, dt, increments):
    """Plain Euler–Maruyama for one path: increments (n_steps, noise_dim)."""
    x = np.array(x0, dtype=float)
    path = [x.copy()]
    for k, dw in enumerate(increments):
        x = x + dt * np.atleast_1d(drift(k * dt, x)) + np.atleast_2d(diffusion(k * dt, x)) @ dw
        path.append(x.copy())
    return np.array(path)


def central_difference(function, theta, h=1e-6):
    """Derivatives by central differences, the coordinate of θ first."""
    theta = np.asarray(theta, dtype=float)
    return np.array([(function(theta + h * e) - function(theta - h * e)) / (2 * h) for e in np.eye(theta.size)])
