"""Stationary densities and the masses of cells."""

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
from scipy import stats


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


def masses(density, *edges, nodes=8):
    """Masses of the cells of a product grid, in C order, of a density of points (..., dim), by quadrature; sum 1."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    points = [(e[:-1, None] + 0.5 * np.diff(e)[:, None] * (x + 1)).ravel() for e in edges]
    weights = [np.outer(0.5 * np.diff(e), w).ravel() for e in edges]
    values = density(np.stack(np.meshgrid(*points, indexing="ij"), axis=-1))
    for axis, weight in enumerate(weights):
        values = np.moveaxis(np.moveaxis(values, axis, -1) * weight, -1, axis)
    shape = [size for e in edges for size in (e.size - 1, nodes)]
    cells = values.reshape(shape).sum(axis=tuple(range(1, 2 * len(edges), 2))).ravel()
    return cells / cells.sum()


def truncated_normal_masses(variance, edges, mean=0.0):
    """Masses of N(mean, variance) restricted to [edges[0], edges[-1]]: the OU process between reflecting ends."""
    with mpmath.workdps(40):
        below = [mpmath.ncdf((mpmath.mpf(float(e)) - mean) / mpmath.sqrt(variance)) for e in edges]
        return np.array([float((b - a) / (below[-1] - below[0])) for a, b in pairwise(below)])


def pearson_log_density(name, x, **p):
    """log e^(−Φ)/D, up to a constant, Φ = −∫ 2μ/D, for the diffusions of dynsim.sdes and Jacobi's.

    CIR, inverse gamma, Jacobi: dX = κ(θ − X) dt + √D dW, D = σ²x, σ²x², σ²x(1 − x); Student: dX = −κX dt + √D dW,
    D = 2κ(νs² + x²)/(ν − 1).
    """
    if name == "student":
        return -(p["nu"] + 1) / 2 * np.log(p["nu"] * p["s"] ** 2 + x**2)
    c = 2 * p["kappa"] / p["sigma"] ** 2
    if name == "cir":
        return c * (p["theta"] * np.log(x) - x) - np.log(x)
    if name == "inverse_gamma":
        return -c * (np.log(x) + p["theta"] / x) - 2 * np.log(x)
    return c * (p["theta"] * np.log(x) + (1 - p["theta"]) * np.log1p(-x)) - np.log(x * (1 - x))


def pearson_law(name, **p):
    """The law as a SciPy distribution: gamma, inverse gamma, Student's t and beta, read off the density above."""
    if name == "student":
        return stats.t(p["nu"], scale=p["s"])
    c = 2 * p["kappa"] / p["sigma"] ** 2
    if name == "cir":
        return stats.gamma(c * p["theta"], scale=1 / c)
    if name == "inverse_gamma":
        return stats.invgamma(1 + c, scale=c * p["theta"])
    return stats.beta(c * p["theta"], c * (1 - p["theta"]))


def cantor_function(x):
    """F(x) of the Cantor law, exact for the float x: F(x) = F(3x)/2 on [0, 1/3], F(x) = ½ + F(3x − 2)/2 on [2/3, 1].

    The law that θ → θ/3 or (θ + 2)/3, each with probability ½, leaves as it is.
    """
    x, value, weight = Fraction(x), Fraction(0), Fraction(1)
    if x <= 0 or x >= 1:
        return float(x >= 1)
    for _ in range(60):
        weight /= 2
        x *= 3
        if x >= 2:
            value, x = value + weight, x - 2
        elif x >= 1:
            return float(value + weight)
    return float(value)


def cantor_masses(edges):
    """Masses of cells [a, b) under the Cantor law, which has no atoms."""
    return np.diff([cantor_function(float(e)) for e in edges])


def fair_masses(edges):
    """Masses of cells under the uniform law on [0, 1], which θ → θ/2 or (θ + 1)/2 leaves as it is."""
    return np.diff(np.clip(edges, 0.0, 1.0))
