"""Relaxation rates: closed forms, a Galerkin method, and a bracket for a rate that is exponentially small."""

import math

import numpy as np

_N = 24  # Gauss–Legendre nodes on each panel


def pearson_rates(kappa, curvature, n):
    """Discrete rates below the continuous spectrum of dX = κ(θ − X) dt + √(a x² + b x + c) dW: kκ − ½ k(k−1) a.

    The generator maps polynomials of degree k to such, with this factor on x^k; for a > 0 they are eigenfunctions, that
    is square integrable, for k < κ/a + ½ only, and the continuum starts at ½ a (κ/a + ½)².
    """
    k = np.arange(n)
    if curvature > 0:
        k = k[k < kappa / curvature + 0.5]
    return k * kappa - 0.5 * k * (k - 1) * curvature


def linear_rates(matrix, n, degree=12):
    """The n eigenvalues λ of smallest real part of dX = −A X dt + B dW: whole combinations Σ n_i λ_i(A), n_i ≥ 0."""
    total = np.zeros(1, dtype=complex)
    for value in np.linalg.eigvals(matrix):
        total = (total[:, None] + value * np.arange(degree)).ravel()
    return total[np.lexsort((total.imag.round(9), total.real.round(9)))][:n]


def ring_rates(force, noise, length, n):
    """Of dX = f dt + √D dW on a circle: ½ D q² − i f q for q = 2πk/L, k whole, by growing |k|; Fourier modes."""
    q = 2 * math.pi / length * np.array(sorted(range(-n, n + 1), key=lambda k: (abs(k), k)))[:n]
    return 0.5 * noise * q**2 - 1j * force * q


def line_rates(line, n, degree=60, n_panels=40):
    """The n smallest rates of a :class:`Line`: eigenvalues of ½ ∫ p D q_i' q_j', polynomials q_i orthonormal under p.

    The q_i come from the recursion of Stieltjes, and derivatives along with them; Ritz values, so from above.
    """
    x, w = panels(line.low, line.high, n_panels)
    x, w = x.ravel(), w.ravel()
    log_p = -line.potential(x) - np.log(line.noise(x) + 0 * x)
    w = w * np.exp(log_p - log_p.max())
    w = w / w.sum()
    q, dq = np.zeros((degree + 1, x.size)), np.zeros((degree + 1, x.size))
    q[0] = 1
    for k in range(degree):
        value, slope = x * q[k], q[k] + x * dq[k]
        for _ in range(2):  # twice is enough for orthogonality to rounding
            share = (q[: k + 1] * w) @ value
            value, slope = value - share @ q[: k + 1], slope - share @ dq[: k + 1]
        size = math.sqrt(w @ value**2)
        q[k + 1], dq[k + 1] = value / size, slope / size
    stiffness = 0.5 * (dq * (w * line.noise(x))) @ dq.T
    return np.linalg.eigvalsh(stiffness)[:n]


def rate_of_leaving(line, target, n_iterations=12, n_panels=200):
    """Bounds (lower, upper) on the smallest rate of a Line that is absorbed at ``target`` > low.

    T ↦ ∫_x^a e^Φ ∫_low^y 2 e^(−Φ)/D T inverts the generator, and is positive: for any T > 0 the rate lies between the
    least and the largest ratio of T to its image (Barta 1937), and iteration closes the bracket. Sums of positive
    numbers only, so relative accuracy also at rates of 1e-21. In a symmetric well the second eigenfunction is odd, so
    that the spectral gap is this rate with the target in the middle.
    """
    x, w = panels(line.low, target, n_panels)
    within = _integration(x, w)
    slope, speed = np.exp(line.potential(x)), 2 * np.exp(-line.potential(x)) / line.noise(x)
    T = np.ones_like(x)
    for _ in range(n_iterations):
        f = speed * T
        below = within(f) + np.cumsum(np.append(0.0, (f * w).sum(axis=1)[:-1]))[:, None]
        g = slope * below
        whole = (g * w).sum(axis=1)
        image = (whole[:, None] - within(g)) + np.append(np.cumsum(whole[::-1])[::-1][1:], 0.0)[:, None]
        ratio = T / image
        T = image / image.max()
    return ratio.min(), ratio.max()


def panels(low, high, n):
    """Gauss–Legendre nodes and weights (n, 24) on equal panels."""
    nodes, weights = np.polynomial.legendre.leggauss(_N)
    edges = np.linspace(low, high, n + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return edges[:-1, None] + half * (nodes + 1), half * weights


def _integration(x, w):
    """Integrals from the left end of each panel to each of its nodes, through the interpolating polynomial."""
    nodes, weights = np.polynomial.legendre.leggauss(_N)
    P = np.polynomial.legendre.legvander(nodes, _N)
    degrees = np.arange(_N)
    to_coefficients = (2 * degrees[:, None] + 1) / 2 * (P[:, :_N] * weights[:, None]).T
    below = np.empty((_N, _N))  # ∫_{−1}^{x} P_k = (P_{k+1} − P_{k−1})/(2k+1), and 1 + x for k = 0
    below[:, 0] = 1 + nodes
    below[:, 1:] = (P[:, 2:] - P[:, : _N - 1]) / (2 * degrees[1:] + 1)
    matrix = (below @ to_coefficients).T
    half = w.sum(axis=1, keepdims=True) / 2
    return lambda f: half * (f @ matrix)
