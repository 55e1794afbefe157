"""AY Lemma 3.8: how far the SDE limit and the chain go from the gradient flow, measured beside the bound."""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.integrate import solve_ivp
from scipy.stats import beta

from dynsim import _check
from dynsim._typing import ArrayLike, Seed
from dynsim.chain import iterate
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD
from dynsim.problems import LinearModel, Problem
from dynsim.sde import integrate, sde_limit
from dynsim.theory.neighborhood import check_sgd, mean_and_stderr, thinned, time_step, traces

_TIMES = 100  # at which Tr Σ is looked at
_POINTS = 1000  # on the paths, whose Hessians are looked at
_LEVEL = 0.95  # of the intervals
_PRECISION = 1e-10  # of the gradient flow
_BETWEEN = 0.5825971579390107  # −ζ(½)/√(2π): how far Brownian motion rises above its largest value at whole times
_SHARE = 1 / 80  # of 1/B, for a step: Euler makes variances too large by a factor of up to 1/(1 − B dt/2), 0.6 %


@dataclass(frozen=True, eq=False)
class Exceedance:
    """How often sup‖Θ_t − φ_t‖ was above each δ, with 95 % intervals of Clopper and Pearson.

    Attributes
    ----------
    probability : ndarray, shape (m,)
        Share of the paths.
    low, high : ndarray, shape (m,)
        Where none of the paths was above, ``high`` is an upper limit.
    coarse : ndarray, shape (m,)
        The share as seen at every second time only. That of an SDE is close to ``probability`` where dt is short
        enough.
    distance : ndarray, shape (n_paths,)
        sup‖Θ_t − φ_t‖ of each path. For an SDE this is the largest distance at the times of the steps and what the
        supremum lies above that on average, 0.5826 s√dt: s² is the variance that the distance gains per time there.
    """

    probability: np.ndarray
    low: np.ndarray
    high: np.ndarray
    coarse: np.ndarray
    distance: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class FlowDeviation:
    """Measured deviation from the gradient flow, from :func:`dynsim.theory.lemma_3_8`.

    Attributes
    ----------
    deltas : ndarray, shape (m,)
        δ.
    sde, chain : Exceedance
        P(sup_{t≤T}‖Θ_t − φ_t‖ > δ) of the SDE limit, and of the chain itself at t = ηk.
    bound, bound_stderr : ndarray, shape (m,)
        η c' E∫Tr Σ dt, c' = 4e^{2BT}/δ²; above 1 it says nothing.
    trace_integral, trace_integral_stderr : float
        E∫₀ᵀ Tr Σ(Θ_t) dt.
    lipschitz : float
        B.
    certified : bool
        Whether B is given or known; else it is the largest curvature at points on the paths.
    settings : dict
        What made it.
    """

    deltas: np.ndarray
    sde: Exceedance
    chain: Exceedance
    bound: np.ndarray
    bound_stderr: np.ndarray
    trace_integral: float
    trace_integral_stderr: float
    lipschitz: float
    certified: bool
    settings: dict = field(repr=False)

    def plot(self, ax=None, **style):
        """Draw the probabilities with their intervals and the bound against δ; return the Axes."""
        from dynsim.plot import plot_deviation

        return plot_deviation(self, ax, **style)


def lemma_3_8(
    problem: Problem,
    method: SGD,
    *,
    x0: ArrayLike,
    t_end: float,
    deltas: ArrayLike,
    lipschitz: float | None = None,
    n_paths: int = 1000,
    dt: float | None = None,
    rng: Seed = None,
) -> FlowDeviation:
    """AY Lemma 3.8: P(sup_{t≤T}‖Θ_t − φ_t‖ > δ) ≤ η c' E∫₀ᵀ Tr Σ(Θ_t) dt, both sides measured.

    dΘ = −∇L dt + √η Σ(Θ)^½ dW and the gradient flow φ' = −∇L(φ) start at the same point. The paper leaves c' open; its
    proof, by Gronwall's and Doob's inequalities, gives c' = 4e^{2BT}/δ² for a gradient with the Lipschitz constant B.
    That is far above 1 in practice. So the lemma does not order two schemes by their traces: the measured
    probabilities may do so, or not, as the noise of the one with the smaller trace may lie in flatter directions.

    The supremum over all times of an SDE is estimated from that at the times of the steps, as by Broadie, Glasserman
    and Kou (1997): without that, the probabilities would be too small by a term of order √dt.

    Parameters
    ----------
    problem : Problem
    method : SGD
        With a constant step size η.
    x0 : array_like, shape (dim,), or a number
        Start.
    t_end : float
        T. The chain makes ⌊T/η⌋ steps.
    deltas : array_like, shape (m,), or a number
        δ, positive.
    lipschitz : float, optional
        B. By default the largest eigenvalue of Σ a_n c x_n x_nᵀ for linear models whose loss has curvatures up to c,
        Σ a_n B_n for problems that know constants B_n of their terms, else the largest curvature seen on the paths.
    n_paths : int, optional
        At least 2.
    dt : float, optional
        Step of the integration (Euler–Maruyama), at most 1/B; by default the longest up to η/4 and 1/(80 B) that
        divides ``t_end``. Where B is only seen on the paths, the default takes the largest curvature on the gradient
        flow for it. All steps of all paths are kept meanwhile. For the SDE φ is taken by the same steps, so that
        their errors cancel.
    rng : int, SeedSequence, Generator or None, optional

    Returns
    -------
    FlowDeviation

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    NotApplicable
        If the method is not SGD or has no SDE limit, the gradient jumps, or the gradient flow cannot be solved.
    TooLarge
        If the paths would not fit in memory.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])
    >>> found = ds.theory.lemma_3_8(problem, ds.SGD(0.01), x0=0.5, t_end=1.0, deltas=[0.1, 0.3], rng=0)
    >>> found.bound.round(1).tolist(), (found.sde.high < found.bound).all()
    ([29.6, 3.3], np.True_)
    """
    check_sgd("lemma_3_8", method)
    _check.instance("problem", problem, Problem, "a problem, such as problems.linear_model(X, y)")
    t_end, n_paths = _check.positive("t_end", t_end), _check.count("n_paths", n_paths, least=2)
    deltas = _check.array("deltas", np.atleast_1d(deltas), ndim=1)
    if deltas.size == 0 or not (deltas > 0).all():
        raise ArgumentError(f"deltas must be positive numbers, at least one, got {deltas.tolist()}")
    if problem.kink_planes.size:
        raise NotApplicable(f"lemma_3_8 needs a Lipschitz continuous gradient, that of {problem.name} jumps")
    given = None if lipschitz is None else _check.positive("lipschitz", lipschitz)
    start = _check.start("x0", x0, 1, problem.dim)[0]
    sde, eta = sde_limit(problem, method), method.step_size
    assert isinstance(eta, float)  # sde_limit refuses schedules
    if t_end < eta:
        raise ArgumentError(f"t_end must be at least the step size {eta:g}, got {t_end:g}")
    known = _known_lipschitz(problem)
    B = known if known is not None else given
    if B is None:
        B = _steepest(problem, _flow(problem, start, np.linspace(0.0, t_end, _TIMES)))
    dt = time_step(t_end, dt, eta / 4, B, _SHARE)
    run = integrate(sde, start, t_end, dt=dt, n_paths=n_paths, rng=rng)
    chain = iterate(problem, method, start, n_steps=math.floor(t_end / eta * (1 + 1e-12)), n_paths=n_paths, rng=rng)
    of_sde = _exceedance(run.x, _euler_flow(problem, start, np.diff(run.t)), deltas, sde, dt)
    of_chain = _exceedance(chain.x, _flow(problem, start, eta * chain.t), deltas)
    some = thinned(run.t.size, _TIMES)
    integral, stderr = mean_and_stderr(np.trapezoid(traces(sde, run.x[:, some]) / eta, run.t[some], axis=1))
    certified = known is not None or given is not None
    B = given if given is not None else B if certified else _seen_lipschitz(problem, run.x[:, some], dt)
    with np.errstate(over="ignore"):  # 0 times a factor above all numbers is 0
        factor = eta * 4 * np.exp(2 * B * t_end) / deltas**2
    return FlowDeviation(
        deltas,
        of_sde,
        of_chain,
        np.multiply(factor, integral, where=integral != 0, out=np.zeros_like(factor)),
        np.multiply(factor, stderr, where=stderr != 0, out=np.zeros_like(factor)),
        float(integral),
        float(stderr),
        B,
        certified,
        run.settings | {"problem": problem.name, "method": repr(method)},
    )


def _flow(problem, start, t):
    """φ at times t (m,), shape (m, dim)."""
    solution = solve_ivp(
        lambda _, x: -problem.gradient(x),
        (0.0, float(t[-1])),
        start,
        method="LSODA",
        t_eval=np.minimum(t, t[-1]),
        rtol=_PRECISION,
        atol=_PRECISION * max(1.0, float(np.abs(start).max())),
    )
    if not solution.success:
        raise NotApplicable(f"the gradient flow from {start.tolist()} cannot be solved: {solution.message}")
    return solution.y.T


def _euler_flow(problem, start, steps):
    """φ by Euler's steps (m,), shape (m + 1, dim)."""
    x = [start]
    for h in steps:
        x.append(x[-1] - h * problem.gradient(x[-1]))
    return np.array(x)


def _exceedance(x, flow, deltas, sde=None, dt=0.0):
    n = len(x)
    farthest = _farthest(x, flow, sde, dt)
    above = (farthest[:, None] > deltas).sum(axis=0)
    tail = (1 - _LEVEL) / 2
    low = np.where(above > 0, beta.ppf(tail, np.maximum(above, 1), n - above + 1), 0.0)
    high = np.where(above < n, beta.ppf(1 - tail, above + 1, np.maximum(n - above, 1)), 1.0)
    coarse = (_farthest(x[:, ::2], flow[::2], sde, 2 * dt)[:, None] > deltas).mean(axis=0)
    return Exceedance(above / n, low, high, coarse, farthest)


def _farthest(x, flow, sde, dt):
    """sup‖Θ − φ‖ of each path; of an SDE with what lies between times that are dt apart."""
    with np.errstate(invalid="ignore", over="ignore"):
        distances = np.linalg.norm(x - flow, axis=-1)
    distances = np.where(np.isnan(distances), np.inf, distances)
    when, paths = distances.argmax(axis=1), np.arange(len(x))
    farthest = distances[paths, when]
    moved = (farthest > 0) & np.isfinite(farthest)
    if sde is None or not moved.any():
        return farthest
    points = x[paths, when][moved]
    outward = (points - flow[when[moved]]) / farthest[moved, None]
    noise = np.einsum("ij,ijk->ik", outward, sde.diffusion(0.0, points))
    farthest[moved] += _BETWEEN * np.sqrt(dt) * np.linalg.norm(noise, axis=-1)
    return farthest


def _known_lipschitz(problem):
    """B where it is known, else None."""
    if problem.lipschitz is None:
        return None
    if not isinstance(problem, LinearModel):
        return float(problem.weights @ problem.lipschitz)
    size = np.linalg.norm(problem.X, axis=1)
    sharpest = np.divide(problem.lipschitz, size**2, out=np.zeros_like(size), where=size > 0)
    return float(np.linalg.eigvalsh((problem.X.T * (problem.weights * sharpest)) @ problem.X)[-1])


def _seen_lipschitz(problem, x, dt):
    """The largest curvature on the paths; refuses steps that are too long for it."""
    points = x.reshape(-1, problem.dim)
    B = _steepest(problem, points[thinned(len(points), _POINTS)])
    if B * dt > 1:
        raise ArgumentError(
            f"dt must be at most the inverse of the largest curvature on the paths, {B:.3g}, but is {dt:.3g}: give a "
            "shorter dt"
        )
    return B


def _steepest(problem, points):
    """The largest size of an eigenvalue of ∇²L at points (m, dim); inf where it is not a number."""
    with np.errstate(invalid="ignore", over="ignore"):
        found = [problem.hessian(point) for point in points]
    if not np.isfinite(found).all():
        return math.inf
    return float(np.abs(np.linalg.eigvalsh(found)).max())
