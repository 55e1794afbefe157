"""Losses, gradients and derivatives of the problems, in plain Python."""

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


def lessard_slope(x):
    """Z Fig 2-1's f': 25x, x + 24, 25x − 24, with breaks at 1 and 2; for numbers of any kind."""
    return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24


def central_difference(function, theta, h=1e-6):
    """Derivatives by central differences, the coordinate of θ first."""
    theta = np.asarray(theta, dtype=float)
    return np.array([(function(theta + h * e) - function(theta - h * e)) / (2 * h) for e in np.eye(theta.size)])
