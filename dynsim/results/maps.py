"""Growth over step sizes and a second axis."""

from dataclasses import dataclass, field

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.results.common import xarray_module


@dataclass(frozen=True, eq=False)
class StabilityMap:
    """Growth of E‖θ − θ*‖² in one step, over step sizes and a second axis; from :func:`dynsim.stability_map`.

    Attributes
    ----------
    names : tuple of str
        Names of the m methods.
    step_sizes : ndarray, shape (s,)
        Step sizes η.
    axis : str or None
        What the second axis is: ``"batch_size"``, or the name of the parameter; None where there is none.
    values : ndarray, shape (k,)
        Its values; one NaN where there is none.
    growth : ndarray, shape (m, k, s)
        Asymptotic growth of ln E‖θ − θ*‖² in one step: below 0 where the second moment contracts.
    stderr : ndarray, shape (m, k, s)
        Errors of ``growth``, 0 where it is exact: bounds on grids, standard errors of particles.
    zeros : ndarray, shape (m, k, 2)
        Bounds on the step size at which the growth passes 0: the critical ones of "mean-square" where that is among the
        criteria or proportions are fixed; else found by bisection with short runs, to about 1 % and 4 standard errors,
        between two of ``step_sizes``. NaN where the growth does not become positive within ``step_sizes``.
    critical : dict of str to ndarray, shape (m, k, 2)
        Bounds (lower, upper) on the critical step size by criterion; NaN where a method does not have the criterion.
    settings : dict
        What made it.
    """

    names: tuple[str, ...]
    step_sizes: np.ndarray = field(repr=False)
    axis: str | None
    values: np.ndarray
    growth: np.ndarray = field(repr=False)
    stderr: np.ndarray = field(repr=False)
    zeros: np.ndarray = field(repr=False)
    critical: dict[str, np.ndarray] = field(repr=False)
    settings: dict = field(repr=False)

    def ratio(self, a: str, b: str, criterion: str | None = None) -> np.ndarray:
        """How many times larger the critical step size of method ``a`` is than that of ``b``.

        Parameters
        ----------
        a, b : str
            Names of methods.
        criterion : str, optional
            One of those in ``critical``. By default the only one there, or "mean-square" if it is among them.

        Returns
        -------
        ndarray, shape (k, 2)
            Lower and upper bounds, for each value of the second axis.
        """
        above, below = (self.names.index(_check.choice(n, name, self.names)) for n, name in (("a", a), ("b", b)))
        if criterion is None:
            criterion = next(iter(self.critical)) if len(self.critical) == 1 else "mean-square"
        if criterion not in self.critical:
            listed = ", ".join(map(repr, self.critical)) or "none"
            raise ArgumentError(
                f"criterion {criterion!r} was not computed for this map, of its critical step sizes there are: "
                f"{listed}; stability_map(…, criteria=…) names those to be computed"
            )
        bounds = self.critical[criterion]
        return bounds[above] / bounds[below, :, ::-1]

    def plot(self, ax=None, **style):
        """Draw a panel for each method, and return the Axes, shape (m,).

        Over two axes the growth is a color, blue where E‖θ − θ*‖² contracts; over step sizes alone it is a curve. Lines
        are the critical step sizes, shaded between their bounds.

        Parameters
        ----------
        ax : Axes, or sequence of m Axes, optional
            Where to draw; new ones by default.
        **style
            Of the image, or of the curves.
        """
        from dynsim.plot import plot_stability_map

        return plot_stability_map(self, ax, **style)

    def to_xarray(self):
        """An ``xarray.Dataset`` of ``growth``, ``stderr``, ``zeros`` and ``critical`` (needs the extra ``xarray``).

        Its dimensions are "scheme" (the methods), the name of the second axis ("setting" where there is none) and
        "step_size".
        """
        axis = "setting" if self.axis is None else self.axis
        coords = {
            "scheme": list(self.names),
            axis: self.values,
            "step_size": self.step_sizes,
            "criterion": list(self.critical),
            "bound": ["lower", "upper"],
        }
        cells = ("scheme", axis, "step_size")
        critical = np.array(list(self.critical.values())).reshape(len(self.critical), *self.growth.shape[:2], 2)
        return xarray_module().Dataset(
            {
                "growth": (cells, self.growth),
                "stderr": (cells, self.stderr),
                "zeros": (("scheme", axis, "bound"), self.zeros),
                "critical": (("criterion", "scheme", axis, "bound"), critical),
            },
            coords=coords,
        )
