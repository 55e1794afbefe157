"""Names for the types of arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["ArrayLike", "Observe", "Region", "Seed"]

# A function of theta (..., dim) that returns booleans (...)
Region = Callable[[np.ndarray], np.ndarray]
# SPEC 7
Seed = int | np.random.SeedSequence | np.random.Generator | None

if TYPE_CHECKING:
    from dynsim.observers import Observer

# What a run is to observe
Observe = Union["Observer", "Sequence[Observer]", "Mapping[str, Observer]", None]
