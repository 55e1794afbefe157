"""What the kernels of the limits are told about a problem and a method."""

from typing import NamedTuple

import numpy as np

from dynsim.errors import NotApplicable
from dynsim.sampling import Custom, GroupNorm, Rejection, WithoutReplacement

_MOST_TERMS_PER_DIM = 1  # measured: see by_terms


class Drawn(NamedTuple):
    """Compiled formulas of the terms and of the scheme, and their numbers."""

    terms: tuple
    scheme: tuple
    numbers: tuple[float, float]
    n_scratch: int
    table: np.ndarray


def drawn(problem, sampling, *, two_passes: bool = False) -> Drawn:
    """How a scheme draws one term; with ``two_passes`` w_n and c_n are p_n and a_n/p_n themselves."""
    from dynsim._kernels import limit_terms as kinds

    terms = kinds.terms_of(problem._gradient)
    ones = np.ones(problem.n_terms)
    proportions = sampling.proportions(problem)
    if proportions is not None:
        return Drawn(terms, kinds.FIXED, (0.0, 0.0), 0, proportions)
    if isinstance(sampling, GroupNorm):
        groups = sampling._groups(problem)
        n_groups = int(groups.max()) + 1
        return Drawn(terms, kinds.GROUPS, (n_groups, 0.0), 2 * n_groups + 2, groups.astype(np.float64))
    if isinstance(sampling, Rejection) and sampling.norm_share is None:
        bounds = sampling._bounds(problem)
        numbers = (float(problem.weights @ bounds), float(sampling.n_proposals))
        return Drawn(terms, kinds.REJECTION, numbers, 3, bounds)
    if isinstance(sampling, Custom):
        scheme = kinds.custom(sampling._field(problem))
        return Drawn(terms, scheme, (1.0 - sampling.floor, 0.0), problem.n_terms + 1, ones)
    if sampling.norm_share is None:
        raise NotApplicable(f"sde_limit does not know the covariance of {sampling!r}")
    if sampling.norm_share == 1.0 and not two_passes:
        return Drawn(terms, kinds.BY_NORM, (1.0, 0.0), 0, ones)
    return Drawn(terms, kinds.MIXTURE, (sampling.norm_share, 0.0), 3, ones)


def batch_factor(problem, method) -> float:
    """Cov of the mean of a batch over Cov of one draw: 1/B, times (n − B)/(n − 1) without replacement."""
    if method.batch_size == "full":
        return 0.0
    factor = 1.0 / method.batch_size
    if isinstance(method.sampling, WithoutReplacement):
        n = problem.n_terms
        factor *= (n - method.batch_size) / (n - 1) if n > 1 else 0.0
    return factor


def noise_variances(problem, method) -> np.ndarray:
    """Variance of the noise that the method adds to the gradient, (dim,)."""
    if method.noise is None:
        return np.zeros(problem.dim)
    method.noise.params(problem.dim)  # refuses a wrong number of scales
    variances = np.broadcast_to(method.noise.variance, problem.dim)
    if not np.isfinite(variances).all():
        raise NotApplicable(
            f"there is no limit with Brownian noise for {method.name} with noise {method.noise!r}: its variance is "
            "infinite, so that its sums do not become normal"
        )
    return variances


def by_terms(problem, sampling) -> bool:
    """Whether noise with a column for each term is cheaper than a Cholesky factor: n ≤ dim.

    Only draws that are independent have such columns. They cost n dim multiplications, not n dim²/2 + dim³/6, but a
    normal number each, and what a scheme or a density grid does for each column.
    """
    independent = sampling.independent and sampling.memoryless
    return independent and problem.n_terms <= _MOST_TERMS_PER_DIM * problem.dim


def parameters(problem, how: Drawn, *, amplitude, variances, rule=()) -> np.ndarray:
    """The parameters of the kernels, in the order of :mod:`dynsim._kernels.limit_terms`."""
    header = [amplitude, problem.n_terms, len(rule), how.n_scratch, *how.numbers]
    return np.concatenate([header, problem.weights, how.table, variances, rule, problem.params])
