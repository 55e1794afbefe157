"""What is known of the losses φ(f, y) of a linear model besides their kernels, f = θ·x the prediction of y."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError

_AS_GOOD_AS_INFINITE = -1e30  # where Barron's loss is its limit α = −∞ to rounding


def _no_change(y):
    return y


def _always(*parameters):
    return True


def _constant(value):
    return lambda *parameters: value


@dataclass(frozen=True)
class Loss:
    """A loss φ(f, y).

    Attributes
    ----------
    curvature : callable
        ∂²φ/∂f² at (f, y, *parameters), vectorized.
    steepest, sharpest : callable
        The suprema of |∂φ/∂f| and |∂²φ/∂f²| over f, from the parameters.
    defaults : dict
        The parameters, at most two, by name.
    target : callable
        Targets as the kernel wants them, or an ArgumentError.
    of_residual : bool
        Whether φ depends on f − y only, so that y has a unit and may be standardized.
    convex : callable
        Whether φ is convex in f, from the parameters.
    """

    curvature: Callable
    steepest: Callable
    sharpest: Callable
    defaults: dict = field(default_factory=dict)
    target: Callable = _no_change
    of_residual: bool = True
    convex: Callable = _always


def _welsch_curvature(f, y):
    square = (f - y) ** 2
    return (1 - square) * np.exp(-square / 2)


def _huber_curvature(f, y, delta):
    return np.where(np.isnan(f), np.nan, np.abs(f - y) <= delta)


def _barron_curvature(f, y, alpha, scale):
    q = ((f - y) / scale) ** 2
    if alpha == 2:
        return np.where(np.isnan(q), np.nan, 1 / scale**2)
    if alpha == -np.inf:
        return (1 - q) * np.exp(-q / 2) / scale**2
    u = q / abs(alpha - 2)
    decay = np.exp((alpha / 2 - 1) * np.log1p(u))  # 0 where its square root overflows u
    return (1 + (alpha - 1) * u) / (1 + u) * decay / scale**2


def _barron_steepest(alpha, scale):
    """At u = 1/(1 − α), for α ≤ 1 (in the limit, for α = 1)."""
    if alpha > 1:
        return np.inf
    if alpha == -np.inf:
        return np.exp(-0.5) / scale
    return np.exp(-0.5 * (1 - alpha) * np.log1p(1 / (1 - alpha))) / scale if alpha < 1 else 1 / scale


def _barron_sharpest(alpha, scale):
    return 1 / scale**2 if alpha <= 2 else np.inf


def _logistic_curvature(f, y):
    decay = np.exp(-np.abs(f))
    return decay / (1 + decay) ** 2


def _poisson_curvature(f, y):
    with np.errstate(over="ignore"):
        return np.exp(f)


def _classes(y):
    """Labels as 0 and 1."""
    for low in (0.0, -1.0):
        if np.isin(y, (low, 1.0)).all():
            return (y == 1.0).astype(float)
    raise ArgumentError(
        f"y must hold two classes, written 0 and 1 or -1 and 1, for the logistic loss, got {_some(np.unique(y))}"
    )


def _counts(y):
    if (y < 0).any():
        raise ArgumentError(f"y must be counts, at least 0, for the Poisson loss, got {y.min():g}")
    return y


def _some(values):
    shown = ", ".join(f"{value:g}" for value in values[:4])
    return f"{shown}, …" if values.size > 4 else shown


LOSSES = {
    "square": Loss(lambda f, y: np.where(np.isnan(f), np.nan, 1.0), _constant(np.inf), _constant(1.0)),
    "welsch": Loss(_welsch_curvature, _constant(np.exp(-0.5)), _constant(1.0), convex=_constant(False)),
    "barron": Loss(
        _barron_curvature,
        _barron_steepest,
        _barron_sharpest,
        {"alpha": 1.0, "scale": 1.0},
        convex=lambda alpha, scale: alpha >= 1,
    ),
    "huber": Loss(_huber_curvature, lambda delta: delta, _constant(1.0), {"delta": 1.0}),
    "logistic": Loss(_logistic_curvature, _constant(1.0), _constant(0.25), target=_classes, of_residual=False),
    "poisson": Loss(_poisson_curvature, _constant(np.inf), _constant(np.inf), target=_counts, of_residual=False),
}


def parameters(loss: str, given: dict) -> dict:
    """The parameters of a loss: its defaults, and over them those given (not None), checked."""
    chosen = dict(LOSSES[loss].defaults)
    for name, value in given.items():
        if value is None:
            continue
        if name not in chosen:
            takes = " and ".join(chosen) or "no parameter"
            raise ArgumentError(f"{name} does not belong to the loss {loss!r}, which takes {takes}")
        chosen[name] = _shape(value) if name == "alpha" else _check.positive(name, value)
    return chosen


def _shape(alpha):
    """Barron's α: any number, or −∞."""
    if isinstance(alpha, float) and alpha == -np.inf:
        return alpha
    alpha = _check.real("alpha", alpha)
    return alpha if alpha > _AS_GOOD_AS_INFINITE else -np.inf
