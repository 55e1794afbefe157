"""Maps x → F(x), with their derivative: what everything here is about."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Map:
    """A map F of R^dim into itself, vectorized over leading axes.

    Attributes
    ----------
    function : callable
        x (..., dim) -> F(x) (..., dim).
    dim : int
        Dimension of the state: that of θ and, below it, of what the method remembers.
    jacobian : callable, optional
        x (..., dim) -> DF(x) (..., dim, dim); by central differences if not given.
    n_observed : int
        The first so many coordinates are θ; ``dim`` by default.
    name : str
        For labels.
    """

    function: Callable[[np.ndarray], np.ndarray]
    dim: int
    jacobian: Callable[[np.ndarray], np.ndarray] | None = None
    n_observed: int | None = None
    name: str = field(default="map")
