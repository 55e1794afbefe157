"""The papers' formulas as functions, each under its equation number, whether or not it holds."""

from dynsim.theory.lemma_2_1 import lemma_2_1

__all__ = ["lemma_2_1"]
