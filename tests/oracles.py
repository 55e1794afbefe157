"""Exact answers, derived apart from dynsim: closed forms, enumerations and slow references in plain Python."""

from fractions import Fraction
from itertools import pairwise, product

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


def stable_stationary_scale(alpha, scale, step_size, curvature):
    """Scale of the law that θ ← (1 − ηh)θ − ηξ leaves as it is, ξ symmetric α-stable with this scale, |1 − ηh| < 1.

    Stable scales add in their α-th powers: S^α = |1 − ηh|^α S^α + (ηs)^α.
    """
    return step_size * scale / (1 - abs(1 - step_size * curvature) ** alpha) ** (1 / alpha)


def second_order_path(trace, determinant, first, second, n_steps):
    """x_0 … x_n of x_{k+1} = T x_k − D x_{k−1}, by the roots of r² = T r − D, in 40 digits."""
    with mpmath.workdps(40):
        T, D, x0, x1 = (mpmath.mpf(value) for value in (trace, determinant, first, second))
        if T == D == 0:
            return np.array([float(x0), float(x1), *[0.0] * (n_steps - 1)])
        root = mpmath.sqrt(T * T - 4 * D)
        high, low = (T + root) / 2, (T - root) / 2
        if abs(high - low) < mpmath.mpf(10) ** -15:  # (A + k B) r^k
            return np.array([float(x0)] + [float((x0 + k * (x1 / high - x0)) * high**k) for k in range(1, n_steps + 1)])
        A, B = (x1 - low * x0) / (high - low), (high * x0 - x1) / (high - low)
        return np.array([float(mpmath.re(A * high**k + B * low**k)) for k in range(n_steps + 1)])


def recursion_on_quadratic(method, step_size, momentum, eigenvalue):
    """(T, D) of a coordinate of ½λθ²: θ_{k+1} = T θ_k − D θ_{k−1}, where θ_1 = (1 − ηλ) θ_0."""
    left = 1 - step_size * eigenvalue
    return {"GD": (left, 0), "HeavyBall": (left + momentum, momentum)}.get(
        method, ((1 + momentum) * left, momentum * left)
    )


def spectral_radius(trace, determinant):
    """Of the companion matrix [[T, −D], [1, 0]]."""
    return np.abs(np.linalg.eigvals(np.array([[trace, -determinant], [1.0, 0.0]]))).max()


def autoregressive_variance(trace, determinant, innovation):
    """Var x of the stationary x_{k+1} = T x_k − D x_{k−1} + e_k, Var e = ``innovation``, by Yule & Walker."""
    return innovation * (1 + determinant) / ((1 - determinant) * ((1 + determinant) ** 2 - trace**2))


def lessard_slope(x):
    """Z Fig 2-1's f': 25x, x + 24, 25x − 24, with breaks at 1 and 2; for numbers of any kind."""
    return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24


def heavy_ball_cycles(step_size, momentum):
    """The 3-cycles of the heavy ball on Lessard's loss, as sets of Fractions, and the contraction around each.

    On given pieces f' = s_k x + c_k the cycle solves (s_k α − 1 − β) x_k + x_{k+1} + β x_{k−1} = −α c_k, a linear
    system; it is a cycle if its points lie on these pieces and differ.
    """
    pieces = {(25, 0): lambda x: x < 1, (1, 24): lambda x: 1 <= x < 2, (25, -24): lambda x: x >= 2}
    found = {}
    for chosen in product(pieces, repeat=3):
        rows = []
        for k, (slope, _) in enumerate(chosen):
            row = [Fraction(0)] * 3
            row[k] += slope * step_size - 1 - momentum
            row[(k + 1) % 3] += 1
            row[(k - 1) % 3] += momentum
            rows.append(row)
        points = _solve(rows, [-step_size * offset for _, offset in chosen])
        if all(pieces[piece](x) for piece, x in zip(chosen, points, strict=True)) and len(set(points)) == 3:
            around = np.eye(2)
            for slope, _ in chosen:
                trace, determinant = recursion_on_quadratic("HeavyBall", float(step_size), float(momentum), slope)
                around = np.array([[trace, -determinant], [1.0, 0.0]]) @ around
            found[frozenset(points)] = np.abs(np.linalg.eigvals(around)).max()
    return found


def _solve(rows, right):
    """Cramer's rule for three Fractions."""

    def determinant(m):
        return sum(m[0][j] * (m[1][j - 2] * m[2][j - 1] - m[1][j - 1] * m[2][j - 2]) for j in range(3))

    whole = determinant(rows)
    replaced = [[[right[i] if j == column else rows[i][j] for j in range(3)] for i in range(3)] for column in range(3)]
    return [determinant(m) / whole for m in replaced]


def ingd_path(loss, gradient, x0, *, delta, epsilon, lipschitz, uniforms):
    """Z Algorithm 2 line by line: θ after each call of the oracle, until it returns or the uniforms are used up.

    Returns (path, whether it returned, the calls as a string): s for a start of an m, i for an interpolated gradient.
    ``uniforms[c]`` places the point that is asked for after call c. Of the K gradients of an m, the test of the last
    one comes before the restart.
    """
    x, path, calls = np.array(x0, dtype=float), [], ""
    K = int(np.ceil(48 * lipschitz**2 / epsilon**2))
    while True:
        m, calls = gradient(x), calls + "s"
        for k in range(1, K + 1):
            length = np.sqrt(m @ m)
            if length <= epsilon:
                return np.array([*path, x]), True, calls
            trial = x - delta * m / length
            descends = loss(trial) - loss(x) < -delta * length / 4
            path.append(trial if descends else x)
            if len(calls) == len(uniforms):
                return np.array(path), False, calls
            if descends:
                x = trial
                break
            if k < K:
                g = gradient(x + uniforms[len(calls) - 1] * (trial - x))
                calls += "i"
                beta = (4 * lipschitz**2 - length**2) / (4 * lipschitz**2 + 2 * length**2)
                m = beta * m + (1 - beta) * g


def adaptive_path(rule, gradient, x0, n_steps, **given):
    """RMSProp, Adam (L §3.2) and ACClip (Z Algorithm 1) on floats, one coordinate after the other, as printed."""
    x = [float(value) for value in x0]
    dim, path = len(x), [list(x)]
    m, v = [0.0] * dim, [given.get("tau0", 0.0) ** given.get("alpha", 1.0)] * dim
    for t in range(1, n_steps + 1):
        g = [float(value) for value in gradient(np.array(x))]
        square = [value**2 for value in g] if given.get("elementwise", True) else [sum(value**2 for value in g)] * dim
        for j in range(dim):
            if rule == "RMSProp":
                v[j] = given["alpha"] * v[j] + (1 - given["alpha"]) * square[j]
                x[j] -= given["eta"] / (given["eps"] + v[j] ** 0.5) * g[j]
                continue
            m[j] = given["beta1"] * m[j] + (1 - given["beta1"]) * g[j]
            if rule == "Adam":
                v[j] = given["beta2"] * v[j] + (1 - given["beta2"]) * square[j]
                m_hat, v_hat = m[j] / (1 - given["beta1"] ** t), v[j] / (1 - given["beta2"] ** t)
                x[j] -= given["eta"] * m_hat / (given["eps"] + v_hat**0.5)
            else:
                v[j] = given["beta2"] * v[j] + (1 - given["beta2"]) * abs(g[j]) ** given["alpha"]
                tau, size = v[j] ** (1 / given["alpha"]), abs(m[j]) + given["eps"]
                x[j] -= given["eta"] * min(tau / size if size > 0 else 1.0, 1.0) * m[j]
        path.append(list(x))
    return np.array(path)
