"""AY Lemma 2.1: the paper's own form of the stationary density on the two valleys."""

import numpy as np

from dynsim import _check
from dynsim.errors import NotApplicable
from dynsim.grid import Grid
from dynsim.methods import SGD
from dynsim.problems import Problem
from dynsim.problems.two_valleys import TwoValleys
from dynsim.results import Density


def lemma_2_1(
    problem: Problem, method: SGD, *, bounds: tuple[float, float] = (-2.0, 1.0), n_cells: int = 4000
) -> Density:
    """AY Lemma 2.1 and its analogue for fixed proportions, as printed: the limit ε → 0 of the noise, not of V.

    p(θ) ∝ (1/s²) exp(−2 V(θ) / (s² η)) with s = a1 √(f2/f1) for θ < 0 and s = K a2 √(f1/f2) for θ > 0; for plain
    SGD, f = a, that is s² = a1 a2 and K² a1 a2. It differs from the Fokker–Planck density of the SDE limit, which
    keeps ε in the noise of each of the four regions (:func:`dynsim.stationary_density`), and from the law of the
    chain (:func:`dynsim.markov_chain`): compare all three.

    Parameters
    ----------
    problem : Problem
        ``problems.two_valleys(...)``.
    method : SGD
        With fixed proportions: ``Uniform``, ``Balanced`` or ``Proportions``.
    bounds : pair of float, optional
        Interval to which the density is restricted.
    n_cells : int, optional
        Number of cells; their masses are exact integrals of the formula.

    Returns
    -------
    Density

    Raises
    ------
    NotApplicable
        For another problem, or proportions that depend on θ.

    Examples
    --------
    >>> import dynsim as ds
    >>> rho = ds.theory.lemma_2_1(ds.problems.two_valleys(), ds.SGD(step_size=0.04))
    >>> bool(rho.probability(lambda theta: theta[..., 0] > 0) < 1e-20)
    True
    """
    _check.instance("method", method, SGD, "a method, such as SGD(step_size=0.04)")
    if not isinstance(problem, TwoValleys):
        raise NotApplicable("AY Lemma 2.1 is about problems.two_valleys")
    f = method.sampling.proportions(problem)
    if f is None:
        raise NotApplicable("AY Lemma 2.1 needs fixed proportions f1, f2; those of GradientNorm depend on θ")
    low, high = _check.interval("bounds", bounds)
    grid = Grid.make((low, high), n_cells, dim=1, breaks=problem.kinks)
    edges = grid.edges[0]
    centers, h = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    a1, a2 = problem.weights
    s_left, s_right = a1 * np.sqrt(f[1] / f[0]), problem.K * a2 * np.sqrt(f[0] / f[1])
    variance = np.where(centers < 0, s_left, s_right) ** 2
    values = problem.loss(edges[:, None])
    rate = 2 / (variance * method.step_size)
    # V is linear on a cell, so the integral of exp(−rate·V) over it is the mean of V's ends and sinh(z)/z
    z = np.abs(rate * np.diff(values)) / 2
    wide = np.maximum(z, 1e-4)
    log_sinhc = np.where(z < 1e-4, z**2 / 6, wide + np.log(-np.expm1(-2 * wide) / (2 * wide)))
    log_mass = np.log(h / variance) - rate * 0.5 * (values[1:] + values[:-1]) + log_sinhc
    log_mass -= np.logaddexp.reduce(log_mass)
    return Density(
        x=centers[:, None],
        log_mass=log_mass,
        grid=grid,
        residual=0.0,
        boundary_mass=float(np.exp(log_mass[[0, -1]]).sum()),
        refinement_gap=0.0,
        label=f"AY Lemma 2.1 for {method.name}",
        settings={"problem": problem.name, "method": repr(method), "bounds": (low, high), "n_cells": n_cells},
    )
