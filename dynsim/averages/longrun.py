"""The error of an average by autoregression, pooled over chains (Burg's reflection coefficients, order by AIC)."""

import numpy as np

_ROUNDS = 4  # of the correction for the estimated mean: it contracts by about 2τ/(whole run) each time
_LARGEST = 1 - 1e-7  # of a reflection coefficient; ±1 is a deterministic cycle, whose logarithms are infinite
_PREDICTED = 1e-4  # share of the power below which higher orders fit what is left of a deterministic cycle: its ends
_ROUNDING = 1e-26  # mean square of the batch means of φ of variance 1, if they are all the same
_SMALLEST = 1e-100  # variance of batch means, of φ of variance 1: that of a cycle that fits into a batch is 0


def error_of_mean(means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of the average of batch means (n_paths, n_batches, q), its degrees of freedom, and the order: (q,) each.

    An AR(p) with reflection coefficients k_j has the long-run variance L_p = γ_0 Π (1+k_j)/(1−k_j) = σ²_e/(1−Σφ)². The
    average of N batches has about the variance L_p/N, and log L_p the variance v = 2/N + (4/N) Σ_{j<p} L_p/L_j (delta
    method, from the covariance σ²_e Γ_p⁻¹/N of φ); the degrees of freedom are those of the χ²_ν whose log has it.
    """
    m, n_batches, q = means.shape
    total = m * n_batches
    deviation = means - means.mean(axis=(0, 1))
    variance, spread = np.zeros(q), (deviation**2).mean(axis=(0, 1))
    for _ in range(_ROUNDS):
        reflections, power, levels = _ladder(deviation, variance)
        steps = np.arange(levels.shape[0])[:, None]
        order = np.argmin(total * np.log(power) + 2 * steps, axis=0)
        final = np.take_along_axis(levels, order[None], axis=0)[0]
        previous, variance = variance, np.minimum(final / total, spread)
        if (abs(variance - previous) <= 1e-3 * variance).all():
            break
    v = (2 + 4 * np.where(steps < order, final / levels, 0).sum(axis=0)) / total
    chosen = np.where(steps[1:] <= order, reflections, 0)
    exact = power[0] * _variance_of_average(chosen, n_batches) / m
    return exact, (1 + np.sqrt(1 + 2 * v)) / v, order


def _ladder(deviation, variance):
    """Reflection coefficients (p, q), and σ²_e and L_p (p + 1, q) of the pooled Burg fits of all orders.

    Deviations from the estimated mean are too small: a filter of gain A passes A²·``variance`` less of each product.
    """
    m, n_batches, _ = deviation.shape
    power = [np.maximum((deviation**2).mean(axis=(0, 1)) + variance, _SMALLEST)]
    levels, gain, reflections = [power[0]], np.ones_like(variance), []
    forward, backward, going = deviation, deviation, np.ones(variance.size, dtype=bool)
    for _ in range(int(min(10 * np.log10(n_batches), n_batches // 4))):
        forward, backward = forward[:, 1:], backward[:, :-1]
        count = m * forward.shape[1]
        missing = count * gain**2 * variance
        both = np.einsum("mkq,mkq->q", forward, backward)
        each = 0.5 * (np.einsum("mkq,mkq->q", forward, forward) + np.einsum("mkq,mkq->q", backward, backward))
        some = (each > count * _ROUNDING) & going
        k = np.divide(both + missing, each + missing, out=np.zeros(variance.size), where=some)
        k = np.clip(k, -_LARGEST, _LARGEST)
        forward, backward = forward - k * backward, backward - k * forward
        gain = gain * (1 - k)
        reflections.append(k)
        power.append(power[-1] * (1 - k * k))
        going &= power[-1] > _PREDICTED * power[0]
        levels.append(levels[-1] * (1 + k) / (1 - k))
    return np.reshape(reflections, (-1, variance.size)), np.array(power), np.array(levels)


def _variance_of_average(reflections, n):
    """Variance of the average of n successive values of the autoregression, over γ_0: (1/n) Σ (1 − |k|/n) ρ_k.

    Short chains need it: the average of n alternating or turning values is off by its ends.
    """
    most, q = reflections.shape
    rho = np.zeros((n, q))
    rho[0] = 1.0
    coefficients, power = np.zeros((0, q)), np.ones(q)
    for k in range(1, n):
        rho[k] = (coefficients * rho[k - 1 :: -1][: len(coefficients)]).sum(axis=0)
        if k <= most:
            new = reflections[k - 1]
            rho[k] += new * power
            coefficients = np.concatenate([coefficients - new * coefficients[::-1], new[None]])
            power = power * (1 - new**2)
    weights = 2 * (1 - np.arange(n) / n)
    weights[0] = 1.0
    return np.maximum(weights @ rho / n, 0.0)
