"""All drawing."""

from dynsim.plot.comparisons import draw_data, draw_valleys
from dynsim.plot.densities import draw_densities, plot_densities, plot_density, plot_function, plot_spectrum
from dynsim.plot.large_deviations import plot_large_deviations, plot_quasi_potential
from dynsim.plot.laws import plot_noise, plot_sampling_quality, plot_schedule
from dynsim.plot.problems import plot_problem
from dynsim.plot.results import plot_counts, plot_step_size_range, plot_trajectories
from dynsim.plot.stationary import draw_stationary

__all__ = [
    "draw_data",
    "draw_densities",
    "draw_stationary",
    "draw_valleys",
    "plot_counts",
    "plot_densities",
    "plot_density",
    "plot_function",
    "plot_large_deviations",
    "plot_noise",
    "plot_problem",
    "plot_quasi_potential",
    "plot_sampling_quality",
    "plot_schedule",
    "plot_spectrum",
    "plot_step_size_range",
    "plot_trajectories",
]
