"""Fokker–Planck in two and three dimensions against exact laws, currents, rates and exit times.

Errors shrink with the stated order and are below twice what they measure on the finest grid.
"""

import functools
import math

import numpy as np
import oracles
import pytest

import dynsim as ds

FLOWS = {
    "rotating": oracles.rotating(0.8, 2.0, 0.5),
    "non-normal": oracles.LinearFlow(np.array([[1.0, 2.5], [-0.3, 0.7]]), np.array([[1.0, 0.0], [0.6, 0.5]])),
}


def total_variation(a, b):
    return 0.5 * np.abs(a - b).sum()


def orders(errors):
    """Observed orders, for grids that are halved each time."""
    errors = np.abs(errors)
    return np.log2(errors[:-1] / errors[1:])


def box(flow, widths=6.0):
    return [(-widths * s, widths * s) for s in np.sqrt(flow.covariance.diagonal())]


def edges(bounds, n):
    return [np.linspace(*side, n + 1) for side in bounds]


@functools.cache
def flow_sde(name):
    return ds.SDE(*FLOWS[name].functions(), dim=2)


@functools.cache
def made_sde(kind):
    return ds.SDE(*oracles.Made(kind).functions(), dim=2)


@pytest.mark.parametrize("scheme", ["exponential", "hybrid"])
@pytest.mark.parametrize("name", FLOWS)
def test_linear_flows_have_their_density_covariance_current_and_circulation(name, scheme):
    """The hybrid scheme's moments are exact where all of the mass is in cells with central differences."""
    flow, errors = FLOWS[name], []
    for n in (24, 48, 96):
        fp = ds.FokkerPlanck(flow_sde(name), box(flow), n, scheme=scheme)
        rho, j, exact = fp.stationary(), fp.current(), flow.current(fp.x)
        volume = math.prod(e[1] - e[0] for e in edges(box(flow), n))
        turning = ((fp.x[:, 0] * j[:, 1] - fp.x[:, 1] * j[:, 0]) * volume).sum()
        errors.append(
            [
                total_variation(rho.mass, oracles.masses(flow.density, *edges(box(flow), n), nodes=4)),
                np.abs(j - exact).sum() / np.abs(exact).sum(),
                np.abs(rho.cov - flow.covariance).max() / flow.covariance.max(),
                turning / (2 * flow.rotation[0, 1]) - 1,
            ]
        )
    errors = np.array(errors)
    assert orders(errors).min() > 1.7
    assert scheme == "hybrid" or orders(errors).max() < 2.3
    assert (
        np.abs(errors[-1]) < ([0.007, 0.03, 0.035, 0.03] if scheme == "exponential" else [0.003, 0.012, 2e-3, 2e-3])
    ).all()
    assert abs(flow.rotation[0, 1]) > 0.1  # it does turn


@pytest.mark.parametrize("scheme", ["exponential", "hybrid"])
@pytest.mark.parametrize("name", FLOWS)
def test_linear_flows_have_their_entropy_production(name, scheme):
    errors = []
    for n in (48, 96):
        fp = ds.FokkerPlanck(flow_sde(name), box(FLOWS[name]), n, scheme=scheme)
        errors.append(fp.entropy_production() / FLOWS[name].entropy_production - 1)
    assert orders(np.array(errors)).min() > 1.5
    assert abs(errors[-1]) < 0.03


def nearest(found, exact):
    return np.array([np.abs(found - value).min() for value in exact])


@pytest.mark.parametrize("name", FLOWS)
def test_linear_flows_have_the_rates_of_their_matrix(name):
    """Eigenvalues of A and their sums: the linear ones to a high order, sums of two to order 2."""
    flow, errors = FLOWS[name], []
    pair = np.linalg.eigvals(flow.A)
    for n in (24, 48):
        spectrum = ds.FokkerPlanck(flow_sde(name), box(flow), n).spectrum(4)
        assert spectrum.rates[1] == pytest.approx(pair.real.min(), rel=1e-3)
        assert nearest(-spectrum.eigenvalues, [0.0, *pair]).max() < 2e-3
        errors.append(nearest(-spectrum.eigenvalues, [pair.sum()]))
    assert orders(np.array(errors)).min() > 1.5
    assert errors[-1] < 0.15


def test_the_gap_of_a_fast_rotation_is_found_although_its_eigenvalue_is_large():
    """a ± iω decay at the rate a, more slowly than the real 2a, 4a, … which are nearer to 0 for ω = 6."""
    flow = oracles.rotating(0.8, 6.0, 0.5)
    fp = ds.FokkerPlanck(ds.SDE(*flow.functions(), dim=2), box(flow, 4.5), 96)
    assert fp.spectrum(3).rates == pytest.approx([0, 0.8, 0.8], abs=2e-3)


def test_the_kinetic_process_with_noise_of_rank_one_has_the_law_of_gibbs():
    """Order 1: upwind differences along q' = p add noise h|p|, so to the covariance h E|p| S₁, A S₁ + S₁ Aᵀ = e₁e₁ᵀ.

    What is left is of order 2.
    """
    flow, errors, left = oracles.kinetic(2.0, 0.7, 1.5), [], []
    sde = ds.SDE(*flow.functions(), dim=2, noise_dim=1)
    mean_speed = math.sqrt(2 / math.pi * flow.covariance[1, 1])
    added = oracles.LinearFlow(flow.A, np.diag([1.0, 0.0])).covariance
    for n in (48, 96, 192):
        rho = ds.FokkerPlanck(sde, box(flow), n).stationary()
        h = 12 * math.sqrt(flow.covariance[0, 0]) / n
        errors.append(total_variation(rho.mass, oracles.masses(flow.density, *edges(box(flow), n), nodes=4)))
        left.append(np.abs(rho.cov - flow.covariance - h * mean_speed * added).max())
    assert orders(np.array(errors)).min() > 0.9
    assert errors[-1] < 0.04
    first, last = np.abs(orders(np.array(left)) - 2)
    assert last < 0.6 * first < 0.1  # order 2 + c h: half as far on the next grid
    assert left[-1] < 0.1 * np.abs(rho.cov - flow.covariance).max()  # without the noise added h|p|


@pytest.mark.parametrize(("kind", "mass", "current", "order"), [("plane", 4e-3, 0.03, 1.6), ("torus", 1e-3, 0.01, 1.3)])
def test_densities_made_to_measure_are_found_with_their_currents(kind, mass, current, order):
    """Full tensor noise that varies, out of equilibrium; on the plane and on a torus."""
    made, errors = oracles.Made(kind), []
    for n in (24, 48, 96):
        fp = ds.FokkerPlanck(made_sde(kind), made.bounds, n, sides="periodic" if kind == "torus" else "reflecting")
        exact = oracles.masses(made.density, *edges(made.bounds, n), nodes=4)
        j = made.current(fp.x)
        errors.append([total_variation(fp.stationary().mass, exact), np.abs(fp.current() - j).sum() / np.abs(j).sum()])
    errors = np.array(errors)
    assert orders(errors[:, 0]).min() > 1.7
    assert orders(errors[:, 1]).min() > order
    assert (errors[-1] < (mass, current)).all()


@pytest.mark.parametrize(("kind", "bound"), [("plane", 0.03), ("torus", 0.004)])
def test_entropy_production_with_varying_tensor_noise_converges(kind, bound):
    """Twice ∫ jᵀ D⁻¹ j / p. The sum over pairs of cells, J ln(r p / r' p'), does not tend to it, it grows like ln 1/h.

    For where Selling's stencil changes, a weight w goes to 0 with the distance s from there, but its slope does not:
    the links' own currents −½ ∂(w p), which cancel in the sum, cost w'²/w, and ∫ ds/s diverges.
    """
    made, errors = oracles.Made(kind), []
    for n in (24, 48, 96):
        fp = ds.FokkerPlanck(made_sde(kind), made.bounds, n, sides="periodic" if kind == "torus" else "reflecting")
        errors.append(fp.entropy_production() / made.entropy_production - 1)
    assert orders(np.array(errors)).min() > 1.0
    assert abs(errors[-1]) < bound


def test_reflecting_sides_across_a_full_tensor_are_of_first_order():
    made, errors = oracles.Made("box"), []
    for n in (24, 48, 96):
        rho = ds.FokkerPlanck(made_sde("box"), made.bounds, n, sides="reflecting").stationary()
        errors.append(total_variation(rho.mass, oracles.masses(made.density, *edges(made.bounds, n), nodes=4)))
    assert orders(np.array(errors)).min() > 0.9
    assert errors[-1] < 1.6e-3


def test_a_tensor_that_jumps_across_a_line_is_solved_to_second_order_by_itos_law_only():
    jump, errors = oracles.Jump(), []
    sde = ds.SDE(*jump.functions(), dim=2)
    for n in (22, 44, 88):
        rho = ds.FokkerPlanck(sde, jump.bounds, n, breaks=((0.0,), ())).stationary()
        exact = [
            oracles.masses(lambda x, power=power: jump.density(x, power), *edges(jump.bounds, n), nodes=4)
            for power in (1.0, 0.5, 0.0)
        ]
        errors.append([total_variation(rho.mass, law) for law in exact])
    errors = np.array(errors)
    assert np.abs(orders(errors[:, 0]) - 2).max() < 0.1
    assert errors[-1, 0] < 1.8e-3
    assert errors[:, 1:].min() > 0.1  # Stratonovich's law, and that without a jump


def test_brownian_motion_leaves_a_disc_and_crosses_an_annulus_as_in_closed_form():
    """The circles are staircases of cells: order 1, errors below half a cell's share of the radius."""
    sde = ds.SDE(lambda t, x: (0.0, 0.0), lambda t, x: (math.sqrt(0.7), math.sqrt(0.7)), dim=2)
    errors = []
    for n in (40, 160):
        fp = ds.FokkerPlanck(sde, ((-1.2, 1.2), (-1.2, 1.2)), n, sides="reflecting")
        tau = fp.mean_first_passage(lambda x: (x**2).sum(axis=-1) >= 1)
        exact = np.maximum(oracles.ball_exit_time(0.7, 1.0, fp.x), 0)
        fp = ds.FokkerPlanck(sde, ((-1.0, 1.0), (-1.0, 1.0)), n, sides="reflecting")
        rings = (lambda x: (x**2).sum(axis=-1) <= 0.25**2, lambda x: (x**2).sum(axis=-1) >= 0.9**2)
        committor = np.clip(oracles.annulus_committor(0.25, 0.9, fp.x), 0, 1)
        errors.append(
            [
                np.abs(tau.values - exact).max() / exact.max(),
                np.abs(fp.committor(*rings).values - committor).max(),
                abs(fp.reactive_flux(*rings).rate / oracles.annulus_reactive_rate(0.7, 0.25, 0.9, 4.0) - 1),
            ]
        )
        h = 2.4 / n  # a staircase moves a circle by up to a cell's diagonal: by h/r of q' r, twice for the time
        assert errors[-1][0] < 2 * math.sqrt(2) * h
        assert errors[-1][1] < math.sqrt(2) * h / 0.25 / math.log(0.9 / 0.25)
    assert (np.array(errors[1]) < 0.5 * np.array(errors[0])).all()
    assert max(errors[1]) < 0.05


def test_linear_flow_in_three_dimensions_has_its_covariance_and_entropy_production():
    A = np.array([[1.0, 0.8, 0.0], [-0.5, 1.2, 0.4], [0.2, -0.3, 0.9]])
    B = np.array([[0.8, 0.0, 0.0], [0.3, 0.7, 0.0], [-0.2, 0.4, 0.6]])
    flow, errors = oracles.LinearFlow(A, B), []
    sde = ds.sdes.ornstein_uhlenbeck(rate=A, noise=B)
    for n in (12, 24):
        fp = ds.FokkerPlanck(sde, box(flow, 4.5), n, scheme="hybrid")
        errors.append(np.abs(fp.stationary().cov - flow.covariance).max() / flow.covariance.max())
    assert orders(np.array(errors)).min() > 1.8
    assert errors[-1] < 0.01
    assert fp.entropy_production() == pytest.approx(flow.entropy_production, rel=0.05)
