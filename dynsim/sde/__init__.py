"""Stochastic differential equations, Itô: a user's own, or the limit of a chain."""

from dynsim.sde.integrate import integrate
from dynsim.sde.limit import sde_limit
from dynsim.sde.model import SDE

__all__ = ["SDE", "integrate", "sde_limit"]
