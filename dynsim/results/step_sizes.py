"""A range of stable step sizes."""

from dataclasses import dataclass, field

import numpy as np

from dynsim.results.common import xarray_module


@dataclass(frozen=True)
class StepSizeRange:
    """The step sizes 0 < η ≤ ``max`` for which a criterion of stability holds.

    Attributes
    ----------
    max : float
        The largest step size that is certain to hold; equal to ``lower``.
    criterion : str
        Name of the criterion.
    exact : bool
        Whether ``lower`` and ``upper`` are the same number.
    lower, upper : float
        Certified bounds on the critical step size.
    direction : ndarray of shape (dim,) or None
        The unit direction in which stability is lost first (for bounds: a direction that shows ``upper``).
    details : dict
        What the criterion also found.
    """

    max: float
    criterion: str
    exact: bool
    lower: float
    upper: float
    direction: np.ndarray | None = field(compare=False, repr=False)
    details: dict = field(compare=False, repr=False)

    def plot(self, ax=None, **style):
        """Draw the range as a bar over the step size and return the Axes."""
        from dynsim.plot import plot_step_size_range

        return plot_step_size_range(self, ax, **style)

    def to_xarray(self):
        """The bounds as an ``xarray.DataArray`` (needs the extra ``xarray``)."""
        return xarray_module().DataArray(
            [self.lower, self.upper],
            dims=("bound",),
            coords={"bound": ["lower", "upper"]},
            name="step_size",
            attrs={"criterion": self.criterion, "exact": self.exact},
        )
