"""Whether samples move as a method says: φ − Pφ along a chain, over independent samples, or over a whole law."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.ergodic.averages import not_finite, states_of
from dynsim.ergodic.transitions import Functions, Transition
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.methods import Method
from dynsim.problems import Problem
from dynsim.results import Density, Trajectories

_ROUNDING = 1e-12  # of the size of φ, below which a mean is that of rounding
_GRAIN = 1e-15  # of φ, that of its values
_NO_CHANCE = 1e-10  # relative variance of a combination of φ that is left out of χ² …
_SINGULAR, _SIGMAS = 1e-14, 10.0  # … and must have no defect: more than so many deviations, this being rounding
_LEAST_SAMPLES = 30  # independent ones, for their scatter to be known


@dataclass(frozen=True, eq=False, repr=False)
class InvarianceTest:
    """How far samples are from moving as P says, from :func:`dynsim.invariance_test`.

    All but the joint numbers have the shape of φ's value: () for one number, (q,) for several.

    Attributes
    ----------
    defect : ndarray
        Mean of φ(θ_{k+1}) − Pφ(θ_k), or of (φ − Pφ)(θ): 0 in expectation if the samples are what they should be.
    stderr : ndarray
        Its standard deviation by chance. For a law on a grid how much ``defect`` changes with half as many cells.
    z : ndarray
        ``defect``/``stderr``, near N(0, 1) if all is right; nan for a law. ±inf where there is no chance and yet a
        defect.
    p_value : ndarray
        Probability of a larger \\|z\\| by chance.
    chi2 : float
        Of all φ together.
    dof : int
        Its degrees of freedom: how many of the φ are not combinations of the others.
    joint_p_value : float
        Probability of a larger ``chi2``.
    n : int
        Number of steps, samples, or states and cells.
    kind : str
        What was tested: "steps", "samples" or "law".
    names : tuple of str
        Of several φ that were given by name.
    n_diverged : int
        Paths left out because they blew up.
    settings : dict
        What was asked for.
    """

    defect: np.ndarray
    stderr: np.ndarray
    z: np.ndarray
    p_value: np.ndarray
    chi2: float
    dof: int
    joint_p_value: float
    n: int
    kind: str
    names: tuple
    n_diverged: int
    settings: dict = field(repr=False)

    def __repr__(self):
        names = self.names or ("phi",) * max(self.defect.size, 1)
        rows = zip(names, *(np.atleast_1d(v) for v in (self.defect, self.stderr, self.z, self.p_value)), strict=True)
        if self.kind == "law":
            parts = [f"{name} defect {defect:.3g} ± {stderr:.2g}" for name, defect, stderr, _, _ in rows]
        else:
            parts = [f"{name} z = {z:.2f}, p = {p:.2g}" for name, _, _, z, p in rows]
            parts += [f"jointly p = {self.joint_p_value:.2g}"] if len(parts) > 1 else []
        what = "states or cells" if self.kind == "law" else self.kind
        return f"InvarianceTest({self.n} {what}: {'; '.join(parts)})"


def invariance_test(
    problem: Problem,
    method: Method,
    samples: Trajectories | Density | ArrayLike,
    phi: Callable | Mapping[str, Callable],
) -> InvarianceTest:
    """Test that samples move as a method moves them: that E[φ(θ')] = E[Pφ(θ)], with P exact over the terms.

    Pφ(θ) = Σ_i p_i(θ) φ(F_i θ) is the mean over all that one step may lead to. What is tested depends on ``samples``:

    * consecutive states of a chain (trajectories): φ(θ_{k+1}) − Pφ(θ_k) has mean 0 and the known variance
      Var_i φ(F_i θ_k) given the past, so that
      Z = Σ (φ(θ_{k+1}) − Pφ(θ_k)) / √(Σ Var_i φ(F_i θ_k)) is near N(0, 1), wherever the chain was started. With
      Σ (φ − Pφ)(θ_k) above, as in Z (6.13), it differs by (φ(θ_1) − φ(θ_{n+1}))/√(Σ Var), which vanishes.
    * independent samples of a law that is claimed to be stationary: the mean of (φ − Pφ)(θ_i) over its scatter.
    * a :class:`Density`: E_μ[φ − Pφ], exactly on states; on the cells of a grid up to their width.

    **The first tests the kernel, not convergence**: a chain that has never left its basin passes. It finds wrong steps:
    a wrong step size, a missing reweighting, a wrong sampling. It finds them only by a φ whose mean after a step they
    change: of a chain that has settled φ = θ hardly tells the step size, the loss does.

    Parameters
    ----------
    problem : Problem
    method : Method
        Without memory and with constant rates; a step has finitely many outcomes (no noise with a density).
    samples : Trajectories, Density or array_like
        Consecutive states, as a run with ``save_every=1`` keeps them, or an array (n_paths, n_saved, dim) of such;
        an array (n, dim) of independent samples, at least 30; or a law.
    phi : callable, or dict of callables
        φ of theta (..., dim), vectorized: values (...) or (..., q), or a tuple of q arrays (...); or several of them by
        name.

    Returns
    -------
    InvarianceTest

    Raises
    ------
    NotApplicable
        If a step depends on more than θ, or has not finitely many outcomes; if a run has not kept every step.
    TooLarge
        If a step has more than 100 000 outcomes.
    ArgumentError
        If samples or φ have the wrong shape, or are not finite.

    Notes
    -----
    The joint test is Dᵀ C⁺ D of the summed differences D with C the sum of their conditional covariances, χ² with the
    rank of C degrees of freedom; inf where a combination of φ without chance, Cv = 0, has a defect.

    Examples
    --------
    >>> import dynsim as ds
    >>> problem = ds.problems.two_valleys()
    >>> run = ds.iterate(problem, ds.SGD(0.04), x0=0.25, n_steps=2000, n_paths=20, rng=0)
    >>> ds.invariance_test(problem, ds.SGD(0.04), run, problem.loss)
    InvarianceTest(40000 steps: phi z = 0.90, p = 0.37)
    >>> ds.invariance_test(problem, ds.SGD(0.042), run, problem.loss)
    InvarianceTest(40000 steps: phi z = -5.76, p = 8.3e-09)
    """
    functions, transition = Functions(phi), Transition("invariance_test", problem, method)
    settings = {"problem": problem.name, "method": repr(method)}
    if isinstance(samples, Density):
        return _of_law(transition, functions, samples, settings)
    if not isinstance(samples, Trajectories) and _axes(samples) == 2:
        return _of_samples(transition, functions, samples, settings)
    x, n_diverged = consecutive("samples", samples, problem.dim)
    after = functions(x[:, 1:]).reshape(-1, *_columns(functions, x))
    before = x[:, :-1].reshape(-1, problem.dim)
    mean, cov, _ = transition.moments(functions, before)
    return _tested(functions, after, mean, cov, "steps", (n_diverged, settings))


def consecutive(name: str, source, dim: int) -> tuple[np.ndarray, int]:
    """Paths of consecutive states (n_paths, n, dim) that have not diverged, and how many have."""
    n_diverged = 0
    if isinstance(source, Trajectories):
        if source.t.size < 2 or not (np.diff(source.t) == 1).all() or "dt" in source.settings:
            raise NotApplicable(
                f"{name} must be consecutive states of a chain: run iterate with save_every=1, not with "
                f"save_every={source.settings.get('save_every')!r}"
            )
        numbers, n_diverged = np.flatnonzero(~np.isfinite(source.diverged)), source.n_diverged
        if numbers.size == 0:
            raise ArgumentError(f"{name} must have paths that have not diverged, all {n_diverged} have")
        x = source.x[numbers]
        if where := not_finite(x, numbers):
            raise ArgumentError(f"{name} is {where}")
    else:
        x = states_of(name, source, least=2)
    if x.shape[2] != dim or x.shape[0] < 1 or x.shape[1] < 2:
        raise ArgumentError(f"{name} must have shape (n_paths, n, {dim}), n at least 2, got {x.shape}")
    return x, n_diverged


def _axes(samples):
    try:
        return np.ndim(samples)
    except ValueError:
        raise ArgumentError("samples must be an array of numbers, its rows are of different lengths") from None


def _columns(functions, x):
    return (functions(x[:1, :1]).shape[-1],)


def _of_samples(transition, functions, samples, settings):
    x = _check.array("samples", samples, ndim=2)
    if x.shape[1] != transition.problem.dim or len(x) < _LEAST_SAMPLES:
        raise ArgumentError(
            f"samples must be independent, shape (n, {transition.problem.dim}), n at least {_LEAST_SAMPLES}, "
            f"got {x.shape}; consecutive states of paths have shape (n_paths, n, {transition.problem.dim})"
        )
    values, mean = functions(x), transition.moments(functions, x)[0]
    cov = np.atleast_2d(np.cov(values - mean, rowvar=False)) * len(mean)
    return _tested(functions, values, mean, cov, "samples", (0, settings))


def _of_law(transition, functions, law, settings):
    if law.dim != transition.problem.dim:
        raise ArgumentError(f"samples must be of dimension {transition.problem.dim}, this law has {law.dim}")
    defect = _defect(transition, functions, law)
    error = np.zeros_like(defect) if law.grid is None else np.full_like(defect, np.nan)
    if law.coarser is not None:
        error = np.abs(defect - _defect(transition, functions, law.coarser))
    nothing = np.full(functions.shape, np.nan)
    shaped = (value.reshape(functions.shape) for value in (defect, error))
    size = law.log_mass.size
    return InvarianceTest(
        *shaped, nothing, nothing, np.nan, 0, np.nan, size, "law", functions.names, 0, {**settings, "law": law.label}
    )


def _defect(transition, functions, law):
    mass = law.mass / law.mass.sum()
    seen = mass > 0
    x = law.x[seen]
    return mass[seen] @ (functions(x) - transition.moments(functions, x)[0])


def _tested(functions, values, mean, cov, kind, known):
    """The test of the mean of values − mean (n, q), whose sum has a covariance (q, q)."""
    gap = values - mean
    n, total = len(gap), gap.sum(axis=0)
    total = np.where(np.abs(total) > _ROUNDING * np.abs(gap).sum(axis=0), total, 0.0)
    spread = np.sqrt(np.diag(cov))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(total == 0, 0.0, total / spread)
    chi2, dof = _joint(total, cov, _GRAIN * np.abs(values).sum(axis=0))
    shaped = (value.reshape(functions.shape) for value in (total / n, spread / n, z, 2 * stats.norm.sf(np.abs(z))))
    joint = float(stats.chi2.sf(chi2, dof)) if dof else float(chi2 == 0)
    return InvarianceTest(*shaped, chi2, dof, joint, n, kind, functions.names, *known)


def _joint(total, cov, grain):
    """χ² of sums with their covariance, and its degrees of freedom; ``grain`` (q,) is what their rounding may be."""
    scale = np.sqrt(np.diag(cov))
    if ((scale == 0) & (total != 0)).any():
        return np.inf, int((scale > 0).sum())
    some = scale > 0
    if not some.any():
        return 0.0, 0
    values, vectors = np.linalg.eigh(cov[np.ix_(some, some)] / np.outer(scale[some], scale[some]))
    kept = values > _NO_CHANCE * values[-1]
    along = (total[some] / scale[some]) @ vectors
    rounding = np.abs(vectors).T @ (grain[some] / scale[some])
    impossible = np.abs(along) > _SIGMAS * np.sqrt(np.maximum(values, _SINGULAR * values[-1])) + rounding
    if (impossible & ~kept).any():  # a combination without chance, and yet a defect
        return np.inf, int(kept.sum())
    return float((along[kept] ** 2 / values[kept]).sum()), int(kept.sum())
