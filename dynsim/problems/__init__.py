"""What is minimized: finite sums of losses."""

from dynsim.problems.checking import GradientCheck, check_gradient
from dynsim.problems.data import Table, data_sets, load_data
from dynsim.problems.landscapes import (
    ExponentialWings,
    FlatQuartic,
    ResistingChain,
    egg_carton,
    exponential_wings,
    flat_quartic,
    resisting_chain,
)
from dynsim.problems.linear_model import LinearModel, linear_model
from dynsim.problems.network import ReLUNetwork, relu_network
from dynsim.problems.nonsmooth import abs_well, max_of_linears, ramp, resisting_zigzag
from dynsim.problems.populations import (
    DisparateGroups,
    RobustClassification,
    RobustRegression,
    disparate_groups,
    robust_classification,
    robust_regression,
)
from dynsim.problems.potentials import (
    ExponentialPotential,
    PairwisePotential,
    exponential_potential,
    gaussian_wells,
    muller_brown,
    pairwise_potential,
)
from dynsim.problems.problem import Problem
from dynsim.problems.quadratics import BernoulliQuadratic, bernoulli_quadratic, lessard_piecewise, quadratic
from dynsim.problems.two_valleys import two_valleys

__all__ = [
    "BernoulliQuadratic",
    "DisparateGroups",
    "ExponentialPotential",
    "ExponentialWings",
    "FlatQuartic",
    "GradientCheck",
    "LinearModel",
    "PairwisePotential",
    "Problem",
    "ReLUNetwork",
    "ResistingChain",
    "RobustClassification",
    "RobustRegression",
    "Table",
    "abs_well",
    "bernoulli_quadratic",
    "check_gradient",
    "data_sets",
    "disparate_groups",
    "egg_carton",
    "exponential_potential",
    "exponential_wings",
    "flat_quartic",
    "gaussian_wells",
    "lessard_piecewise",
    "linear_model",
    "load_data",
    "max_of_linears",
    "muller_brown",
    "pairwise_potential",
    "quadratic",
    "ramp",
    "relu_network",
    "resisting_chain",
    "resisting_zigzag",
    "robust_classification",
    "robust_regression",
    "two_valleys",
]
