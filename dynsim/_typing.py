"""Names for the types of arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["ArrayLike", "Average", "Observe", "Region", "Seed", "Until"]

# A function of theta (..., dim) that returns booleans (...)
Region = Callable[[np.ndarray], np.ndarray]
# SPEC 7
Seed = int | np.random.SeedSequence | np.random.Generator | None

if TYPE_CHECKING:
    from dynsim.observers import AverageOf, BatchMeans, Observer

# What a run is to observe
Observe = Union["Observer", "Sequence[Observer]", "Mapping[str, Observer]", None]
# What a run is to average, and the error at which it may stop: relative, or by kind
Average = Union[Callable, "AverageOf", "Mapping[str, Callable | AverageOf]", "BatchMeans", None]
Until = float | Mapping[str, float] | None
