"""The SDE that a chain follows for small step sizes."""

from dynsim import _check
from dynsim.methods import Method
from dynsim.methods.base import plain_sgd
from dynsim.problems import Problem
from dynsim.sde.model import SDE


def sde_limit(problem: Problem, method: Method) -> SDE:
    """The Itô SDE dΘ = −∇L(Θ) dt + √η Σ(Θ)^½ dW that a chain with step size η follows, t = η k.

    Σ is the covariance of the drawn, reweighted gradient: AY (3.4) for ``SGD``, AY (3.6) for ``RR``, AY §2.1 for
    fixed proportions. Σ^½ is its Cholesky factor, with zero columns where Σ is rank-deficient. The approximation is
    of first weak order in η for smooth losses; where wells and steps are both O(η) wide, as in AY §2.1, chain and SDE
    differ by orders of magnitude however small η is.

    Parameters
    ----------
    problem : Problem
    method : Method

    Returns
    -------
    SDE
        With ``noise_dim = dim``, and the kinks of the problem as ``breaks``.

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.sde_limit(ds.problems.two_valleys(), ds.SGD(step_size=0.04))
    >>> sde.drift(0.0, [0.1]).round(12).tolist(), sde.covariance(0.0, [0.1]).round(12).tolist()
    ([2.96], [[0.249696]])
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    plain_sgd("sde_limit", method, independent=False)
    drift, diffusion, params = problem.limit_fields(method)
    return SDE._from_fields(
        drift,
        diffusion,
        dim=problem.dim,
        noise_dim=problem.dim,
        params=params,
        breaks=problem.kinks,
        name=f"limit of {method.name} on {problem.name}, step size {method.step_size:g}",
    )
