"""Step sizes at which E‖w'‖² does not grow in one step of SGD, whatever the direction: AY Lemma 3.2."""

import numpy as np

from dynsim.stability import ratio as ratios
from dynsim.stability.bounds import Bounds
from dynsim.stability.dynamics import Dynamics

_MOST_SIGNS = 20  # rows up to which all 2^(n−1) sign patterns are tried
_SINGULAR = 1e-10  # of the largest: eigenvalues of an H_n that are zero
_DIRECTIONS = 64  # in which the printed condition is tried


def one_step(dynamics: Dynamics) -> Bounds:
    """The largest η with E‖w'‖² ≤ ‖w‖² for all w: η* = min_u 2 uᵀHu/E‖A u‖².

    * Fixed draws: 2/λ_max of the pencil (Σ second_n H_n² + mean H², H), AY (3.10) for plain SGD. Exact.
    * Probabilities by gradient norm, AY (3.11) read as a quadratic form at one direction: exact for r = 1. For RR with
      rank-one terms, E‖A u‖² is the largest of (w_s·u)²/B + (1 − 1/B)‖H u‖² over signs s, w_s = Σ a_n s_n ‖x_n‖ x_n:
      exact for up to 20 terms, by all signs, and for r = 2, where only n patterns matter.
    * Otherwise between the bounds of :mod:`dynsim.stability.ratio`, equal where they agree to 12 digits. For B = 1 the
      lower one is at least 2/Σ a_n λ_max(H_n).

    The widest gaps between them are for n normal rows of one law: under RR, upper/lower − 1 was 0 for r = 3 and 4 and
    up to 2000 terms (4e-5 for r = 3 and 100 000), 0 and 18 % for r = 5 and 50 and 2000 terms, 15 and 40 % for r = 10,
    10 and 42 % for r = 20, where π/2 − 1 is the limit. With a tenth of the rows ten times as large it was 0 for r ≤ 5,
    0.6 and 5 % for r = 10, and below 1e-4 with batches of 8. A Mixture of ½ had 4 to 29 %, and 0.1 to 10 % with such
    large rows.

    Parameters
    ----------
    dynamics : Dynamics
        Of kind "sgd".

    Returns
    -------
    Bounds
        ``direction`` shows the upper one; ``details`` has "null_space", the dimension of that of H, and "method".

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stability.dynamics import Dynamics
    >>> from dynsim.stability.one_step import one_step
    >>> rows = ds.stability.terms(gradients=[[1.0, 0.0], [0.0, 2.0]])
    >>> round(one_step(Dynamics.of(rows, ds.SGD(0.1))).lower, 12)  # 2/max‖x‖², in units in which λ_max(H) = 2 is 1
    1.0
    >>> round(one_step(Dynamics.of(rows, ds.RR(0.1))).lower, 12)  # 2/mean‖x‖²
    1.6
    """
    ratio = ratios.Ratio(dynamics)
    if ratio.fixed is not None:
        values, vectors = np.linalg.eigh(ratio.matrix(ratio.fixed))
        return _bounds(dynamics, values[-1], values[-1], vectors[:, -1], "pencil")
    if dynamics.rank == 1:
        y = np.ones(1)
        value = ratio.at(y[:, None, None])[0][0]
        return _bounds(dynamics, value, value, y, "one direction")
    if ratio.share == 1 and dynamics.features is not None:
        v = ratio.weights[:, None] * ratio.rows[:, 0]
        if len(v) <= _MOST_SIGNS:
            value, y = _longest(_all_signs(v), ratio)
            return _bounds(dynamics, value, value, y, "all signs")
        if dynamics.rank == 2:
            value, y = _longest(_signs_by_angle(v), ratio)
            return _bounds(dynamics, value, value, y, "angle sweep")
    return _bounds(dynamics, *ratios.bounds(ratio))


def lemma(dynamics: Dynamics) -> Bounds:
    """AY Lemma 3.2 as printed: λ_max of the whole bracket at most 1, in (3.11) for every θ_k.

    (3.10) is the one-step threshold. (3.11) has λ_max(… Σ a_n G̃_n(θ_k) H_n² …) with G̃_n = C/‖H_n(θ_k − θ*)‖, which
    has no bound as θ_k − θ* approaches the null space of an H_n: then no step size satisfies it. So it is for
    rank-one terms, except in r = 1, where it is gradient descent's 2/H (Remark 3.3; its middle term lacks −H²). Where
    no H_n is singular, the threshold lies between the least :func:`lemma_at` of some directions and what follows from
    a bound on each G̃_n.

    Parameters
    ----------
    dynamics : Dynamics
        Of kind "sgd", with fixed draws or RR.

    Returns
    -------
    Bounds
        Zero where the condition is vacuous; ``details`` has "vacuous" and then "why".

    Examples
    --------
    >>> import dynsim as ds
    >>> from dynsim.stability.dynamics import Dynamics
    >>> from dynsim.stability.one_step import lemma
    >>> rows = ds.stability.terms(gradients=[[1.0, 0.0], [0.0, 2.0]])
    >>> lemma(Dynamics.of(rows, ds.RR(0.1))).details["vacuous"]
    True
    """
    if dynamics.draws.second is not None or dynamics.rank == 1:
        found = one_step(dynamics)
        return found._replace(details={**found.details, "vacuous": False})
    details = {"null_space": dynamics.basis.shape[0] - dynamics.rank, "vacuous": True}
    if dynamics.hessians is None:
        details["why"] = "each x_n is orthogonal to some θ_k − θ*, where G̃_n of (3.11) is infinite"
        return Bounds(0.0, 0.0, None, details)
    values, vectors = np.linalg.eigh(dynamics.hessians)
    singular = values[:, 0] <= _SINGULAR * values[:, -1]
    if singular.any():
        n = int(singular.argmax())
        details["why"] = f"G̃_n of (3.11) is infinite for θ_k − θ* in the null space of H_n, n = {n}"
        return Bounds(0.0, 0.0, vectors[n, :, 0], details)
    return _lemma_of_regular(dynamics, {**details, "vacuous": False, "method": "bounds on each G̃_n"})


def lemma_at(dynamics: Dynamics, u: np.ndarray) -> float:
    """The largest η for the printed (3.11) at one displacement u = θ_k − θ* ≠ 0: 2/λ_max of (Σ a_n G̃_n(u) H_n², H).

    Other proportions p have a_n/p_n(u) in place of G̃_n(u) = C(u)/‖H_n u‖, and batches of B the pencil
    (Σ a_n G̃_n(u) H_n²/B + (1 − 1/B) H², H). For fixed draws u plays no part.

    Parameters
    ----------
    dynamics : Dynamics
        Of kind "sgd".
    u : ndarray, shape (r,)
        In the coordinates of ``dynamics``.

    Returns
    -------
    float
        0 where a term that is not zero has probability 0 at u.

    Examples
    --------
    >>> import numpy as np
    >>> import dynsim as ds
    >>> from dynsim.stability.dynamics import Dynamics
    >>> from dynsim.stability.one_step import lemma_at
    >>> near = Dynamics.of(ds.stability.terms(gradients=[[1.0, 0.0], [0.0, 1.0]]), ds.RR(0.1))
    >>> [round(lemma_at(near, np.array(u)), 3) for u in ([1.0, 1.0], [1.0, 0.01], [1.0, 0.0])]
    [1.0, 0.02, 0.0]
    """
    ratio = ratios.Ratio(dynamics)
    if ratio.fixed is not None:
        return 2 / ratio.largest(ratio.fixed)
    p = dynamics.probabilities(np.asarray(u, dtype=np.float64))[ratio.kept]
    return 2 / ratio.largest(ratio.weights**2 / p / ratio.batch) if p.all() else 0.0


def _lemma_of_regular(dynamics, details):
    """C(u)² ≤ uᵀQu bounds each G̃_n² by Ĝ_n² = λ_max(H_n⁻¹ Q H_n⁻¹)."""
    ratio = ratios.Ratio(dynamics)
    _, _, c = ratios.relaxed(ratio)
    q = ratios.majorant(c[:, None], ratio.weights, 1.0)[:, 0]
    H = dynamics.hessians
    inverse = np.linalg.inv(H)
    squares, vectors = np.linalg.eigh(inverse @ np.einsum("n,njk,nkl->jl", q, H, H) @ inverse)
    bound = np.sqrt(squares[:, -1])
    worst = np.argsort(bound)[-_DIRECTIONS:]
    directions = np.einsum("njk,nk->nj", inverse[worst], vectors[worst, :, -1])
    upper, k = min((lemma_at(dynamics, u), k) for k, u in enumerate(directions))
    lower = min(upper, 2 / ratio.largest(ratio.weights * bound / ratio.batch))
    return Bounds(lower, upper, directions[k] / np.linalg.norm(directions[k]), details)


def _bounds(dynamics, most, least, y, method):
    most = least if most <= least * (1 + ratios.STILL) else most
    u = y / np.sqrt(dynamics.curvatures)
    details = {"null_space": dynamics.basis.shape[0] - dynamics.rank, "method": method}
    return Bounds(2 / float(most), 2 / float(least), u / np.linalg.norm(u), details)


def _all_signs(v):
    """Σ s_n v_n for all patterns of signs, in parts; the last sign is +, because s and −s are one."""
    n = len(v)
    patterns = np.arange(2 ** (n - 1))
    for part in np.array_split(patterns, max(1, patterns.size // 2**14)):
        yield (1.0 - 2.0 * ((part[:, None] >> np.arange(n)) & 1)) @ v


def _signs_by_angle(v):
    """In the plane s = sign(v·y) for some y: as y makes half a turn, the signs flip one by one."""
    angles = np.arctan2(v[:, 1], v[:, 0])
    upper = np.where(((angles < 0) | (angles == np.pi))[:, None], -v, v)[np.argsort(angles % np.pi)]
    yield upper.sum(axis=0) - 2 * np.cumsum(upper, axis=0)


def _longest(parts, ratio):
    """The largest of λ_max(w wᵀ/B + D) over the rows w of all parts, and its eigenvector.

    It is larger than a λ > max D where Σ w_j²/(λ − D_j) > B. As E‖A u‖² ≥ ‖H u‖², at least 1 is attained.
    """
    value, y = 1.0, np.eye(ratio.diagonal.size)[-1]
    for sums in parts:
        while True:
            w = sums[(sums**2 / (value - ratio.diagonal)).sum(axis=1).argmax()]
            values, vectors = np.linalg.eigh(np.outer(w, w) / ratio.batch + np.diag(ratio.diagonal))
            if values[-1] <= value:
                break
            value, y = values[-1], vectors[:, -1]
    return value, y
