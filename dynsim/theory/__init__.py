"""The papers' formulas as functions, each under its equation number, whether or not it holds."""

from dynsim.theory.balance_of_loss import LossBalance, equation_6_10
from dynsim.theory.continuous_time import MeanSquareDecay, remark_3_6
from dynsim.theory.convergence_speed import ConvergenceSpeed, convergence_speed
from dynsim.theory.deviation import Exceedance, FlowDeviation, lemma_3_8
from dynsim.theory.invariance import (
    NoLimit,
    WeakConvergence,
    WindowedAverages,
    invariance_defect,
    lemma_6_4_2,
    theorem_6_4_3,
    theorem_6_4_4,
)
from dynsim.theory.lemma_2_1 import lemma_2_1
from dynsim.theory.local_convergence import LocalConvergence, LocalConvergenceRun, theorem_3_4
from dynsim.theory.reduced_step import ReducedStep, theorem_6_5_1
from dynsim.theory.weight_decay import WeightBound, theorem_6_4_6

__all__ = [
    "ConvergenceSpeed",
    "Exceedance",
    "FlowDeviation",
    "LocalConvergence",
    "LocalConvergenceRun",
    "LossBalance",
    "MeanSquareDecay",
    "NoLimit",
    "ReducedStep",
    "WeakConvergence",
    "WeightBound",
    "WindowedAverages",
    "convergence_speed",
    "equation_6_10",
    "invariance_defect",
    "lemma_2_1",
    "lemma_3_8",
    "lemma_6_4_2",
    "remark_3_6",
    "theorem_3_4",
    "theorem_6_4_3",
    "theorem_6_4_4",
    "theorem_6_4_6",
    "theorem_6_5_1",
]
