"""The papers' formulas as functions, each under its equation number, whether or not it holds."""

from dynsim.theory.continuous_time import MeanSquareDecay, remark_3_6
from dynsim.theory.convergence_speed import ConvergenceSpeed, convergence_speed
from dynsim.theory.deviation import Exceedance, FlowDeviation, lemma_3_8
from dynsim.theory.lemma_2_1 import lemma_2_1
from dynsim.theory.local_convergence import LocalConvergence, LocalConvergenceRun, theorem_3_4

__all__ = [
    "ConvergenceSpeed",
    "Exceedance",
    "FlowDeviation",
    "LocalConvergence",
    "LocalConvergenceRun",
    "MeanSquareDecay",
    "convergence_speed",
    "lemma_2_1",
    "lemma_3_8",
    "remark_3_6",
    "theorem_3_4",
]
