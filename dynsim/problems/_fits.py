"""What is worth looking at in a linear model: the minimum of a convex loss, and a box around that and other fits."""

import numpy as np

from dynsim.problems._losses import LOSSES

_TURNS = 200  # of Newton's method
_LARGEST = 1e9  # damping, relative to the curvature: then no step goes down any more
_CONDITION = 1e-12  # least relative curvature at a minimum; where classes are separable it falls to 0
_ARRIVED = 1e-9  # last step, relative to the size of predictions
_SUBSETS, _WORK = (16, 256), 2**22  # of rows, and how many numbers the matrices for all of them may have
_RIDGE = 1e-3  # draws fits to a few rows towards the fit to all where the rows leave them free
_BEST = 4  # of so many of these fits one, that of the least loss, counts: the others are mostly fits to outliers
_MARGIN = 0.25  # around them, of the width of the box
_ERRORS = 5.0  # standard errors that a box reaches to at least
_WIDTH = 0.5  # half the width of a box at least, as a change of predictions relative to their size
_MOST_TARGETS = 0.9  # the size of the others, outliers, does not count
_NO_MINIMUM = 10.0  # times as wide, where the loss falls for ever
_MOST_GROUPS = 32


def only_minimum(model):
    """The only minimum of a convex loss, shape (1, dim), or None."""
    scales = _scales(model)
    if scales.shape[1] < model.dim:
        return None
    if model.loss_name == "square":
        return model.least_squares()[None]
    beta = _newton(model, scales)
    return None if beta is None else (scales @ beta)[None]


def box(model):
    """Bounds (dim, 2) that hold the minimum, and what the data say of θ in small portions; None if they overflow."""
    scales = _scales(model)
    with np.errstate(all="ignore"):
        fits = np.zeros((1, model.dim)) if model.minima is None else model.minima
        least = _WIDTH * _unit(model) * np.sqrt((scales**2).sum(axis=1))
        if LOSSES[model.loss_name].of_residual:
            known = fits if model.minima is not None else fits[:0]
            fits = np.concatenate([known, _fits_to_parts(model, scales)])
        elif model.minima is None:
            least = _NO_MINIMUM * least
        else:
            variances = np.linalg.inv(model.hessian(fits[0])).diagonal() * (model.weights**2).sum()
            least = np.maximum(least, _ERRORS * np.sqrt(variances))
        low, high = fits.min(axis=0), fits.max(axis=0)
        half = np.maximum((0.5 + _MARGIN) * (high - low), np.where(least > 0, least, 1.0))
        bounds = (0.5 * (low + high))[:, None] + half[:, None] * np.array([-1.0, 1.0])
    return bounds if np.isfinite(bounds).all() and (bounds[:, 0] < bounds[:, 1]).all() else None


def _scales(model):
    """S (dim, rank) such that the weighted mean square of the predictions at θ = Sβ is ‖β‖²."""
    rows = np.sqrt(model.weights)[:, None] * model.X
    sizes = np.linalg.norm(rows, axis=0)
    sizes[sizes == 0] = 1.0
    values, vectors = np.linalg.svd(rows / sizes, full_matrices=False)[1:]
    kept = values > values.max() * max(rows.shape) * np.finfo(float).eps
    return vectors[kept].T / values[kept] / sizes[:, None]


def _unit(model):
    """A size of predictions: that of most targets, or one in log-odds and in logarithms."""
    if not LOSSES[model.loss_name].of_residual:
        return 1.0
    return float(np.quantile(np.abs(model.y), _MOST_TARGETS) or np.sqrt(model.weights @ model.y**2)) or 1.0


def _newton(model, scales):
    """β at the minimum of a convex loss of Sβ by damped Newton steps, or None if they come to none."""
    beta, damping = np.zeros(scales.shape[1]), 1e-3
    if LOSSES[model.loss_name].of_residual:
        beta = np.linalg.lstsq(scales, model.least_squares(), rcond=None)[0]
    unit = _unit(model)
    with np.errstate(all="ignore"):
        loss = model.loss(scales @ beta)
        for _ in range(_TURNS):
            theta = scales @ beta
            values, vectors = np.linalg.eigh(scales.T @ model.hessian(theta) @ scales)
            slopes = vectors.T @ (scales.T @ model.gradient(theta))
            if values[0] > _CONDITION * values[-1]:
                step = -vectors @ (slopes / values)
                if np.linalg.norm(step) <= _ARRIVED * (np.linalg.norm(beta) + unit):
                    return beta + step
            while damping < _LARGEST:
                trial = beta - vectors @ (slopes / (np.maximum(values, 0.0) + damping * max(values[-1], 1e-9)))
                found = model.loss(scales @ trial)
                if found <= loss:
                    break
                damping *= 10
            else:
                return None
            beta, loss, damping = trial, found, max(0.1 * damping, 1e-15)
    return None


def _fits_to_parts(model, scales):
    """Least-squares fits to all rows, to each group, and the best of those to as many rows as coefficients."""
    generator = np.random.default_rng(0)
    rank = scales.shape[1]
    n_subsets = int(np.clip(_WORK // max(rank, 1) ** 2, *_SUBSETS))
    rows = generator.choice(model.n_terms, size=(n_subsets, max(rank, 1)), p=model.weights)
    everything = model.least_squares()
    residuals, Z = model.residuals(everything), model.X @ scales
    parts = everything + _drawn_in(Z[rows], residuals[rows]) @ scales.T
    result = [everything, *parts[np.argsort(model.loss(parts), kind="stable")[: n_subsets // _BEST]]]
    n_groups = 0 if model.groups is None else model.groups.max() + 1
    for group in range(n_groups if n_groups <= _MOST_GROUPS else 0):
        mine = model.groups == group
        result.append(everything + scales @ _drawn_in(Z[mine], residuals[mine]))
    return np.array(result)


def _drawn_in(Z, r):
    """The step s of least ‖Zs + r‖² + ridge · ‖s‖², the ridge relative to the rows: Z (..., m, rank)."""
    normal = np.swapaxes(Z, -1, -2) @ Z
    ridge = _RIDGE * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] / max(Z.shape[-1], 1) ** 2
    normal = normal + (ridge + 1e-300) * np.eye(Z.shape[-1])
    return -np.linalg.solve(normal, np.swapaxes(Z, -1, -2) @ r[..., None])[..., 0]
