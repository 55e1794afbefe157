"""How a step is made: update rule, sampling, batch and step size in one immutable value."""

from dynsim.methods.adaptive import ACClip, Adam, RMSProp
from dynsim.methods.base import Method
from dynsim.methods.custom import Custom
from dynsim.methods.descent import RR, SGD, CClip, Clipped, GClip, Normalized, ProjectedGClip
from dynsim.methods.ingd import INGD, StationarityCertificate, StochasticINGD
from dynsim.methods.momentum import HeavyBall, Nesterov

__all__ = [
    "INGD",
    "RR",
    "SGD",
    "ACClip",
    "Adam",
    "CClip",
    "Clipped",
    "Custom",
    "GClip",
    "HeavyBall",
    "Method",
    "Nesterov",
    "Normalized",
    "ProjectedGClip",
    "RMSProp",
    "StationarityCertificate",
    "StochasticINGD",
]
