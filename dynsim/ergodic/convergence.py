"""How an empirical measure comes nearer to a law as its path grows longer."""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.stationary.distances import wasserstein

_MOST_GROUPS = 16  # of paths, each of which is one run
_LEAST_TIMES = 4


@dataclass(frozen=True, eq=False, repr=False)
class ConvergenceCurve:
    """W1 between a measure and the empirical measure μ_n of longer and longer runs, from ``EmpiricalMeasure.curve``.

    Paths are put in at most 16 groups, each of them one run; distances are means over the groups.

    Attributes
    ----------
    n : ndarray of int, shape (m,)
        States of each path.
    distance, stderr : ndarray, shape (m,)
        Mean over the groups, and its standard error, nan for one group.
    floor : ndarray, shape (m,)
        Mean distance of such a run from its own law: that at the end, times √(n_end/n); nan where it is not known.
    slope : float
        Of log ``distance`` against log n over the later half of the axis: −1/2 where chance is all, less steep where
        the measure is another one or the run has not forgotten its start.
    slope_stderr : float
        From the scatter of the slopes of the groups; nan for one group.
    n_groups : int
        Number of groups.
    """

    n: np.ndarray
    distance: np.ndarray
    stderr: np.ndarray
    floor: np.ndarray
    slope: float
    slope_stderr: float
    n_groups: int
    settings: dict = field(repr=False)

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Ends of a confidence interval of the slope, by Student's t between groups."""
        level = 0.5 + 0.5 * _check.between("confidence", confidence, 0, 1)
        t = stats.t.ppf(level, self.n_groups - 1) if self.n_groups > 1 else math.nan
        return self.slope - t * self.slope_stderr, self.slope + t * self.slope_stderr

    def plot(self, ax=None, **style):
        """Draw the distance and its floor against n on logarithmic axes and return the Axes."""
        from dynsim.plot import plot_convergence

        return plot_convergence(self, ax, **style)

    def __repr__(self):
        return (
            f"ConvergenceCurve({self.n_groups} groups, n {self.n[0]} … {self.n[-1]}: W1 {self.distance[0]:.3g} … "
            f"{self.distance[-1]:.3g}, floor {self.floor[-1]:.3g}, slope {self.slope:.3f} ± {self.slope_stderr:.3f})"
        )


def convergence_curve(measure, law, floor: float, n_times: int, settings: dict) -> ConvergenceCurve:
    """The curve of a measure whose W1 from its own law is ``floor`` by chance."""
    n_times = _check.count("n_times", n_times, least=_LEAST_TIMES)
    if measure.n < 4 * n_times:
        raise ArgumentError(
            f"n_times must be at most {measure.n // 4}, a quarter of the states of a path, got {n_times}"
        )
    n_groups = min(_MOST_GROUPS, measure.n_paths)
    groups = np.array_split(np.arange(measure.n_paths), n_groups)
    n = np.unique(np.rint(np.geomspace(max(4, measure.n // 1000), measure.n, n_times)).astype(np.int64))
    distance = np.array([[wasserstein(measure.part(rows, m).law, law) for m in n.tolist()] for rows in groups])
    later = n >= math.sqrt(n[0] * n[-1])
    x = np.log(n[later]) - np.log(n[later]).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.log(distance[:, later]) @ x / (x @ x)
    spread = 1 / math.sqrt(n_groups) if n_groups > 1 else math.nan
    return ConvergenceCurve(
        n,
        distance.mean(axis=0),
        distance.std(axis=0, ddof=min(1, n_groups - 1)) * spread,
        floor * math.sqrt(n_groups) * np.sqrt(measure.n / n),
        float(slopes.mean()),
        float(slopes.std(ddof=min(1, n_groups - 1)) * spread),
        n_groups,
        settings,
    )
