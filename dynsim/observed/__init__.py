"""What observers have found: frozen values, with standard errors from the scatter between independent paths."""

from dynsim.observed.averages import Averages, BatchedMeans
from dynsim.observed.histograms import Counts
from dynsim.observed.moments import Extreme, MomentEstimates
from dynsim.observed.passages import Passages, Visited

__all__ = ["Averages", "BatchedMeans", "Counts", "Extreme", "MomentEstimates", "Passages", "Visited"]
