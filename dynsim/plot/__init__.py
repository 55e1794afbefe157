"""All drawing."""

from dynsim.plot.comparisons import draw_data, draw_valleys
from dynsim.plot.densities import draw_densities, plot_densities, plot_density, plot_function, plot_spectrum
from dynsim.plot.escape import plot_empirical, plot_escape_times
from dynsim.plot.fluctuations import plot_fluctuations
from dynsim.plot.large_deviations import plot_large_deviations, plot_quasi_potential
from dynsim.plot.laws import plot_noise, plot_sampling_quality, plot_schedule
from dynsim.plot.long_runs import draw_averages
from dynsim.plot.problems import plot_problem
from dynsim.plot.results import plot_counts, plot_step_size_range, plot_trajectories
from dynsim.plot.stability import draw_holds, draw_stability, plot_stability_map
from dynsim.plot.stationary import draw_stationary
from dynsim.plot.theory import plot_deviation, plot_local_convergence, plot_mean_square

__all__ = [
    "draw_averages",
    "draw_data",
    "draw_densities",
    "draw_holds",
    "draw_stability",
    "draw_stationary",
    "draw_valleys",
    "plot_counts",
    "plot_densities",
    "plot_density",
    "plot_deviation",
    "plot_empirical",
    "plot_escape_times",
    "plot_fluctuations",
    "plot_function",
    "plot_large_deviations",
    "plot_local_convergence",
    "plot_mean_square",
    "plot_noise",
    "plot_problem",
    "plot_quasi_potential",
    "plot_sampling_quality",
    "plot_schedule",
    "plot_spectrum",
    "plot_stability_map",
    "plot_step_size_range",
    "plot_trajectories",
]
