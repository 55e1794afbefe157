"""Stochastic differential equations, Itô: a user's own, or the limit of a chain."""

from dynsim.sde.increments import noise_increments
from dynsim.sde.integrate import integrate
from dynsim.sde.limit import sde_limit
from dynsim.sde.model import SDE
from dynsim.sde.scheme import Scheme, schemes

__all__ = ["SDE", "Scheme", "integrate", "noise_increments", "schemes", "sde_limit"]
