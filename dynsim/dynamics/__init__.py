"""Deterministic dynamics: orbits, periods, bifurcations, Lyapunov exponents, dimensions and basins of maps."""
