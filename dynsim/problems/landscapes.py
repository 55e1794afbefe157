"""Smooth losses on which gradient descent with a constant step size cycles, blows up, crawls or gets no further."""

import math

import numpy as np

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError
from dynsim.problems.problem import Problem

_CHAIN_SMOOTHNESS = 152.0  # of f_d, Z Lemma 4.7.9.2
_CHAIN_SLOPE = 23.0  # bound of |∂f_d/∂x_i|, Z Lemma 4.7.9.3


def egg_carton(amplitude: float = 100.0) -> Problem:
    """The periodic landscape L(θ) = A sin θ1 sin θ2, with A = 100 in Z Fig 6-5.

    Gradient and Hessian are bounded by A. Gradient descent with step size η decouples: u = θ1 + θ2 and
    w = θ1 − θ2 − π both follow x → x − a sin x with a = ηA. So it converges for a < 2, η < 2/A; for 2 < a < π the
    limit is the 2-cycle of x and −x with 2x = a sin x, for π < a < √(π² + 2) a cycle of x and x − π with a sin x = π;
    and at a = 4, where the paper sees periodic points (η = 0.04), it is chaotic, in 12 bands. A start on the diagonal
    or the antidiagonal leaves it by rounding. ``minima`` are those in ``bounds``; they repeat with period 2π in each
    coordinate.

    Parameters
    ----------
    amplitude : float, optional
        A, positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.egg_carton()
    >>> path = ds.iterate(problem, ds.SGD(step_size=0.01), x0=[1.0, -0.5], n_steps=20)
    >>> abs(path.x[0, -1] - problem.minima[0]).max() < 1e-9
    np.True_
    """
    from dynsim._kernels.problems.landscapes import egg_gradient, egg_loss

    amplitude = _check.positive("amplitude", amplitude)

    def term_hessians(theta):
        (s1, s2), (c1, c2) = np.moveaxis(np.sin(theta), -1, 0), np.moveaxis(np.cos(theta), -1, 0)
        rows = np.array([[-s1 * s2, c1 * c2], [c1 * c2, -s1 * s2]])
        return amplitude * np.moveaxis(rows, (0, 1), (-2, -1))[..., None, :, :]

    return Problem(
        egg_loss,
        egg_gradient,
        params=[amplitude],
        weights=[1.0],
        dim=2,
        name=f"egg_carton({amplitude:g})",
        term_hessians=term_hessians,
        minima=[[math.pi / 2, -math.pi / 2], [-math.pi / 2, math.pi / 2]],
        bounds=[(-math.pi, math.pi)] * 2,
        lipschitz=amplitude,
        gradient_bounds=amplitude,
    )


class ExponentialWings(Problem):
    """Z §3.7.2's loss that blows up; made by :func:`exponential_wings`.

    Attributes
    ----------
    L1 : float
        ``|L''| ≤ L1 + L1 |L'|`` holds with this one constant.
    """

    def __init__(self, L1):
        from dynsim._kernels.problems.landscapes import wings_gradient, wings_loss

        def term_hessians(theta):
            with np.errstate(over="ignore"):
                return (L1 * np.exp(np.maximum(L1 * np.abs(theta) - 1, 0)))[..., None, None]

        self.L1 = L1
        super().__init__(
            wings_loss,
            wings_gradient,
            params=[L1],
            weights=[1.0],
            dim=1,
            name=f"exponential_wings({L1:g})",
            term_hessians=term_hessians,
            minima=[0.0],
            bounds=(-4 / L1, 4 / L1),
        )

    def start(self, M: float) -> float:
        """The start x_0 = (log M + 1)/L1 at which the gradient is M ≥ 1."""
        M = _check.real("M", M)
        if M < 1:
            raise ArgumentError(f"M must be at least 1, got {M:g}")
        return (math.log(M) + 1) / self.L1

    def step_size_limit(self, x0: float) -> float:
        """Gradient descent from x_0 ≠ 0 converges for all step sizes η < 2x_0/L'(x_0), and for no other.

        From ``start(M)`` that is (2 log M + 2)/(M L1), Z §3.7.2. At the limit it alternates between x_0 and −x_0, and
        above it diverges: L'(x)/x grows with the distance from 0.
        """
        x0 = abs(_check.real("x0", x0))
        if x0 == 0:
            raise ArgumentError("x0 must not be 0, the minimum, where every step size leaves it")
        return 2 * x0 / float(self.gradient([x0])[0])


def exponential_wings(L1: float = 1.0) -> ExponentialWings:
    """A parabola that goes over into exponentials: large gradients let only small steps converge. Z §3.7.2.

    ``L(θ) = exp(L1|θ| − 1)/L1`` for ``L1|θ| > 1``, else (L1² θ² + 1)/(2 L1): twice continuously differentiable.

    It is (L0, L1)-smooth, ``|L''| ≤ L0 + L1|L'|``, Z (3.2), with L0 = L1 and, for this slope, with no smaller L0
    (Z (3.10) says L0 = 1). Clipped gradient descent converges from everywhere; with a constant step size the limit is
    :meth:`ExponentialWings.step_size_limit`.

    Parameters
    ----------
    L1 : float, optional
        Positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.exponential_wings(2.0)
    >>> x0 = problem.start(M=100.0)
    >>> round(x0, 6), round(problem.step_size_limit(x0), 6)
    (2.802585, 0.056052)
    """
    return ExponentialWings(_check.positive("L1", L1))


class FlatQuartic(Problem):
    """Z §3.7.2's loss on which small steps crawl; made by :func:`flat_quartic`.

    Attributes
    ----------
    eps : float
    """

    def __init__(self, eps):
        from dynsim._kernels.problems.landscapes import flat_gradient, flat_loss

        self.eps = eps
        super().__init__(
            flat_loss,
            flat_gradient,
            params=[eps],
            weights=[1.0],
            dim=1,
            name=f"flat_quartic({eps:g})",
            term_hessians=lambda theta: 3 * eps * np.maximum(1 - theta**2, 0)[..., None, None],
            minima=[0.0],
            bounds=(-3.0, 3.0),
            lipschitz=3 * eps,
            gradient_bounds=2 * eps,
        )

    def start(self, gap: float) -> float:
        """The start x_0 = 1 + Δ/ε, at which the loss is 2Δ + 5ε/4, for Δ = gap > 0."""
        return 1 + _check.positive("gap", gap) / self.eps

    def least_steps(self, x0: float, step_size: float) -> int:
        """Steps that gradient descent takes at least from x_0, at least 1 from 0, to a slope of at most ε.

        ``⌊(|x_0| − 1)/(2εη)⌋ + 1``: so many iterates, the start being the first, have slope 2ε. From ``start(gap)``
        with the largest η that converges on :func:`exponential_wings` from slope M, this is
        Z's Δ L1 M/(4ε² (log M + 1)), §3.7.2.
        """
        x0, step_size = abs(_check.real("x0", x0)), _check.positive("step_size", step_size)
        if x0 < 1:
            raise ArgumentError(f"x0 must lie where the slope is constant, at least 1 from 0, got {x0:g}")
        return math.floor((x0 - 1) / (2 * self.eps * step_size)) + 1


def flat_quartic(eps: float = 0.1) -> FlatQuartic:
    """A shallow valley with straight sides of slope 2ε: small steps take long to halve the slope. Z §3.7.2.

    ``L(θ) = ε(6θ² − θ⁴)/4`` for ``|θ| ≤ 1``, else ``2ε(|θ| − 1) + 5ε/4``: convex, twice continuously differentiable,
    with L'' at most 3ε, so that it is (L0, L1)-smooth where ε ≤ L0/3. The slope is at most ε within 2 sin 10° of 0.

    With :func:`exponential_wings` it proves Z Theorem 3.4.2: step sizes that converge there are slow here.

    Parameters
    ----------
    eps : float, optional
        ε, positive.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.flat_quartic(eps=0.1)
    >>> x0 = problem.start(gap=1.0)
    >>> x0, problem.least_steps(x0, step_size=0.3)
    (11.0, 167)
    """
    return FlatQuartic(_check.positive("eps", eps))


class ResistingChain(Problem):
    """Z §4.7.7; made by :func:`resisting_chain`.

    Attributes
    ----------
    p : float
        Probability that a draw shows the next coordinate.
    infimum : float
        inf L, approached as all coordinates grow without bound.
    """

    def __init__(self, d, p, smoothness, length):
        from dynsim._kernels.problems.landscapes import chain_gradient, chain_loss

        scale = smoothness / _CHAIN_SMOOTHNESS
        slope = scale * length * _CHAIN_SLOPE
        self.p, self._scale, self._length = p, scale, length
        self.infimum = -scale * length**2 * math.sqrt(2 * math.pi * math.e) * (1 + (d - 1) * math.e)
        planes = np.zeros((2 * d, d + 1))  # x_i = ±¼, where prog_¼ changes
        planes[np.arange(2 * d), np.arange(2 * d) // 2] = 1
        planes[:, -1] = np.tile([-0.25 * length, 0.25 * length], d)
        noisy = p < 1
        super().__init__(
            chain_loss,
            chain_gradient,
            params=[scale, length, p],
            weights=[p, 1 - p] if noisy else [1.0],
            dim=d,
            name=f"resisting_chain({d}, p={p:g})",
            kinks=(-0.25 * length, 0.25 * length) if noisy and d == 1 else (),
            kink_planes=planes if noisy else None,
            bounds=np.tile([-2 * length, 2 * length], (d, 1)),
            lipschitz=None if noisy else smoothness,
            gradient_bounds=slope * np.sqrt([d - 1 + p**-2, d] if noisy else [d]),
        )

    def progress(self, theta: ArrayLike, threshold: float = 0.25) -> np.ndarray:
        """prog_β(θ/λ), the largest i with ``|θ_i/λ| > β``, counted from 1; 0 if there is none. Shape (...)."""
        theta = _check.points("theta", theta, self.dim)
        beyond = np.abs(theta) / self._length > _check.real("threshold", threshold)
        return np.where(beyond, np.arange(1, self.dim + 1), 0).max(axis=-1)

    def term_hessians(self, theta: ArrayLike) -> np.ndarray:
        """∇²L for every term: tridiagonal, shape (..., n_terms, dim, dim)."""
        x = _check.points("theta", theta, self.dim) / self._length
        a, sign = np.abs(x), np.where(x < 0, -1.0, 1.0)
        beyond = a > 0.5
        u = np.where(beyond, 2 * a - 1, 1.0)
        psi = np.where(beyond, np.exp(1 - u**-2), 0.0)
        psi_1, psi_2 = 4 * psi / u**3, psi * (16 / u**6 - 24 / u**4)
        density = np.exp((1 - x**2) / 2)  # Φ'
        phi = _phi(sign[..., :-1] * x[..., 1:])
        before = np.concatenate([np.ones_like(x[..., :1]), psi[..., :-1]], axis=-1)
        diagonal = before * x * density
        diagonal[..., :-1] -= sign[..., :-1] * psi_2[..., :-1] * phi
        beside = -sign[..., :-1] * psi_1[..., :-1] * density[..., 1:]
        result = np.zeros((*x.shape, self.dim))
        i = np.arange(self.dim)
        result[..., i, i] = diagonal
        result[..., i[:-1], i[1:]] = result[..., i[1:], i[:-1]] = beside
        shape = (*x.shape[:-1], self.n_terms, self.dim, self.dim)
        return np.broadcast_to(self._scale * result[..., None, :, :], shape).copy()


def _phi(x):
    from scipy.special import erfc

    return math.sqrt(2 * math.pi * math.e) / 2 * erfc(-x / math.sqrt(2))


def resisting_chain(
    d: int, p: float = 0.1, *, smoothness: float = _CHAIN_SMOOTHNESS, length: float = 1.0
) -> ResistingChain:
    """The zero chain: its gradient shows one new coordinate at a time, and that one rarely. Z §4.7.7.

    L(θ) = (Lλ²/152) f_d(θ/λ), with, for x_0 = 1,

    * ``f_d(x) = Σ_i [Ψ(−x_{i−1}) Φ(−x_i) − Ψ(x_{i−1}) Φ(x_i)]``, i = 1, …, d,
    * ``Ψ(x) = exp(1 − 1/(2x − 1)²)`` for x > ½, else 0,
    * ``Φ(x) = √e ∫ exp(−t²/2) dt`` over all t < x.

    The gradient drawn is ∇L, but with its coordinate prog_¼ + 1 (:meth:`ResistingChain.progress`) multiplied by
    z/p, where z = 1 with probability p, else 0. Its two values are the "gradients" of two terms with weights p and
    1 − p, so plain ``SGD`` draws them as the oracle does. No loss has such gradients: ``term_losses`` and
    ``term_hessians`` are those of L for both terms, and ``term_gradients`` jumps where a coordinate passes ±λ/4
    (``kink_planes``). With p = 1 there is one term, and all is smooth.

    From 0, a method that moves only in coordinates that it has seen needs at least 1/p draws on average for each, and
    while the last is not beyond λ, ‖∇L‖ ≥ Lλ/152. For accuracy ε and a gap Δ = L(0) − inf L, Z Theorem 4.4.4 takes
    λ = 304ε/L and d = ⌊ΔL/(7296 ε²)⌋. All coordinates of ∇L are negative or 0: the infimum is at infinity, and there
    is no minimum.

    Parameters
    ----------
    d : int
        Length of the chain, the dimension of θ.
    p : float, optional
        Probability in (0, 1].
    smoothness : float, optional
        L, a Lipschitz constant of ∇L, positive; 152 is f_d's own.
    length : float, optional
        λ, the unit of θ, positive.

    Source: Carmon et al. (2017) and, for the oracle, Arjevani et al. (2019); Z §4.7.7, Lemma 4.7.9.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.resisting_chain(3, p=0.5)
    >>> problem.term_gradients([0.0, 0.0, 0.0]).round(3).tolist()
    [[-3.297, 0.0, 0.0], [0.0, 0.0, 0.0]]
    >>> problem.progress([0.6, 0.3, 0.1])
    np.int64(2)
    """
    d, p = _check.count("d", d), _check.positive("p", p)
    if p > 1:
        raise ArgumentError(f"p must be a probability in (0, 1], got {p:g}")
    if p < 1:
        _check.fits_in_memory("the kink planes", (2 * d, d + 1, 2), instead="use a shorter chain, or p = 1")
    return ResistingChain(d, p, _check.positive("smoothness", smoothness), _check.positive("length", length))
