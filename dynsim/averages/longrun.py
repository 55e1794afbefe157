"""The error of an average by autoregressions, pooled over chains (Burg's reflection coefficients) and over orders."""

import numpy as np

_HIGHEST = 16  # order
_ROUNDS = 4  # of the correction for the estimated mean: it contracts by about 2τ/(whole run) each time
_CLOSE = 0.03  # of one round to the next, where that is small: what is left is a few percent of the correction
_LARGEST = 1 - 1e-7  # of a reflection coefficient; ±1 is a deterministic cycle, whose logarithms are infinite
_PREDICTED = 1e-4  # share of the power below which higher orders fit what is left of a deterministic cycle: its ends
_ROUNDING = 1e-26  # mean square of the batch means of φ of variance 1, if they are all the same
_SMALLEST = 1e-100  # variance of batch means, of φ of variance 1: that of a cycle that fits into a batch is 0


def error_of_mean(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the average of batch means (n_paths, n_batches, q), and its degrees of freedom: (q,) each.

    An AR(p) with reflection coefficients k_j has the long-run variance L_p = γ_0 Π (1+k_j)/(1−k_j) = σ²_e/(1−Σφ)². The
    average of N batches has about the variance L_p/N, and log L_p the variance v_p = 2/N + (4/N) Σ_{j<p} L_p/L_j (delta
    method, from the covariance σ²_e Γ_p⁻¹/N of φ). log L is the average of log L_p with Akaike's weights w_p, of
    variance Σ w_p (v_p + (log L_p/L)²); the degrees of freedom are those of the χ²_ν whose log has it.
    """
    m, n_batches, q = means.shape
    total = m * n_batches
    products = _products(means - means.mean(axis=(0, 1)), min(_HIGHEST, n_batches // 4))
    variance, spread = np.zeros(q), products[0][0, 0] / total
    for _ in range(_ROUNDS):
        reflections, power, levels = _ladder(products, m, n_batches, variance)
        steps = np.arange(len(levels))[:, None]
        criterion = total * np.log(power) + 2 * steps * total / (total - steps - 2)  # AIC with its correction
        order = criterion.argmin(axis=0)
        weights = np.exp(-0.5 * (criterion - criterion.min(axis=0)))
        weights = weights / weights.sum(axis=0)
        final = np.exp((weights * np.log(levels)).sum(axis=0))
        previous, variance = variance, np.minimum(final / total, spread)
        if (abs(variance - previous) <= _CLOSE * variance).all():
            break
    earlier = np.concatenate([np.zeros((1, q)), np.cumsum(1 / levels[:-1], axis=0)])
    each = (2 + 4 * levels * earlier) / total
    v = (weights * (each + np.log(levels / final) ** 2)).sum(axis=0)
    chosen = np.where(steps[1:] <= order, reflections, 0)[: order.max()]
    share = final / np.take_along_axis(levels, order[None], axis=0)[0]
    return power[0] * share * _variance_of_average(chosen, n_batches) / m, (1 + np.sqrt(1 + 2 * v)) / v


def _products(y, most):
    """R_p[i, j] = Σ_{t≥p} y_{t−i} y_{t−j}, summed over chains, (p + 1, p + 1, q) for each p up to ``most``.

    From the autocovariances without what falls off their ends: Burg's sums of all orders are quadratic forms of these.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(y.shape[1] + most)
    whole = irfft((abs(rfft(y, length, axis=1)) ** 2).sum(axis=0), length, axis=0)[: most + 1]
    head, tail = _partial(y, most), _partial(y[:, ::-1], most)
    i, j = np.indices((most + 1, most + 1))
    lag, first, last = abs(i - j), np.minimum(i, j), np.maximum(i, j)
    fixed = whole[lag] - tail[lag, first]
    return [fixed[: p + 1, : p + 1] - head[lag[: p + 1, : p + 1], p - last[: p + 1, : p + 1]] for p in range(most + 1)]


def _partial(y, most):
    """Σ_{s<c} y_s y_{s+d}, summed over chains: (d, c, q) for d, c up to ``most``."""
    pairs = np.stack([(y[:, :most] * y[:, d : d + most]).sum(axis=0) for d in range(most + 1)])
    return np.concatenate([np.zeros_like(pairs[:, :1]), np.cumsum(pairs, axis=1)], axis=1)


def _ladder(products, m, n_batches, variance):
    """Reflection coefficients (p, q), and σ²_e and L_p (p + 1, q) of the pooled Burg fits of all orders.

    Deviations from the estimated mean are too small: a filter of gain A passes A²·``variance`` less of each product.
    """
    q = variance.size
    power = [np.maximum(products[0][0, 0] / (m * n_batches) + variance, _SMALLEST)]
    levels, reflections, going = [power[0]], [], np.ones(q, dtype=bool)
    filters = np.ones((1, q))
    for p, matrix in enumerate(products[1:], 1):
        forward = np.concatenate([filters, np.zeros((1, q))])
        backward = forward[::-1]
        count = m * (n_batches - p)
        missing = count * variance * filters.sum(axis=0) ** 2
        ahead, back = (np.einsum("ijq,jq->iq", matrix, side) for side in (forward, backward))
        both = (backward * ahead).sum(axis=0) + missing
        each = 0.5 * ((forward * ahead).sum(axis=0) + (backward * back).sum(axis=0))
        some = (each > count * _ROUNDING) & going
        k = np.divide(both, each + missing, out=np.zeros(q), where=some)
        k = np.clip(k, -_LARGEST, _LARGEST)
        filters = forward - k * backward
        reflections.append(k)
        power.append(power[-1] * (1 - k * k))
        going &= power[-1] > _PREDICTED * power[0]
        levels.append(levels[-1] * (1 + k) / (1 - k))
    return np.reshape(reflections, (-1, q)), np.array(power), np.array(levels)


def _variance_of_average(reflections, n):
    """Variance of the average of n successive values of the autoregression, over γ_0: (1/n) Σ (1 − |k|/n) ρ_k.

    Short chains need it: the average of n alternating or turning values is off by its ends.
    """
    most, q = reflections.shape
    rho = np.zeros((n, q))
    rho[0] = 1.0
    coefficients, power = np.zeros((0, q)), np.ones(q)  # the oldest first
    for k, new in enumerate(reflections, 1):
        rho[k] = (coefficients * rho[1:k]).sum(axis=0) + new * power
        coefficients = np.concatenate([new[None], coefficients - new * coefficients[::-1]])
        power = power * (1 - new**2)
    for k in range(most + 1, n if most else 0):
        rho[k] = (coefficients * rho[k - most : k]).sum(axis=0)
    weights = 2 * (1 - np.arange(n) / n)
    weights[0] = 1.0
    return np.maximum(weights @ rho / n, 0.0)
