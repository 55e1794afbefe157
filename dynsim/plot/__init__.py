"""All drawing."""

from dynsim.plot.averages import plot_estimate
from dynsim.plot.comparisons import draw_data, draw_valleys
from dynsim.plot.densities import draw_densities, plot_densities, plot_density, plot_function, plot_spectrum
from dynsim.plot.dynamics import plot_basins, plot_bifurcation, plot_orbit
from dynsim.plot.ergodic import (
    plot_convergence,
    plot_empirical_measure,
    plot_vanishing_change,
    plot_weak_convergence,
)
from dynsim.plot.escape import plot_empirical, plot_escape_times
from dynsim.plot.exponents import plot_correlation_dimension, plot_exponents
from dynsim.plot.fluctuations import plot_fluctuations
from dynsim.plot.landscape import plot_loss_balance, plot_reduced_step, plot_run_statistics, plot_smoothness
from dynsim.plot.large_deviations import plot_large_deviations, plot_quasi_potential
from dynsim.plot.laws import plot_noise, plot_sampling_quality, plot_schedule
from dynsim.plot.long_runs import draw_averages, draw_edge
from dynsim.plot.problems import plot_problem
from dynsim.plot.results import plot_counts, plot_step_size_range, plot_trajectories
from dynsim.plot.stability import draw_holds, draw_stability, plot_stability_map
from dynsim.plot.stationary import draw_stationary
from dynsim.plot.tails import plot_gradient_noise, plot_quantiles, plot_tail_index, plot_variance_growth
from dynsim.plot.theory import plot_deviation, plot_local_convergence, plot_mean_square

__all__ = [
    "draw_averages",
    "draw_data",
    "draw_densities",
    "draw_edge",
    "draw_holds",
    "draw_stability",
    "draw_stationary",
    "draw_valleys",
    "plot_basins",
    "plot_bifurcation",
    "plot_convergence",
    "plot_correlation_dimension",
    "plot_counts",
    "plot_densities",
    "plot_density",
    "plot_deviation",
    "plot_empirical",
    "plot_empirical_measure",
    "plot_escape_times",
    "plot_estimate",
    "plot_exponents",
    "plot_fluctuations",
    "plot_function",
    "plot_gradient_noise",
    "plot_large_deviations",
    "plot_local_convergence",
    "plot_loss_balance",
    "plot_mean_square",
    "plot_noise",
    "plot_orbit",
    "plot_problem",
    "plot_quantiles",
    "plot_quasi_potential",
    "plot_reduced_step",
    "plot_run_statistics",
    "plot_sampling_quality",
    "plot_schedule",
    "plot_smoothness",
    "plot_spectrum",
    "plot_stability_map",
    "plot_step_size_range",
    "plot_tail_index",
    "plot_trajectories",
    "plot_vanishing_change",
    "plot_variance_growth",
    "plot_weak_convergence",
]
