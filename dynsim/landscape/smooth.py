"""Zeros of the gradient where it is smooth: Newton's method for many points at once, its steps made safe."""

import numpy as np

_TURNS = 60  # of the descent
_SOLVES = 100  # of Levenberg–Marquardt: a minimum of the fourth order is approached by a factor of 2/3 each turn
_RATIOS = 4.0 ** -np.arange(16.0)  # of a full step
_FIRST = 3  # of them are tried for all points, the others for those that none of these takes down
_FLATTEST = 1e-6  # curvature that a descent step divides by at least, relative to the largest one
_DAMPING = (1e-12, 1e-2, 1e3)  # smallest, first, largest; relative to the largest curvature
_CHUNK = 2**22  # float64 values of the terms' Hessians at a time
SINGULAR = 1e-8  # relative curvature below which an eigenvalue counts as 0: differences of gradients give 1e-9


def length(v):
    """Euclidean norms of vectors (..., dim)."""
    return np.sqrt((v * v).sum(axis=-1))


def spectra(problem, x):
    """Eigenvalues (P, dim), ascending, and eigenvectors of the Hessians at x (P, dim); infinities become 0."""
    size = max(1, _CHUNK // (problem.n_terms * problem.dim**2))
    parts = [problem.hessian(x[first : first + size]) for first in range(0, x.shape[0], size)]
    hessians = np.concatenate([np.empty((0, problem.dim, problem.dim)), *parts])
    return np.linalg.eigh(np.nan_to_num(hessians, nan=0.0, posinf=0.0, neginf=0.0))


def _turned(vectors, g):
    return np.einsum("pji,pj->pi", vectors, g)


def _back(vectors, coefficients):
    return np.einsum("pij,pj->pi", vectors, coefficients)


def _shortened(step, reach):
    return step * np.minimum(1.0, reach / np.maximum(length(step), 1e-300))[:, None]


def newton_step(values, vectors, g):
    """−H⁺g, an eigenvalue being 0 if it is below ``SINGULAR`` times the largest: how far off a near zero of g is."""
    cut = SINGULAR * np.abs(values).max(axis=-1, keepdims=True)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=np.abs(values) > cut)
    return -_back(vectors, inverse * _turned(vectors, g))


def descend(problem, x, box):
    """Where x (P, dim) run to downhill: steps −|H|⁻¹g of at most a tenth of the box, the best of some lengths.

    With |H| for H a step goes down also where L is not convex. Where L has kinks it ends at one, not at a minimum.
    """
    x = x.copy()
    reach = 0.1 * box.diagonal
    losses = problem.loss(x)
    active = np.arange(x.shape[0])
    for _ in range(_TURNS):
        here = x[active]
        g = problem.gradient(here)
        values, vectors = spectra(problem, here)
        curvature = np.abs(values)
        curvature = np.maximum(curvature, _FLATTEST * curvature.max(axis=1, keepdims=True))
        curvature = np.maximum(curvature, (length(g) / reach)[:, None] + 1e-300)
        step = _shortened(-_back(vectors, _turned(vectors, g) / curvature), reach)
        trials = here + _RATIOS[:, None, None] * step
        found = np.full(trials.shape[:2], np.inf)
        found[:_FIRST] = np.nan_to_num(problem.loss(trials[:_FIRST]), nan=np.inf)
        worse = found.min(axis=0) >= losses[active]
        found[_FIRST:, worse] = np.nan_to_num(problem.loss(trials[_FIRST:, worse]), nan=np.inf)
        best = found.argmin(axis=0)
        each = np.arange(active.size)
        better = found[best, each] < losses[active]
        moved = active[better]
        x[moved], losses[moved] = trials[best, each][better], found[best, each][better]
        far = _RATIOS[best] * length(step) > 1e-10 * box.diagonal
        active = active[better & far & box.near(x[active])]
        if active.size == 0:
            break
    return x


def solve(problem, x, box):
    """Zeros of ∇L near x (P, dim) by Levenberg–Marquardt on ‖∇L‖²: the points reached, whatever they are."""
    x = x.copy()
    reach = 0.1 * box.diagonal
    least, first, most = _DAMPING
    g = problem.gradient(x)
    values, vectors = spectra(problem, x)
    damping = np.full(x.shape[0], first)
    active = np.arange(x.shape[0])
    for _ in range(_SOLVES):
        v = values[active]
        largest = np.abs(v).max(axis=1, keepdims=True)
        weights = v / (v**2 + (damping[active, None] * largest) ** 2 + 1e-300)
        step = _shortened(-_back(vectors[active], weights * _turned(vectors[active], g[active])), reach)
        trial = x[active] + step
        g_trial = problem.gradient(trial)
        better = length(np.nan_to_num(g_trial, nan=np.inf)) < length(g[active])
        moved = active[better]
        x[moved], g[moved] = trial[better], g_trial[better]
        values[moved], vectors[moved] = spectra(problem, x[moved])
        damping[active] = np.where(better, np.maximum(0.1 * damping[active], least), 10 * damping[active])
        going = (length(step) > 1e-15 * box.diagonal) & (damping[active] < most) & box.near(x[active])
        active = active[going]
        if active.size == 0:
            break
    return x
