"""Itô SDEs whose laws are known exactly: oracles for whatever simulates or discretizes, and examples to start from."""

from dynsim.sdes.exact import ExactSDE
from dynsim.sdes.linear import geometric_brownian_motion, ornstein_uhlenbeck
from dynsim.sdes.pearson import cox_ingersoll_ross, inverse_gamma, student
from dynsim.sdes.ring import WrappedNormal, brownian_ring
from dynsim.sdes.wells import double_well

__all__ = [
    "ExactSDE",
    "WrappedNormal",
    "brownian_ring",
    "cox_ingersoll_ross",
    "double_well",
    "geometric_brownian_motion",
    "inverse_gamma",
    "ornstein_uhlenbeck",
    "student",
]
