"""The stationary covariance around a minimum that does not fit all terms."""

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results.fluctuations import StationaryFluctuations
from dynsim.stability.dynamics import Draws, Dynamics
from dynsim.stability.linearized import Terms, terms_at
from dynsim.stability.mean_square import Coupling, deterministic, mean_square, response

_FLAT = 1e-8  # share of curvature or noise on the null space of H that rounding makes


def stationary_covariance(
    problem_or_terms: Problem | Terms, method: Method, at: ArrayLike | None = None, *, step_sizes: ArrayLike
) -> StationaryFluctuations:
    """The covariance of θ − θ* in the long run near a minimum θ* where the ∇l_n are not all zero.

    The dynamics is linearized, A being the drawn estimate of H and ξ that of ∇L(θ*) = 0: for SGD
    w' = (I − η A) w − η ξ. Since E w = 0 in the long run and the draws do not depend on w, what A and ξ have in common
    drops out, and S = E[w wᵀ] solves S = E[(I − ηA) S (I − ηA)] + η² E[ξ ξᵀ] exactly; the same with the two points of a
    method with momentum. It is finite below the mean-square threshold. For least squares the dynamics *is* linear; else
    this is for fluctuations that stay where the Hessians change little. For small η it is η ``leading``, the solution
    of HX + XH = E[ξ ξᵀ]/(1 − μ).

    With probabilities by gradient norm the draws depend on w. Then only the leading order is known, with those at θ*,
    and given for all η below 2/λ_max(H) (and its like for momentum): ``exact`` is False. It is meant for small η: far
    from θ* all rows are fitted alike, so nothing is finite beyond the mean-square range of the rows alone, which
    ``step_size_range(stability.terms(gradients=…), …)`` gives.

    Parameters
    ----------
    problem_or_terms : Problem or Terms
        Terms from :func:`dynsim.stability.terms`, or a problem with the minimum ``at``. The H_n may be indefinite, H
        not.
    method : Method
        SGD, HeavyBall or Nesterov; its own step size plays no part.
    at : array_like, shape (dim,), optional
        The minimum θ* of a problem.
    step_sizes : array_like, shape (m,), or a number
        The η > 0.

    Returns
    -------
    StationaryFluctuations

    Raises
    ------
    ArgumentError
        If ``at`` is missing or not stationary, or a step size is not positive.
    NotApplicable
        If θ* is not a minimum, or noise or curvature of single terms has a part on the null space of H, where nothing
        pulls back: then there is no stationary covariance.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [-1.0, 1.0])  # l_n = (θ ∓ 1)²/2
    >>> found = ds.stability.stationary_covariance(problem, ds.SGD(0.1), [0.0], step_sizes=[0.1, 1.0, 2.0])
    >>> found.variance.round(6).tolist()  # η/(2 − η)
    [0.052632, 1.0, inf]
    """
    found = terms_at(problem_or_terms, at, "problem_or_terms")
    eta = _check.array("step_sizes", np.atleast_1d(step_sizes), ndim=1)
    if not (eta > 0).all():
        raise ArgumentError(f"step_sizes must be positive, the least is {eta.min():g}")
    if found.features is None and (least := np.linalg.eigvalsh(found.hessian)[0]) < -_FLAT * found.sizes.max():
        raise NotApplicable(f"at is not a minimum: the Hessian there has the eigenvalue {least:.3g}")
    dynamics = Dynamics.of(found, method)
    noise = _noise(found, dynamics)
    exact = dynamics.draws.second is not None
    values, basis, unit = dynamics.curvatures, dynamics.basis, dynamics.unit
    first = noise / (values[:, None] + values) / (1 - dynamics.momentum)
    end = (mean_square if exact else deterministic)(dynamics).lower
    coupling = Coupling(dynamics) if exact else None
    covariance = np.full((eta.size, found.dim, found.dim), np.inf)
    for k in np.flatnonzero(eta * unit < end):
        scaled = float(eta[k]) * unit
        S = scaled * first if coupling is None else _covariance(coupling, scaled, noise)
        covariance[k] = basis @ S @ basis.T
    settings = {"problem": found.name, "method": method, "at": found.at, "null_space": found.dim - dynamics.rank}
    threshold = end / unit if exact else float("nan")
    return StationaryFluctuations(eta, covariance, threshold, unit * basis @ first @ basis.T, exact, settings)


def _covariance(coupling, eta, noise):
    """Of w: 1/G − C maps the S of the point where A acts to E[ξ ξᵀ]."""
    return coupling.solve(coupling.weight(eta), noise) / response(coupling.dynamics, eta)[1]


def _noise(found, dynamics):
    """E[ξ ξᵀ] in the coordinates of the dynamics (r, r), if nothing of it is lost there."""
    basis, unit = dynamics.basis, dynamics.unit
    flat = np.eye(found.dim) - basis @ basis.T if basis.shape[0] > basis.shape[1] else np.zeros((0, found.dim))
    if found.features is None and np.abs(found.hessians @ flat.T).max(initial=0) > _FLAT * found.sizes.max():
        raise NotApplicable("H is singular, and on its null space single terms are curved: nothing pulls back there")
    if found.gradients is None:
        return np.zeros((dynamics.rank, dynamics.rank))
    g = found.gradients - found.weights @ found.gradients  # what is not zero of the mean is rounding
    root = np.sqrt(_second(found.weights, g, dynamics.draws))[:, None] * g
    if np.linalg.norm(root @ flat.T) > _FLAT * np.linalg.norm(root):
        raise NotApplicable(
            "H is singular, and the gradients at θ* have a part on its null space of dimension "
            f"{found.dim - dynamics.rank}: there the covariance grows without bound"
        )
    projected = root @ basis / unit
    return projected.T @ projected


def _second(a: np.ndarray, g: np.ndarray, draws: Draws) -> np.ndarray:
    """The numbers with E[ξ ξᵀ] = Σ second_n g_n g_nᵀ for gradients g (n, dim), Σ a_n g_n = 0."""
    if draws.second is not None:
        return draws.second
    size = a * np.linalg.norm(g, axis=1)
    p = draws.share * size / size.sum() + (1 - draws.share) * a
    return np.divide(a**2, p * draws.batch, out=np.zeros_like(a), where=p > 0)
