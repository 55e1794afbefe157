"""The main job: one problem, one step size, several schemes side by side, as numbers and as a picture."""

from dynsim.compare.averages import AverageComparison, compare_averages
from dynsim.compare.data import DataComparison, compare_on_data
from dynsim.compare.densities import DensityComparison, compare_densities
from dynsim.compare.edge import EdgeOfStability, edge_of_stability
from dynsim.compare.holds import HoldComparison, compare_holds
from dynsim.compare.stability import LinearStability, compare_stability
from dynsim.compare.stationary import StationaryComparison, compare_stationary
from dynsim.compare.valleys import ValleyComparison, compare_on_valleys

__all__ = [
    "AverageComparison",
    "DataComparison",
    "DensityComparison",
    "EdgeOfStability",
    "HoldComparison",
    "LinearStability",
    "StationaryComparison",
    "ValleyComparison",
    "compare_averages",
    "compare_densities",
    "compare_holds",
    "compare_on_data",
    "compare_on_valleys",
    "compare_stability",
    "compare_stationary",
    "edge_of_stability",
]
