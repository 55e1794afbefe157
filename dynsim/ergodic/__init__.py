"""Long runs and what they converge to: time averages, empirical measures, invariance."""

from dynsim.ergodic.averages import time_average
from dynsim.ergodic.chance import Distance
from dynsim.ergodic.convergence import ConvergenceCurve
from dynsim.ergodic.invariance import InvarianceTest, invariance_test
from dynsim.ergodic.measures import EmpiricalMeasure
from dynsim.ergodic.vanishing import VanishingChange, vanishing_change

__all__ = [
    "ConvergenceCurve",
    "Distance",
    "EmpiricalMeasure",
    "InvarianceTest",
    "VanishingChange",
    "invariance_test",
    "time_average",
    "vanishing_change",
]
