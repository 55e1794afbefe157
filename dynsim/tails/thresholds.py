"""How many of the largest values are the tail: Hall's choice, from the second order of the tail."""

import math

import numpy as np

FEWEST_IN_TAIL = 20
_BULK = 0.99  # power of n: so many values tell how the tail departs from a power law
_ORDERS = (-3.0, -0.2)  # where the estimate of ρ is kept: beyond, it is noise


def best_n_tail(logs: np.ndarray) -> int:
    """The k that makes Hill's mean square error least: logs (m,) of the values, descending -> between 1 and m/2.

    With E Hill(k) = γ (1 + β (n/k)^ρ/(1 − ρ)) and variance γ²/k, k = ((1 − ρ)² n^{−2ρ}/(−2ρβ²))^{1/(1 − 2ρ)}.
    """
    n = logs.size
    most = n // 2
    if most <= FEWEST_IN_TAIL:
        return max(1, most)
    k1 = min(int(n**_BULK), n - 1)
    rho = second_order(logs[:k1] - logs[k1])
    beta = scale_of_bias(k1, rho, n, np.arange(1, k1 + 1) * (logs[:k1] - logs[1 : k1 + 1]))
    if beta == 0:
        return most
    best = ((1 - rho) ** 2 * n ** (-2 * rho) / (-2 * rho * beta**2)) ** (1 / (1 - 2 * rho))
    return int(min(max(best, FEWEST_IN_TAIL), most))


def second_order(excess: np.ndarray) -> float:
    """ρ = −|3(T − 1)/(T − 3)|, T a ratio of the first three moments of log(X_(i)/X_(k+1)), tuned by τ = 0."""
    first, second, third = (float((excess**j).mean()) / math.factorial(j) for j in (1, 2, 3))
    if not first > 0:
        return -1.0
    a, b, c = math.log(first), math.log(second) / 2, math.log(third) / 3
    if b == c:
        return _ORDERS[0]
    t = (a - b) / (b - c)
    rho = -abs(3 * (t - 1) / (t - 3)) if t != 3 else _ORDERS[0]
    return min(max(rho, _ORDERS[0]), _ORDERS[1])


def scale_of_bias(k: int, rho: float, n: int, spacings: np.ndarray) -> float:
    """β from the scaled log spacings U_i = i log(X_(i)/X_(i+1)), i ≤ k; 0 where they are constant."""
    ratio = (np.arange(1, k + 1) / k) ** -rho
    zeroth, first, second = (float((ratio**j * spacings).mean()) for j in (0, 1, 2))
    share = float(ratio.mean())
    below = share * first - second
    return (k / n) ** rho * (share * zeroth - first) / below if below != 0 else 0.0
