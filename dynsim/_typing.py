"""Names for the types of arguments."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["ArrayLike", "Region", "Seed"]

# A function of theta (..., dim) that returns booleans (...)
Region = Callable[[np.ndarray], np.ndarray]
# SPEC 7
Seed = int | np.random.SeedSequence | np.random.Generator | None
