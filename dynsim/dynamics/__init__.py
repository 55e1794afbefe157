"""Deterministic dynamics: orbits, periods, bifurcations, Lyapunov exponents, dimensions and basins of maps."""

from dynsim.dynamics.attractors import BasinsOfAttraction, basins
from dynsim.dynamics.diagrams import Bifurcation, bifurcation
from dynsim.dynamics.dimension import CorrelationDimension, correlation_dimension
from dynsim.dynamics.exponents import LyapunovExponents, floquet_multipliers, lyapunov_exponents
from dynsim.dynamics.flows import flow
from dynsim.dynamics.optimization import descent
from dynsim.dynamics.orbits import Orbit, orbit
from dynsim.dynamics.system import Map

__all__ = [
    "BasinsOfAttraction",
    "Bifurcation",
    "CorrelationDimension",
    "LyapunovExponents",
    "Map",
    "Orbit",
    "basins",
    "bifurcation",
    "correlation_dimension",
    "descent",
    "floquet_multipliers",
    "flow",
    "lyapunov_exponents",
    "orbit",
]
