"""Stationary distributions: of an SDE by its Fokker–Planck equation, of a chain on its lattice of states."""

from dynsim.stationary.fokker_planck import stationary_density
from dynsim.stationary.markov_chain import MarkovChain, markov_chain

__all__ = ["MarkovChain", "markov_chain", "stationary_density"]
