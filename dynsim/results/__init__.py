"""What the verbs return: frozen values that carry the settings and the seed that made them."""

from dynsim.results.density import Density
from dynsim.results.fluctuations import StationaryFluctuations
from dynsim.results.functions import GridFunction, ReactiveFlux, Spectrum
from dynsim.results.maps import StabilityMap
from dynsim.results.step_sizes import StepSizeRange
from dynsim.results.trajectories import Trajectories

__all__ = [
    "Density",
    "GridFunction",
    "ReactiveFlux",
    "Spectrum",
    "StabilityMap",
    "StationaryFluctuations",
    "StepSizeRange",
    "Trajectories",
]
