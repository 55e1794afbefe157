"""How far a scheme stays from a minimum that does not fit all terms."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.results.common import xarray_module


@dataclass(frozen=True, eq=False)
class StationaryFluctuations:
    """Stationary covariance of θ − θ* against the step size, from :func:`dynsim.stability.stationary_covariance`.

    Attributes
    ----------
    step_sizes : ndarray, shape (m,)
        The step sizes η.
    covariance : ndarray, shape (m, dim, dim)
        Covariance of θ − θ*, all inf where it is not finite.
    threshold : float
        The covariance is finite for η < ``threshold``; NaN where only the leading order is known.
    leading : ndarray, shape (dim, dim)
        The limit of covariance/η for η → 0.
    exact : bool
        Whether ``covariance`` is that of the linearized dynamics, or η ``leading``.
    settings : dict
        What it was computed for.
    """

    step_sizes: np.ndarray
    covariance: np.ndarray = field(repr=False)
    threshold: float
    leading: np.ndarray = field(repr=False)
    exact: bool
    settings: dict = field(repr=False)

    @property
    def variance(self) -> np.ndarray:
        """E‖θ − θ*‖², the trace of the covariance, shape (m,)."""
        return np.trace(self.covariance, axis1=1, axis2=2)

    def plot(self, ax=None, **style):
        """Draw the variance and its leading order against the step size and return the Axes."""
        from dynsim.plot import plot_fluctuations

        return plot_fluctuations(self, ax, **style)

    def to_xarray(self):
        """The covariances as an ``xarray.DataArray`` (needs the extra ``xarray``)."""
        return xarray_module().DataArray(
            self.covariance,
            dims=("step_size", "row", "column"),
            coords={"step_size": self.step_sizes},
            name="covariance",
            attrs={"threshold": self.threshold, "exact": self.exact},
        )
