"""Exact answers, derived apart from dynsim: closed forms, enumerations, quadrature and slow references."""

from .chains import birth_death_stationary, lattice_chain
from .densities import (
    cantor_function,
    cantor_masses,
    fair_masses,
    masses,
    pearson_law,
    pearson_log_density,
    piecewise_log_mass,
    truncated_normal_masses,
)
from .flows import Jump, LinearFlow, Made, Ring, kinetic, rotating
from .line import METASTABLE, Line, double_well_functions, double_well_line, ornstein_uhlenbeck_line
from .methods import (
    adaptive_path,
    autoregressive_variance,
    euler_maruyama,
    heavy_ball_cycles,
    ingd_path,
    recursion_on_quadratic,
    second_order_path,
    spectral_radius,
    stable_stationary_scale,
)
from .passages import (
    annulus_committor,
    annulus_reactive_rate,
    ball_exit_time,
    ornstein_uhlenbeck_committor,
    ornstein_uhlenbeck_passage,
)
from .problems import central_difference, lessard_slope, two_valleys_terms, two_valleys_variances
from .spectra import line_rates, linear_rates, panels, pearson_rates, rate_of_leaving, ring_rates

__all__ = [
    "METASTABLE",
    "Jump",
    "Line",
    "LinearFlow",
    "Made",
    "Ring",
    "adaptive_path",
    "annulus_committor",
    "annulus_reactive_rate",
    "autoregressive_variance",
    "ball_exit_time",
    "birth_death_stationary",
    "cantor_function",
    "cantor_masses",
    "central_difference",
    "double_well_functions",
    "double_well_line",
    "euler_maruyama",
    "fair_masses",
    "heavy_ball_cycles",
    "ingd_path",
    "kinetic",
    "lattice_chain",
    "lessard_slope",
    "line_rates",
    "linear_rates",
    "masses",
    "ornstein_uhlenbeck_committor",
    "ornstein_uhlenbeck_line",
    "ornstein_uhlenbeck_passage",
    "panels",
    "pearson_law",
    "pearson_log_density",
    "pearson_rates",
    "piecewise_log_mass",
    "rate_of_leaving",
    "recursion_on_quadratic",
    "ring_rates",
    "rotating",
    "second_order_path",
    "spectral_radius",
    "stable_stationary_scale",
    "truncated_normal_masses",
    "two_valleys_terms",
    "two_valleys_variances",
]
