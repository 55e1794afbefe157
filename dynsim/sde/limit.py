"""The SDE that a chain follows for small step sizes."""

import numpy as np

from dynsim import _check
from dynsim._fingerprint import fingerprint
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import (
    SGD,
    Adam,
    CClip,
    Clipped,
    GClip,
    HeavyBall,
    Method,
    Nesterov,
    Normalized,
    RMSProp,
)
from dynsim.problems import Problem
from dynsim.schedules import Schedule
from dynsim.sde.limit_fields import batch_factor, by_terms, drawn, noise_variances, parameters
from dynsim.sde.model import SDE


def sde_limit(problem: Problem, method: Method, *, order: int = 1) -> SDE:
    """The Itô SDE that a chain follows for small step sizes, in the time t = ηk of k steps of size η.

    Σ is the covariance of the gradient g that a step is made with: that of the drawn, reweighted gradient (AY (3.4)
    for ``SGD``, AY (3.6) for ``RR``, AY §2.1 for fixed proportions), divided by the batch size (and times
    (n − B)/(n − 1) for batches without replacement; 0 for ``batch_size="full"``), plus the variances of the method's
    ``noise``.

    * ``SGD``, order 1: dΘ = −∇L dt + √η Σ(Θ)^½ dW.
    * ``SGD``, order 2: dΘ = −∇(L + (η/4)‖∇L‖²) dt + √η Σ(Θ)^½ dW; Li, Tai & E (2017), Theorem 1.
    * ``GClip``, ``Clipped``, ``Normalized``, ``CClip``, which make a step φ(g) of a single independent draw:
      dΘ = −E φ(g) dt + √η Cov(φ(g))^½ dW, by a sum over all terms.
    * ``HeavyBall``: X = (Θ, V), dΘ = −V dt, dV = (∇L(Θ) − (1 − μ) V)/η dt + η^{−½} Σ(Θ)^½ dW; Li, Tai & E (2017),
      §4.2. ``Nesterov``: the same with ∇L and Σ at Θ − ημV, where it takes its gradient. V is the method's v, that is
      (θ_{k−1} − θ_k)/η; start it at 0.
    * ``RMSProp``: X = (Θ, V), dΘ = −(∇L dt + √η Σ^½ dW)/(ε + √V), dV = (1 − α)/η (E g² − V) dt, where
      E g_j² = Σ_jj + (∂_jL)²; Malladi et al. (2022), Theorem 4.2. V has to start above 0: of 0, where the method
      starts, the limit knows nothing.
    * ``Adam``: X = (Θ, M, V), dΘ = −M̂/(ε + √V̂) dt, dM = (1 − β₁)/η (∇L dt + √η Σ^½ dW − M dt),
      dV = (1 − β₂)/η (E g² − V) dt, M̂ = M/(1 − e^{−(1 − β₁)t/η}), V̂ = V/(1 − e^{−(1 − β₂)t/η}); Malladi et al.
      (2022), Theorem 4.5. Start M and V at 0.

    The order is the weak one for smooth losses: over a fixed time, expectations differ by O(η) or O(η²); where wells
    and steps are both O(η) wide, as in AY §2.1, chain and SDE differ by orders of magnitude however small η is.
    With momentum it is O(η) if μ is fixed, and O(√η) over times k√η if 1 − μ ~ √η. For RMSProp and Adam there are two
    regimes: Σ fixed and 1 − α, 1 − β ~ η, Ma, Wu & E (2020), where the noise is a small correction; and Malladi et
    al.'s, where it dominates, Σ ~ 1/η² and 1 − α, 1 − β ~ η² over η² k steps, with an error O(η²) if g is of low
    skewness (their time is ηt, and they leave out the ∇L² of E g², which is then small).

    Parameters
    ----------
    problem : Problem
    method : Method
        With a constant step size and a memoryless sampling scheme.
    order : {1, 2}, optional
        2 is for ``SGD`` on losses without kinks. The product ∇²L ∇L is a difference of gradients of fourth order.

    Returns
    -------
    SDE
        Of dimension ``dim``, or with what the method remembers 2·``dim`` or 3·``dim`` (``dim`` + 1 and 2·``dim`` + 1
        with ``elementwise=False``). Σ^½ has a column for each term where there are no more terms than dimensions and
        they are drawn independently (and one more for each coordinate, if there is ``noise``); else it is a Cholesky
        factor, with zero columns where Σ is rank-deficient. ``breaks`` are the kinks of the problem.

    Raises
    ------
    ArgumentError
        If ``order`` is neither 1 nor 2.
    NotApplicable
        If the method has no such limit: a schedule, a sampling scheme with a memory, noise of infinite variance, a rule
        that is not among these; if it has none of order 2, or the loss has kinks.

    Examples
    --------
    >>> import dynsim as ds
    >>> sde = ds.sde_limit(ds.problems.two_valleys(), ds.SGD(step_size=0.04))
    >>> sde.drift(0.0, [0.1]).round(12).tolist(), sde.covariance(0.0, [0.1]).round(12).tolist()
    ([2.96], [[0.249696]])
    >>> sde = ds.sde_limit(ds.problems.quadratic([2.0]), ds.SGD(step_size=0.1), order=2)
    >>> sde.drift(0.0, [1.0]).round(12).tolist()  # −(1 + ηλ/2) λθ
    [-2.2]
    """
    _check.instance("problem", problem, Problem, "a problem, such as problems.two_valleys()")
    _check.instance("method", method, Method, "a method, such as SGD(step_size=0.04)")
    if isinstance(order, bool) or order not in (1, 2):
        raise ArgumentError(f"order must be 1 or 2, got {order!r}")
    _check_method(problem, method, order)
    regions = problem.limit_fields(method) if order == 1 and type(method) is SGD else None
    if regions is not None:
        drift, diffusion, params = regions
        dim, noise_dim = problem.dim, 1
    else:
        drift, diffusion, params, dim, noise_dim = _LIMITS[type(method)](problem, method, order)
    sde = SDE._from_fields(
        drift,
        diffusion,
        dim=dim,
        noise_dim=noise_dim,
        params=params,
        breaks=problem.kinks if dim == 1 else (),
        name=f"limit of {method.name} on {problem.name}, step size {method.step_size:g}"
        + (", order 2" if order == 2 else ""),
    )
    sde._formulas = fingerprint(sde.name, problem.fingerprint(), method.sampling)
    return sde


def _check_method(problem, method, order):
    """Refuse what has no limit, or none of this order."""
    if type(method) not in _LIMITS:
        known = ", ".join(kind.__name__ for kind in _LIMITS)
        raise NotApplicable(f"sde_limit is for SGD and other methods whose limit is known ({known}), got {method.name}")
    for name in ("step_size", "momentum", "threshold"):
        value = getattr(method, name, None)
        if isinstance(value, Schedule):
            raise NotApplicable(f"the limit of {method.name} needs a constant {name.replace('_', ' ')}, got {value!r}")
    if not method.sampling.memoryless:
        raise NotApplicable(
            f"sde_limit needs steps that do not depend on the draws before, got {method.sampling!r} for {method.name}"
        )
    method.check(problem)
    if order == 2 and type(method) is not SGD:
        raise NotApplicable(f"the limit of {method.name} is known to order=1 only; order=2 is for SGD")
    if order == 2 and problem.kink_planes.size:
        raise NotApplicable(f"order=2 is for smooth losses, and the gradient of {problem.name} jumps")


def _noise(problem, method, unit):
    """How a step draws, the formula of the noise, its columns, and what the kernels are told, but for the rule.

    ``unit`` is what the covariance of the gradient is multiplied by.
    """
    from dynsim._kernels import limit_sums

    factor = batch_factor(problem, method)
    how = drawn(problem, method.sampling)
    variances = noise_variances(problem, method)
    if factor == 0:
        add, noise_dim = limit_sums.add_constant, problem.dim
    elif by_terms(problem, method.sampling):
        add, noise_dim = limit_sums.add_by_terms, problem.n_terms + (problem.dim if variances.any() else 0)
    else:
        add, noise_dim = limit_sums.add_by_factor, problem.dim
    return how, add, noise_dim, {"amplitude": unit * factor, "variances": unit * variances}


def _of_sgd(problem, method, order):
    from dynsim._kernels import limit

    how, add, noise_dim, known = _noise(problem, method, method.step_size)
    params = parameters(problem, how, **known, rule=[method.step_size] if order == 2 else [])
    drift = (limit.limit_drift if order == 1 else limit.second_order_drift)(how.terms)
    return drift, limit.limit_diffusion(how.terms, how.scheme, add), params, problem.dim, noise_dim


def _of_momentum(problem, method, order):
    from dynsim._kernels import limit_memory

    how, add, noise_dim, known = _noise(problem, method, 1 / method.step_size)
    ahead = 1.0 if isinstance(method, Nesterov) else 0.0
    params = parameters(problem, how, **known, rule=[method.step_size, method.momentum, ahead])
    drift = limit_memory.momentum_drift(how.terms)
    return drift, limit_memory.momentum_diffusion(how.terms, how.scheme, add), params, 2 * problem.dim, noise_dim


def _of_rmsprop(problem, method, order):
    from dynsim._kernels import limit_memory

    eta = method.step_size
    how, add, noise_dim, known = _noise(problem, method, eta)
    params = parameters(problem, how, **known, rule=[eta, method.eps, 1 / eta, 1 - method.alpha])
    drift = limit_memory.rmsprop_drift(how.terms, how.scheme, method.elementwise)
    diffusion = limit_memory.rmsprop_diffusion(how.terms, how.scheme, add, method.elementwise)
    return drift, diffusion, params, problem.dim + (problem.dim if method.elementwise else 1), noise_dim


def _of_adam(problem, method, order):
    from dynsim._kernels import limit_memory

    eta = method.step_size
    unit = (1 - method.beta1) ** 2 / eta
    how, add, noise_dim, known = _noise(problem, method, unit)
    rule = [eta, method.eps, 1 / unit, 1 - method.beta2, 1 - method.beta1]
    params = parameters(problem, how, **known, rule=rule)
    drift = limit_memory.adam_drift(how.terms, how.scheme, method.elementwise)
    diffusion = limit_memory.adam_diffusion(how.terms, how.scheme, add, method.elementwise)
    return drift, diffusion, params, 2 * problem.dim + (problem.dim if method.elementwise else 1), noise_dim


def _of_moved(problem, method, order):
    from dynsim._kernels import limit, limit_moves, limit_sums

    if method.batch_size != 1 or method.noise is not None or not method.sampling.independent:
        raise NotApplicable(
            f"the limit of {method.name} is a sum over the terms, so for one term that is drawn independently by "
            f"p_n(θ), without noise added to it, got {method!r}"
        )
    how = drawn(problem, method.sampling, two_passes=True)
    move, rule = {
        Normalized: lambda: (limit_moves.normalize, [method.beta]),
        Clipped: lambda: (limit_moves.clip, [method.gamma]),
        GClip: lambda: (limit_moves.clip, [method.threshold]),
        CClip: lambda: (
            limit_moves.clip_coordinates,
            method.threshold * np.broadcast_to(1.0 if method.scales is None else method.scales, problem.dim),
        ),
    }[type(method)]()
    scheme = (*how.scheme[:-1], move)
    separate = by_terms(problem, method.sampling)
    add = limit_sums.add_by_terms if separate else limit_sums.add_by_factor
    params = parameters(problem, how, amplitude=method.step_size, variances=np.zeros(problem.dim), rule=rule)
    noise_dim = problem.n_terms if separate else problem.dim
    return (
        limit.moved_drift(how.terms, scheme),
        limit.limit_diffusion(how.terms, scheme, add),
        params,
        problem.dim,
        noise_dim,
    )


_LIMITS = {
    SGD: _of_sgd,
    HeavyBall: _of_momentum,
    Nesterov: _of_momentum,
    RMSProp: _of_rmsprop,
    Adam: _of_adam,
    GClip: _of_moved,
    CClip: _of_moved,
    Clipped: _of_moved,
    Normalized: _of_moved,
}
