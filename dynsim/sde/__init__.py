"""Stochastic differential equations, Itô: a user's own, or the limit of a chain."""

from dynsim.sde.increments import noise_increments
from dynsim.sde.integrate import integrate
from dynsim.sde.limit import sde_limit
from dynsim.sde.model import SDE

__all__ = ["SDE", "integrate", "noise_increments", "sde_limit"]
