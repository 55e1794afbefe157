"""For which step sizes a scheme holds on to a minimum, by every criterion, and how far it fluctuates elsewhere."""

from dynsim.stability.escape import EscapeTimes, escape_times
from dynsim.stability.fluctuations import stationary_covariance
from dynsim.stability.linearized import Terms, terms
from dynsim.stability.maps import stability_map
from dynsim.stability.ranges import step_size_range
from dynsim.stability.simulation import Crossing, EmpiricalGrowth, empirical

__all__ = [
    "Crossing",
    "EmpiricalGrowth",
    "EscapeTimes",
    "Terms",
    "empirical",
    "escape_times",
    "stability_map",
    "stationary_covariance",
    "step_size_range",
    "terms",
]
