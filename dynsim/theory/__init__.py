"""The papers' formulas as functions, each under its equation number, whether or not it holds."""

from dynsim.theory.convergence_speed import ConvergenceSpeed, convergence_speed
from dynsim.theory.lemma_2_1 import lemma_2_1

__all__ = ["ConvergenceSpeed", "convergence_speed", "lemma_2_1"]
