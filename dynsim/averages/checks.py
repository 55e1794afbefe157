"""What is said about a run whose average cannot be trusted: why, and what would help."""

import numpy as np

from dynsim.averages.methods import FEWEST
from dynsim.averages.transients import MANY, differ

_STUCK = 0.4  # of the variance of φ between the averages of chains: fewer than 2.5 independent values in each
_DRIFT = 5e-4  # probability, on each side, of halves that differ
_DISAGREE = 1.05  # R̂


def problem(batches, result, averages, suspect):
    """Why the error is not honest, or None; ``averages`` are those of each chain (n_paths, q), for φ of variance 1."""
    m, n, q = batches.n_paths, batches.n, averages.shape[1]
    dof, constant = result.dof.ravel(), result.constant.ravel()
    if batches.means.shape[1] < FEWEST and m < MANY and not constant.all():
        return f"{_run(m, n)} are too few: at least {FEWEST} batches of each of them, or {MANY} chains, are needed"
    for j in np.flatnonzero(~constant):
        which = called(result.names, j, q)
        share = averages[:, j].var(ddof=1) if m > 1 else 0.0
        if share > _STUCK:
            return (
                f"the chains have hardly moved: averages of {which} over each of them vary by "
                f"{100 * min(share, 1):.0f} % of its own variance; each needs about "
                f"{_round(10 * n * share)} observations instead of {_round(n)}"
            )
        if dof[j] < FEWEST and m < MANY and not result.between.flat[j]:
            return (
                f"{_run(m, n)} are too few for correlations of {which} over {float(result.tau.flat[j]):.3g}: about "
                f"{_round(n * max(2 * FEWEST / dof[j], 2))} observations per chain, or {MANY} chains, are needed"
                f"{_who(batches, result, j)}"
            )
        if suspect[j]:
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
    return None


def poor_mixing(batches, result):
    """A warning about chains that disagree, though the error is honest; None if they agree."""
    bad = np.flatnonzero((result.r_hat.ravel() > _DISAGREE) & result.between.ravel() & ~result.constant.ravel())
    if bad.size == 0 or batches.n_paths < 2:
        return None
    which = called(result.names, bad[0], result.constant.size)
    return (
        f"chains disagree about {which} (R̂ = {float(result.r_hat.flat[bad[0]]):.3g}), so the error is that of their "
        f"scatter: right only if they started from the stationary law{_groups(batches, bad[0])}"
    )


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
        return differ(one, other, _DRIFT)
    expected = 2 * float(result.stderr.flat[j])
    return bool(abs((one - other).mean()) > -stdtrit(float(result.dof.flat[j]), _DRIFT) * expected)


def _who(batches, result, j):
    """The groups, if the chains disagree."""
    return _groups(batches, j) if batches.n_paths > 1 and result.r_hat.flat[j] > _DISAGREE else ""


def _groups(batches, j):
    """The two groups of chains on both sides of the largest gap between their averages."""
    averages = batches.averages()[:, j]
    order = np.argsort(averages)
    cut = int(np.argmax(np.diff(averages[order]))) + 1
    parts = []
    for some in (order[:cut], order[cut:]):
        text = f"{some.size} of mean {averages[some].mean():.3g}"
        if batches.positions is not None:
            point = np.median(batches.positions[some], axis=0)
            shown = ", ".join(f"{x:.3g}" for x in point[:3])
            text += f" near ({shown}{', …' if point.size > 3 else ''})"
        parts.append(text)
    return f" (chains: {parts[0]}, {parts[1]})"


def _run(m, n):
    return f"{_round(n)} observations" + (f" of each of {m} chains" if m > 1 else "")


def _round(number):
    """Two digits, thousands apart: 40 000."""
    if number < 100:
        return f"{number:.0f}"
    scale = 10.0 ** (int(np.log10(number)) - 1)
    return f"{round(number / scale) * scale:,.0f}".replace(",", " ")
