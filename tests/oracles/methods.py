"""Paths of the methods, their laws and cycles, from slow references in plain Python."""

from fractions import Fraction
from itertools import product

import mpmath
import numpy as np


def euler_maruyama(drift, diffusion, x0, dt, increments):
    """Plain Euler–Maruyama for one path: increments (n_steps, noise_dim)."""
    x = np.array(x0, dtype=float)
    path = [x.copy()]
    for k, dw in enumerate(increments):
        x = x + dt * np.atleast_1d(drift(k * dt, x)) + np.atleast_2d(diffusion(k * dt, x)) @ dw
        path.append(x.copy())
    return np.array(path)


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
