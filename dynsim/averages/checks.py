"""What is said about a run whose average cannot be trusted: why, and what would help."""

import numpy as np

from dynsim.averages.batches import merged
from dynsim.averages.methods import FEWEST, FREEDOM
from dynsim.averages.transients import MANY, differ

_STUCK = 0.4  # of the variance of φ between the averages of chains: fewer than 2.5 independent values in each
_DRIFT = 2e-5  # probability, on each side, of halves that differ
_APART = 1.05  # R̂
_ENDS = 20  # single values by which halves of a cycle may differ that all chains share
_DISAGREE = 1e-3  # probability of a scatter between chains at which it is said that they disagree …
_EXCESSIVE = 1e-4  # … and of few, whose scatter is no measure
_CROSSINGS = 20  # of its average by φ, in all: fewer are too few events to tell a correlation time from
_EFFECTIVE = 60  # independent values in all, as few
_CALM = 0.5  # observations of correlation time, from which on crossings are needed: below, batches of a cycle have none
_SLOW = 2.0  # … and independent values


def problem(batches, result, averages, level):
    """Why the error is not honest, or None; ``averages`` are those of each chain (n_paths, q), for φ of variance 1."""
    m, n, q = batches.n_paths, batches.n, averages.shape[1]
    dof, constant, tau = result.dof.ravel(), result.constant.ravel(), result.tau.ravel()
    more = f"observations per chain, or {MANY} chains, are needed" if m < MANY else "observations per chain are needed"
    if batches.means.shape[1] < FEWEST and m < MANY and not constant.all():
        left = f" after a burn-in of {result.burn_in:g}" if result.burn_in > 0 else ""
        return (
            f"{_run(m, n)}{left} are too few: at least {FEWEST} batches of each of them, or {MANY} chains, are needed"
        )
    for j in np.flatnonzero(~constant):
        which = called(result.names, j, q)
        share = averages[:, j].var(ddof=1) if m > 1 else 0.0
        if share > _STUCK:
            return (
                f"the chains have hardly moved: averages of {which} over each of them vary by "
                f"{100 * min(share, 1):.0f} % of its own variance; each needs about "
                f"{_round(10 * n * share)} observations instead of {_round(n)}"
            )
        if dof[j] < FREEDOM and m < MANY and not result.between.flat[j]:
            return (
                f"{_run(m, n)} are too few for correlations of {which} over {tau[j]:.3g}: about "
                f"{_round(n * max(2 * FREEDOM / dof[j], 2))} {more}{_groups(batches, j) if m > 1 else ''}"
            )
        if level[j] < _EXCESSIVE and m < MANY:
            return (
                f"averages of {which} over the {m} chains differ by more than the correlation within them explains, "
                f"and {m} chains do not tell by how much: {MANY} chains, or much longer ones, are needed"
                f"{_groups(batches, j)}"
            )
        if _drifts(batches, result, j):
            return (
                f"the average of {which} still drifts after a burn-in of {result.burn_in:g}: start the average later, "
                f"in a run of more than {_round(2 * n)} observations"
            )
        if tau[j] < _CALM * batches.interval or (m >= MANY and result.between.flat[j]):
            continue
        effective, crossings = float(result.n_effective.flat[j]), _crossings(batches, j, tau[j] / batches.interval)
        slow = tau[j] >= _SLOW * batches.interval
        if crossings < _CROSSINGS or (slow and effective < _EFFECTIVE):
            factor = 2 * max(_CROSSINGS / max(crossings, 1), _EFFECTIVE / effective if slow else 0)
            long = f" for correlations of {which} over {tau[j]:.3g}, worth {effective:.0f} independent values"
            return (
                f"{_run(m, n)} are too few{long if slow else ''}: {which} crosses its average {crossings} times; "
                f"about {_round(n * factor)} observations per chain, or as many more chains, are needed"
                f"{_apart(batches, result, j)}"
            )
    return None


def poor_mixing(batches, result, level):
    """A warning about chains that disagree, though the error is honest; None if they agree."""
    bad = np.flatnonzero(result.between.ravel() & ~result.constant.ravel() & (level < _DISAGREE))
    if bad.size == 0:
        return None
    which = called(result.names, bad[0], result.constant.size)
    text = (
        f"the chains disagree about {which} beyond what correlation within them explains "
        f"(R̂ = {float(result.r_hat.flat[bad[0]]):.3g}); the error is that of their scatter: right only if they "
        f"started from the stationary law{_groups(batches, bad[0])}"
    )
    return text + _started(batches)


def called(names, j, q):
    """What φ number j is called in a message."""
    return f"{names[j]!r}" if names else "φ" if q == 1 else f"φ[{j}]"


def _drifts(batches, result, j):
    """Whether the two halves differ: judged between chains if they are many, else by the error of the whole."""
    from scipy.special import stdtrit

    half = batches.means.shape[1] // 2
    one = batches.means[:, :half, j : j + 1].mean(axis=1)
    other = batches.means[:, half:, j : j + 1].mean(axis=1)
    if batches.n_paths >= MANY:
        ends = _ENDS * np.sqrt(batches.variance()[j]) / batches.n
        return differ(one, other, _DRIFT) and bool(abs((one - other).mean()) > ends)
    expected = 2 * float(result.stderr.flat[j])
    return bool(abs((one - other).mean()) > -stdtrit(float(result.dof.flat[j]), _DRIFT) * expected)


def _crossings(batches, j, tau):
    """How often φ goes over its average or back, in batches longer than ``tau``."""
    k = batches.means.shape[1]
    group = int(np.clip(np.ceil(tau / batches.size), 1, max(k // 2, 1)))
    long = merged(batches.means[..., j : j + 1], group)
    above = long > batches.averages()[:, j].mean()
    return int((above[:, 1:] != above[:, :-1]).sum())


def _apart(batches, result, j):
    """The groups, and where chains started, if they disagree."""
    if batches.n_paths == 1 or not result.r_hat.flat[j] > _APART:
        return ""
    return _groups(batches, j) + _started(batches)


def _started(batches):
    if batches.start_point is None:
        return ""
    return f"; they all started at {_point(batches.start_point)}: start them at dispersed points"


def _groups(batches, j):
    """The two groups of chains on both sides of the largest gap between their averages."""
    averages = batches.averages()[:, j]
    order = np.argsort(averages)
    cut = int(np.argmax(np.diff(averages[order]))) + 1
    parts = []
    for some in (order[:cut], order[cut:]):
        text = f"{some.size} of mean {averages[some].mean():.3g}"
        if batches.positions is not None:
            text += f" near {_point(np.median(batches.positions[some], axis=0))}"
        parts.append(text)
    return f" (chains: {parts[0]}, {parts[1]})"


def _point(x):
    shown = ", ".join(f"{one:.3g}" for one in x[:3])
    return f"({shown}{', …' if x.size > 3 else ''})"


def _run(m, n):
    return f"{_round(n)} observations" + (f" of each of {m} chains" if m > 1 else "")


def _round(number):
    """Two digits, thousands apart: 40 000."""
    if number < 100:
        return f"{number:.0f}"
    scale = 10.0 ** (int(np.log10(number)) - 1)
    return f"{round(number / scale) * scale:,.0f}".replace(",", " ")
