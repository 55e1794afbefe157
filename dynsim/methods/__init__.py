"""How a step is made: update rule, sampling and step size in one immutable value."""

from dynsim.methods.sgd import RR, SGD

__all__ = ["RR", "SGD"]
