"""A critical step size between two bounds."""

from typing import NamedTuple

import numpy as np


class Bounds(NamedTuple):
    """lower ≤ η* ≤ upper in the units of a :class:`dynsim.stability.dynamics.Dynamics`, equal where η* is exact.

    ``direction`` (r,) is one in which stability is lost first, or None; ``details`` what was also found.
    """

    lower: float
    upper: float
    direction: np.ndarray | None
    details: dict
