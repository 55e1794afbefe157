"""How long a step a scheme may take from a minimum at a kink without leaving its valley."""

import itertools

import numpy as np

from dynsim.errors import NotApplicable
from dynsim.methods.base import plain_sgd
from dynsim.results import StepSizeRange

_SIDE = 1e-6  # of the distance to the next kink: where gradients beside a kink are taken
_CURVED = 1e-9  # relative change of a gradient between two kinks, beyond which a loss is not linear there


def hold_at_kink(problem, method, at, criterion):
    """The range for a minimum ``at`` among the kinks of a loss of one variable, linear beside it; None elsewhere."""
    kinks = np.array(problem.kinks)
    on_kink = np.isclose(kinks, at, rtol=1e-9, atol=1e-12).any()
    known = problem.minima is not None and not np.isclose(problem.minima, at, rtol=1e-9, atol=1e-12).any()
    if known and (on_kink or not problem.term_hessians(np.array([at])).any()):
        raise NotApplicable(f"at must be one of the minima {problem.minima.ravel().tolist()}, got {[at]}")
    if not on_kink:
        return None
    plain_sgd("step_size_range", method)
    if criterion != "one-step":
        raise NotApplicable(
            f"{problem.name} has a kink at {at:g} and no Hessian there: it has the criterion 'one-step', "
            f"got {criterion!r}; ds.stability.escape_times says how long it holds"
        )
    barrier = _barrier(problem, kinks, at)
    gap = _SIDE * abs(barrier - at)
    sides = at + np.array([[-gap], [gap]])
    steps = -method.sampling.reweighting(problem, sides) * problem.term_gradients(sides)[..., 0]
    towards = steps * np.sign(barrier - at)
    largest = float(abs(barrier - at) / towards.max())
    side, term = np.unravel_index(towards.argmax(), towards.shape)
    details = {"barrier": barrier, "term": int(term), "side": ("below", "above")[side]}
    return StepSizeRange(largest, "one-step", True, largest, largest, np.array([np.sign(barrier - at)]), details)


def _barrier(problem, kinks, at):
    """The nearest kink beyond which the loss falls again, having risen in straight pieces from ``at``."""
    found = []
    for sign in (-1.0, 1.0):
        beyond = np.sort(sign * kinks[sign * (kinks - at) > 1e-9 * max(1.0, abs(at))]) * sign
        ends = np.array([at, *beyond, (beyond[-1] if beyond.size else at) + sign])
        for k, (left, right) in enumerate(itertools.pairwise(ends)):
            slopes = sign * problem.gradient(left + (right - left) * np.array([[_SIDE], [0.5], [1 - _SIDE]]))[:, 0]
            if k == 0 and slopes.min() <= 0:
                raise NotApplicable(f"at must be a minimum of {problem.name}, it falls on a side of {at:g}")
            if np.ptp(slopes) > _CURVED * np.abs(slopes).max():
                raise NotApplicable(f"{problem.name} is not linear between its kinks {left:g} and {right:g}")
            if slopes.max() < 0:
                found.append(float(left))
                break
    if not found:
        raise NotApplicable(f"{problem.name} has no barrier beside {at:g}: no step leaves its only valley")
    return min(found, key=lambda barrier: abs(barrier - at))
