"""Stationary distributions: of an SDE by its Fokker–Planck equation, of a chain on its states or on a grid."""

from dynsim.stationary.barriers import QuasiPotential, quasi_potential
from dynsim.stationary.fokker_planck import FokkerPlanck, stationary_density
from dynsim.stationary.markov_chain import MarkovChain, markov_chain
from dynsim.stationary.process import MarkovProcess
from dynsim.stationary.small_steps import LargeDeviations, large_deviations
from dynsim.stationary.transfer_operator import TransferOperator, invariant_measure

__all__ = [
    "FokkerPlanck",
    "LargeDeviations",
    "MarkovChain",
    "MarkovProcess",
    "QuasiPotential",
    "TransferOperator",
    "invariant_measure",
    "large_deviations",
    "markov_chain",
    "quasi_potential",
    "stationary_density",
]
