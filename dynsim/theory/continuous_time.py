"""AY Remark 3.6: E‖Θ_t − θ*‖² of the SDE limit near a minimum, its bound as printed and corrected."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike, Seed
from dynsim.errors import ArgumentError
from dynsim.methods import SGD
from dynsim.problems import Problem
from dynsim.sde import integrate, schemes, sde_limit
from dynsim.theory.neighborhood import Ball, check_sgd, mean_and_stderr, time_step, traces

_SAVES = 200  # times that are looked at
_SIGMAS = 4.0  # standard errors by which an inequality must be violated, so that 200 times show it by chance rarely
_ROUNDING = 1e-12
_SHARE = 0.1  # of the time of the steepest direction, 1/λ_max, for a step: then the variance is right to 0.3 %
_SAFETY = 1.5  # factor on the leading term of the error of the steps


@dataclass(frozen=True, eq=False)
class MeanSquareDecay:
    """E‖Θ_t − θ*‖² of an SDE limit beside its bounds, from :func:`dynsim.theory.remark_3_6`.

    All standard errors are of the mean over the paths; those of the margins of the difference along each path.

    Attributes
    ----------
    t : ndarray, shape (m,)
        Times, from 0.
    mean_square, stderr : ndarray, shape (m,)
        E‖Θ_t − θ*‖².
    trace, trace_stderr : ndarray, shape (m,)
        E Tr Σ(Θ_t).
    bound, bound_stderr : ndarray, shape (m,)
        The corrected bound of ``mean_square``.
    margin, margin_stderr : ndarray, shape (m,)
        ``bound`` − ``mean_square``.
    step_error : ndarray, shape (m,)
        What the steps of the integration may add to ``mean_square``: 1.5 λ ∫₀ᵗ e^{−2c₀(t−s)} (λ dt)^β E‖Θ_s − θ*‖² ds,
        β the weak order of the scheme, λ the largest eigenvalue of ∇²L over the ball. It matters where there is so
        little noise that the standard errors are below it.
    printed_left, printed_right : ndarray, shape (m,)
        Both sides of the printed inequality: ∫₀ᵗ E‖Θ_s − θ*‖² ds and what the paper bounds it by.
    printed_margin, printed_margin_stderr : ndarray, shape (m,)
        ``printed_right`` − ``printed_left``.
    curvature : float
        c₀, the least eigenvalue of ∇²L over the ball.
    exact : bool
        Whether c₀ is exact, or that over 513 points of the ball.
    stayed : float
        Share of the paths that were in the ball at all these times, which the remark assumes of all.
    settings : dict
        What made it.
    """

    t: np.ndarray
    mean_square: np.ndarray
    stderr: np.ndarray
    trace: np.ndarray
    trace_stderr: np.ndarray
    bound: np.ndarray
    bound_stderr: np.ndarray
    margin: np.ndarray
    margin_stderr: np.ndarray
    step_error: np.ndarray
    printed_left: np.ndarray
    printed_right: np.ndarray
    printed_margin: np.ndarray
    printed_margin_stderr: np.ndarray
    curvature: float
    exact: bool
    stayed: float
    settings: dict = field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether the corrected bound is nowhere violated by more than ``step_error`` and 4 standard errors."""
        return self.worst >= -_SIGMAS

    @property
    def printed_holds(self) -> bool:
        """Whether the printed inequality is nowhere violated by more than 4 standard errors."""
        return self.printed_worst >= -_SIGMAS

    @property
    def worst(self) -> float:
        """The least of (``margin`` + ``step_error``)/``margin_stderr``."""
        return _least(self.margin + self.step_error, self.margin_stderr, self.bound)

    @property
    def printed_worst(self) -> float:
        """The least of ``printed_margin``/``printed_margin_stderr``."""
        return _least(self.printed_margin, self.printed_margin_stderr, self.printed_right)

    def plot(self, ax=None, **style):
        """Draw the means with a band of 2 standard errors, and both inequalities; return the Axes."""
        from dynsim.plot import plot_mean_square

        return plot_mean_square(self, ax, **style)


def _least(margin, stderr, scale):
    real = np.abs(margin) > _ROUNDING * np.abs(scale)  # the start, where both sides are the same number, does not count
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.min(margin / stderr, where=real, initial=np.inf))


def remark_3_6(
    problem: Problem,
    method: SGD,
    at: ArrayLike,
    *,
    x0: ArrayLike,
    t_end: float,
    radius: float | None = None,
    n_paths: int = 1000,
    dt: float | None = None,
    scheme: str = "platen",
    rng: Seed = None,
) -> MeanSquareDecay:
    """AY Remark 3.6: how fast dΘ = −∇L dt + √η Σ(Θ)^½ dW comes near a minimum in mean square; a bound, and its check.

    With r = ‖Θ − θ*‖ and (x − y)·(∇L(x) − ∇L(y)) ≥ c₀‖x − y‖² in a ball that paths do not leave, Itô's formula has
    d/dt E r² = −2 E[(Θ − θ*)·∇L] + η E Tr Σ, so that

    * corrected: E r_t² ≤ e^{−2c₀t} r_0² + η ∫₀ᵗ e^{−2c₀(t−s)} E Tr Σ(Θ_s) ds.

    The paper takes the formula for ½r² as one for r²; what it comes to,

    * as printed: ∫₀ᵗ E r_s² ds ≤ ∫₀ᵗ e^{−c₀(t−s)} (r_0² + (η/2) ∫₀ˢ E Tr Σ(Θ_u) du) ds,

    is false: for additive noise σ² and L = λθ²/2, started at the minimum, the left side exceeds the right one by
    ησ²/(4λ²) for large t, and is twice as large for small t.

    Parameters
    ----------
    problem : Problem
    method : SGD
        With a constant step size η.
    at : array_like, shape (dim,)
        The minimum θ*.
    x0 : array_like, shape (dim,), or a number
        Start.
    t_end : float
    radius : float, optional
        Of the ball; twice the distance of the start by default.
    n_paths : int, optional
        At least 2.
    dt : float, optional
        Step of the integration, at most 1/λ, λ the largest eigenvalue of ∇²L over the ball; by default the longest up
        to η/2 and 1/(10 λ) that divides ``t_end``.
    scheme : str, optional
        Of the integration, of weak order 2 by default.
    rng : int, SeedSequence, Generator or None, optional

    Returns
    -------
    MeanSquareDecay
        Its integrals over time are of linear interpolations between up to 201 times.

    Raises
    ------
    ArgumentError
        If θ* is not stationary, or an argument is out of its range.
    NotApplicable
        If the method is not SGD or has no SDE limit, or L is not strongly convex in the ball.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])  # additive noise of variance 1, c₀ = 1
    >>> found = ds.theory.remark_3_6(problem, ds.SGD(0.1), [0.0], x0=0.0, t_end=4.0, radius=3.0, rng=0)
    >>> found.holds, found.printed_holds
    (True, False)
    """
    check_sgd("remark_3_6", method)
    t_end, n_paths = _check.positive("t_end", t_end), _check.count("n_paths", n_paths, least=2)
    _check.instance("problem", problem, Problem, "a problem, such as problems.linear_model(X, y)")
    start = _check.start("x0", x0, 1, problem.dim)[0]
    center = _check.start("at", at, 1, problem.dim)[0]
    distance = float(np.linalg.norm(start - center))
    if radius is None and distance == 0:
        raise ArgumentError("radius must be given where x0 is θ* itself: the ball that paths stay in")
    ball = Ball.make(problem, center, 2 * distance if radius is None else radius)
    if distance > ball.radius:
        raise ArgumentError(f"x0 must lie within the radius {ball.radius:g} of θ*, it is {distance:g} away")
    c0 = ball.require_convex()
    sde, eta = sde_limit(problem, method), method.step_size
    assert isinstance(eta, float)  # sde_limit refuses schedules
    dt = time_step(t_end, dt, eta / 2, ball.sharpness, _SHARE)
    save_every = max(1, round(t_end / dt) // _SAVES)
    run = integrate(sde, start, t_end, dt=dt, scheme=scheme, n_paths=n_paths, rng=rng, save_every=save_every)
    settings = run.settings | {"problem": problem.name, "method": repr(method), "radius": ball.radius}
    relative = (ball.sharpness * dt) ** schemes[scheme].weak_order
    error = _SAFETY * ball.sharpness * relative
    return _both_bounds(run.t, run.x - center, traces(sde, run.x) / eta, eta, c0, error, ball, settings)


def _both_bounds(t, away, trace, eta, c0, error, ball, settings):
    """From Θ − θ* (n_paths, m, dim) and Tr Σ (n_paths, m) at the times t (m,)."""
    squares = (away**2).sum(axis=-1)
    first = squares[0, 0]
    bound = np.exp(-2 * c0 * t) * first + eta * _damped(t, trace, 2 * c0)
    left = _damped(t, squares, 0.0)
    right = _damped(t, first + eta / 2 * _damped(t, trace, 0.0), c0)
    mean, stderr = mean_and_stderr(squares)
    return MeanSquareDecay(
        t,
        mean,
        stderr,
        *mean_and_stderr(trace),
        *mean_and_stderr(bound),
        *mean_and_stderr(bound - squares),
        error * _damped(t, mean, 2 * c0),
        mean_and_stderr(left)[0],
        mean_and_stderr(right)[0],
        *mean_and_stderr(right - left),
        c0,
        ball.exact,
        float((np.sqrt(squares) <= ball.radius).all(axis=1).mean()),
        settings,
    )


def _damped(t, values, rate):
    """∫₀ᵗ e^{−rate (t−s)} f(s) ds at the times t (m,), of f linear between its values (..., m)."""
    h = np.diff(t)
    if rate == 0:
        decay, earlier, later = np.ones_like(h), h / 2, h / 2
    else:
        whole = -np.expm1(-rate * h) / rate  # ∫ e^{−rate u} du
        decay, later = np.exp(-rate * h), (h - whole) / (rate * h)
        earlier = whole - later
    result = np.zeros(values.shape)
    for i in range(h.size):
        step = earlier[i] * values[..., i] + later[i] * values[..., i + 1]
        result[..., i + 1] = decay[i] * result[..., i] + step
    return result
