"""Landscapes of problems: stationary points, their kinds, and basins."""

from dynsim.landscape.points import StationaryPoints
from dynsim.landscape.search import minima

__all__ = ["StationaryPoints", "minima"]
