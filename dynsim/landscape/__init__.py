"""Landscapes of problems: stationary points, their kinds, basins, and curvature along runs."""

from dynsim.landscape.curvature import sharpness
from dynsim.landscape.draws import GradientNoise, gradient_noise
from dynsim.landscape.points import StationaryPoints
from dynsim.landscape.search import minima
from dynsim.landscape.smoothness_fit import SmoothnessFit, fit_smoothness, local_smoothness
from dynsim.landscape.statistics import RunStatistics, run_statistics

__all__ = [
    "GradientNoise",
    "RunStatistics",
    "SmoothnessFit",
    "StationaryPoints",
    "fit_smoothness",
    "gradient_noise",
    "local_smoothness",
    "minima",
    "run_statistics",
    "sharpness",
]
