"""AY Theorem 3.4: the local convergence of SGD and RR with decreasing step sizes, its sharp constants, and runs."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike, Seed
from dynsim.chain import iterate
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import SGD
from dynsim.observers import Custom
from dynsim.problems import Problem
from dynsim.schedules import Polynomial
from dynsim.theory.neighborhood import Ball, check_sgd, mean_and_stderr

_RECORDS = 60  # steps that are looked at, evenly on a logarithmic scale
_FITS = 1e-20  # of Σ a_n σ_n²: a trace of Σ(θ*) below is rounding


@dataclass(frozen=True, eq=False)
class LocalConvergence:
    """How fast a method converges to a minimum, from :func:`dynsim.theory.theorem_3_4`.

    Steps are numbered as in AY: θ_1 is the start.

    Attributes
    ----------
    exponent : float
        p of the step sizes γ/(k + m)^p.
    alpha : float
        α, the least eigenvalue of ∇²L over the ball.
    sigma_squared : ndarray, shape (n_terms,)
        σ_n², the suprema of ‖∇l_n‖² over the ball.
    second_moment : float
        S, a bound of E‖V‖² over the ball, V the estimated gradient.
    printed : float
        Coefficient of k^−p in AY (3.21)–(3.24), 1/(1 − δ) included; NaN for other schemes and for batches, which the
        theorem is not about, and where it does not apply.
    improved : float
        The same with S in place of the paper's sup σ_n² or mean σ_n².
    sharp : float
        lim k^p E‖θ_k − θ*‖² for the dynamics linearized at θ*; 0 where θ* fits all terms, so that the convergence is
        faster than k^−p; NaN where there is no such limit.
    applies : bool
        Whether the theorem's conditions on p, α and γ hold.
    reason : str
        What does not hold.
    exact : bool
        Whether α and σ_n² are exact; else they are extremes over 513 points of the ball, sampled and not certified.
    problem, method, at, radius, delta
        As given.
    """

    exponent: float
    alpha: float
    sigma_squared: np.ndarray = field(repr=False)
    second_moment: float
    printed: float
    improved: float
    sharp: float
    applies: bool
    reason: str
    exact: bool
    problem: Problem = field(repr=False)
    method: SGD = field(repr=False)
    at: np.ndarray = field(repr=False)
    radius: float
    delta: float

    def printed_bound(self, k: ArrayLike) -> np.ndarray:
        """AY (3.21)–(3.24) at steps k ≥ 1, without their o(k^−p)."""
        return self.printed / _numbers(k) ** self.exponent

    def bound(self, k: ArrayLike) -> np.ndarray:
        """The same with ``improved``."""
        return self.improved / _numbers(k) ** self.exponent

    def asymptote(self, k: ArrayLike) -> np.ndarray:
        """The leading term of E‖θ_k − θ*‖²."""
        return self.sharp / _numbers(k) ** self.exponent

    def recursion(self, k: ArrayLike, x0: ArrayLike) -> np.ndarray:
        """A bound of E[‖θ_k − θ*‖²; E_k] for each k ≥ 1, nothing left out: AY (3.40) from the start, with S.

        D_{k+1} = max(0, 1 − 2αη_k) D_k + η_k² S, D_1 = ‖x0 − θ*‖². E_k says that no θ_l, l ≤ k, has left the ball.
        """
        k = _numbers(k).astype(np.int64)
        start = self._start(x0)
        assert isinstance(self.method.step_size, Polynomial)
        eta = self.method.step_size(np.arange(int(k.max()) - 1))
        factors, added = np.maximum(0.0, 1 - 2 * self.alpha * eta), eta**2 * self.second_moment
        values = [float(((start - self.at) ** 2).sum())]
        for factor, addend in zip(factors.tolist(), added.tolist(), strict=True):
            values.append(factor * values[-1] + addend)
        return np.array(values)[k - 1]

    def simulate(self, *, x0: ArrayLike, n_steps: int, n_paths: int = 1000, rng: Seed = None) -> "LocalConvergenceRun":
        """Run the method from a point of the ball and measure E‖θ_k − θ*‖².

        Parameters
        ----------
        x0 : array_like, shape (dim,), or a number
            In the ball.
        n_steps : int
        n_paths : int, optional
            At least 2.
        rng : int, SeedSequence, Generator or None, optional

        Returns
        -------
        LocalConvergenceRun
        """
        n_steps, n_paths = _check.count("n_steps", n_steps), _check.count("n_paths", n_paths, least=2)
        start = self._start(x0)
        steps = np.unique(np.rint(np.geomspace(1, n_steps + 1, _RECORDS)).astype(np.int64)) - 1
        tally = [1.0, self.radius**2, 0.0, steps.size, *self.at, *steps, *np.full(steps.size, np.inf)]
        seen = {"distances": Custom(_record, tally)}
        run = iterate(
            self.problem, self.method, start, n_steps=n_steps, n_paths=n_paths, rng=rng, save_every=None, observe=seen
        )
        steps = steps[steps <= run.t[-1]]  # after Ctrl-C
        squares = run.observed["distances"][:, -int(tally[3]) :][:, : steps.size]
        stayed = run.observed["distances"][:, 0] == 1.0
        mean, stderr = mean_and_stderr(squares)
        kept = squares[stayed] if stayed.any() else np.full((1, steps.size), np.nan)
        conditional, conditional_stderr = mean_and_stderr(kept) if stayed.any() else (kept[0], kept[0])
        bound = self.recursion(steps + 1, start) if self.alpha > 0 else np.full(steps.size, np.nan)
        return LocalConvergenceRun(
            steps + 1, mean, stderr, float(stayed.mean()), conditional, conditional_stderr, bound, self, run.settings
        )

    def _start(self, x0):
        start = _check.start("x0", x0, 1, self.problem.dim)[0]
        distance = float(np.linalg.norm(start - self.at))
        if distance > self.radius:
            raise ArgumentError(f"x0 must lie within the radius {self.radius:g} of θ*, it is {distance:g} away")
        return start


@dataclass(frozen=True, eq=False)
class LocalConvergenceRun:
    """Measured convergence to a minimum, from :meth:`LocalConvergence.simulate`.

    Attributes
    ----------
    k : ndarray of int, shape (m,)
        AY's numbers of the steps looked at: 1 is the start.
    mean_square, stderr : ndarray, shape (m,)
        E‖θ_k − θ*‖² over all paths, and its standard error; inf where a path has diverged.
    stayed : float
        Share of the paths that were in the ball at every step, E_∞ as far as the run goes.
    conditional, conditional_stderr : ndarray, shape (m,)
        E[‖θ_k − θ*‖² | E_∞], over those paths; NaN if there are none.
    recursion : ndarray, shape (m,)
        The bound of :meth:`LocalConvergence.recursion`.
    theory : LocalConvergence
    settings : dict
        What made it.
    """

    k: np.ndarray
    mean_square: np.ndarray
    stderr: np.ndarray
    stayed: float
    conditional: np.ndarray
    conditional_stderr: np.ndarray
    recursion: np.ndarray
    theory: LocalConvergence
    settings: dict = field(repr=False)

    def plot(self, ax=None, **style):
        """Draw the measured means with a band of 2 standard errors, the bounds and the asymptote; return the Axes."""
        from dynsim.plot import plot_local_convergence

        return plot_local_convergence(self, ax, **style)


def _numbers(k):
    numbers = np.asarray(k)
    if numbers.dtype.kind not in "iu" or numbers.size == 0 or numbers.min() < 1:
        raise ArgumentError(f"k must be numbers of steps, whole and from 1 on, got {k!r}")
    return numbers.astype(np.float64)


def _record(t, x, tally):
    """Layout: still inside, radius², records so far, how many there will be, θ*, their steps, the squared distances."""
    square = 0.0
    for j in range(x.size):
        square += (x[j] - tally[4 + j]) ** 2
    if not square <= tally[1]:
        tally[0] = 0.0
    number, size = int(tally[2]), int(tally[3])
    if number < size and t >= tally[4 + x.size + number]:
        tally[4 + x.size + size + number] = square
        tally[2] += 1.0


def theorem_3_4(problem: Problem, method: SGD, at: ArrayLike, *, radius: float, delta: float = 0.1) -> LocalConvergence:
    """AY Theorem 3.4: bounds of E‖θ_k − θ*‖² near a minimum for step sizes γ/(k + m)^p, and the sharp constants.

    Where ∇²L ⪰ αI and ‖∇l_n‖² ≤ σ_n² in a neighborhood of θ*, here a ball, and as long as paths stay in it (E_∞, of
    probability at least 1 − δ for large m),

    * p = 1, 2αγ > 1: E[‖θ_k − θ*‖² | E_∞] ≤ γ² S / ((1 − δ)(2αγ − 1) k) + o(1/k), AY (3.21), (3.23);
    * ½ < p < 1: E[‖θ_k − θ*‖² | E_∞] ≤ γ S / (2α(1 − δ) k^p) + o(1/k^p), AY (3.22), (3.24),

    with any S ≥ E‖V‖². The paper prints S = sup σ_n² for SGD and Σ a_n σ_n² for RR, and concludes that RR is faster.
    But SGD has E‖V‖² = Σ a_n‖∇l_n‖², and so the S that is printed for RR; RR has (Σ a_n σ_n)², fixed proportions have
    Σ (a_n²/p_n) σ_n²: these are ``improved``. (For batches of B independent draws S/B + (1 − 1/B)(Σ a_n σ_n)².)
    What decides in the end is, with H = ∇²L(θ*) and the covariance Σ of the estimated gradient,

    * p = 1, 2γλ_min(H) > 1: k E‖θ_k − θ*‖² → γ² Tr[(2γH − I)⁻¹ Σ(θ*)];
    * p < 1: k^p E‖θ_k − θ*‖² → (γ/2) Tr[H⁻¹ Σ(θ*)],

    which can be larger for RR, even though its Σ has the smaller trace: where it has more noise in flat directions.

    Parameters
    ----------
    problem : Problem
    method : SGD
        With the step size ``schedules.Polynomial(gamma, m + 1, p)``, AY's γ/(k + m)^p, whose k counts from 1. Sampling
        with fixed proportions, ``GradientNorm`` or ``Mixture``.
    at : array_like, shape (dim,)
        The minimum θ*.
    radius : float
        Of the ball.
    delta : float, optional
        δ in (0, 1).

    Returns
    -------
    LocalConvergence
        α and σ_n are exact for ``linear_model`` with the square loss,
        ``σ_n = ‖x_n‖(|θ*·x_n − y_n| + ‖x_n‖ radius)``; else extremes over points of the ball.

    Raises
    ------
    ArgumentError
        If θ* is not stationary, σ_n² are not finite numbers in the ball, or an argument is out of its range.
    NotApplicable
        If the method is not SGD with a polynomial schedule and such sampling, or there is no strict minimum or a kink.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.linear_model([[1.0, 0.0], [1.0, 0.0], [0.0, 10.0], [0.0, 10.0]], [1.0, -1.0, 1.0, -1.0])
    >>> eta = ds.schedules.Polynomial(gamma=2.0, m=400, p=1.0)
    >>> for method in (ds.SGD(eta), ds.RR(eta)):
    ...     found = ds.theory.theorem_3_4(problem, method, [0.0, 0.0], radius=1.0)
    ...     trace = method.gradient_covariance(problem, [0.0, 0.0]).trace()
    ...     print(method.name, round(trace, 2), round(found.printed), round(found.improved), round(found.sharp, 2))
    SGD 50.5 53778 26898 3.01
    RR 30.25 26898 13938 11.55
    """
    check_sgd("theorem_3_4", method)
    if not isinstance(method.step_size, Polynomial):
        raise NotApplicable(
            f"theorem_3_4 is about step sizes γ/(k + m)^p, schedules.Polynomial(gamma, m + 1, p), got "
            f"{method.step_size!r}"
        )
    if method.noise is not None:
        raise NotApplicable(f"theorem_3_4 does not know noise added to the gradient, got {method.noise!r}")
    delta = _check.between("delta", delta, 0, 1)
    ball = Ball.make(problem, at, radius)
    method.check(problem)
    gamma, p, alpha = method.step_size.gamma, method.step_size.p, ball.curvature
    with np.errstate(over="ignore"):
        squares = ball.slopes**2
    if not np.isfinite(squares).all():
        raise ArgumentError(f"radius must be so small that ‖∇l_n‖² is finite in the ball, got {radius:g}")
    S = _second_moment(problem, method, ball.slopes)
    rate, reason = _rate(gamma, p, alpha)
    printed = np.nan
    if method.batch_size == 1:
        printed = {"SGD": squares.max(), "RR": problem.weights @ squares}.get(method.name, np.nan)
    return LocalConvergence(
        p,
        alpha,
        squares,
        S,
        float(rate * printed / (1 - delta)),
        rate * S / (1 - delta),
        _sharp(method, ball, gamma, p),
        not reason,
        reason,
        ball.exact,
        problem,
        method,
        ball.center,
        ball.radius,
        delta,
    )


def _second_moment(problem, method, slopes):
    """S ≥ E‖V‖² of the method's draws, from the suprema of ‖∇l_n‖."""
    a, p, share = problem.weights, method.sampling.proportions(problem), method.sampling.norm_share
    longest = float(a @ slopes)  # ≥ ‖∇L‖
    if method.batch_size == "full" or not method.sampling.independent or (p is None and share is None):
        raise NotApplicable(
            "theorem_3_4 has bounds for independent draws with fixed proportions, GradientNorm and Mixture, "
            f"got {method!r}"
        )
    # 1/(t u + (1 − t) v) ≤ t/u + (1 − t)/v for a mixture
    single = float((a**2 / p) @ slopes**2) if p is not None else share * longest**2 + (1 - share) * (a @ slopes**2)
    return float(single / method.batch_size + (1 - 1 / method.batch_size) * longest**2)


def _rate(gamma, p, alpha):
    """What S is multiplied by to give the coefficient of k^−p; NaN and the reason where the theorem does not apply."""
    if not 0.5 < p <= 1:
        return np.nan, f"p must lie in (1/2, 1], it is {p:g}"
    if alpha <= 0:
        return np.nan, f"L must be strongly convex in the ball, the least eigenvalue of its Hessian is {alpha:.3g}"
    if p < 1:
        return gamma / (2 * alpha), ""
    if 2 * alpha * gamma <= 1:
        return np.nan, f"for p = 1, 2αγ must be above 1, it is {2 * alpha * gamma:.3g}"
    return gamma / (2 * alpha - 1 / gamma), ""


def _sharp(method, ball, gamma, p):
    values, vectors = ball.eigen
    covariance = method.gradient_covariance(ball.problem, ball.center)
    noise = np.einsum("ji,jk,ki->i", vectors, covariance, vectors)  # along the eigenvectors of H
    if p > 1 or (p == 1 and 2 * gamma * values[0] <= 1):
        return np.nan
    if noise.sum() <= _FITS * (ball.problem.weights @ ball.slopes**2):
        return 0.0
    if p == 1:
        return float(gamma * (noise / (2 * values - 1 / gamma)).sum())
    return float(gamma / 2 * (noise / values).sum())
