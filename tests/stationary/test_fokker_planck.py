import math

import numpy as np
import oracles
import pytest
from conftest import right
from scipy import special, stats

import dynsim as ds

BREAKS = (-0.7, 0.1, 1.3)
DRIFTS = (3.0, -2.0, 4.0, -1.5)
NOISES = (0.5, 2.0, 0.3, 5.0)


def piecewise(x, values):
    return values[0] if x < -0.7 else values[1] if x < 0.1 else values[2] if x < 1.3 else values[3]


def piecewise_sde():
    def drift(t, x):
        v = x[0]
        return 3.0 if v < -0.7 else -2.0 if v < 0.1 else 4.0 if v < 1.3 else -1.5

    def diffusion(t, x):
        v = x[0]
        return math.sqrt(0.5 if v < -0.7 else 2.0 if v < 0.1 else 0.3 if v < 1.3 else 5.0)

    return ds.SDE(drift, diffusion, breaks=BREAKS)


@pytest.mark.parametrize("n_cells", [8, 100, 5000])
def test_piecewise_constant_coefficients_are_solved_exactly(n_cells):
    rho = ds.stationary_density(piecewise_sde(), (-3.0, 4.0), n_cells, sides="reflecting")
    expected = oracles.piecewise_log_mass(rho.edges, BREAKS, DRIFTS, NOISES)
    assert np.abs(rho.mass - np.exp(expected)).sum() < 1e-12
    wrong = oracles.piecewise_log_mass(rho.edges, BREAKS, DRIFTS, np.array(NOISES) * 1.0001)  # negative control
    assert np.abs(rho.mass - np.exp(wrong)).sum() > 1e-6
    assert rho.residual < 1e-14


@pytest.mark.parametrize("name", ["SGD", "Balanced"])
@pytest.mark.parametrize("eta", [0.04, 0.002])
def test_the_limit_on_two_valleys_is_solved_exactly(valleys, schemes, name, eta):
    method = next(m for m in schemes(eta) if m.name == name)
    sde = ds.sde_limit(valleys, method)
    if eta < 0.01:  # valleys narrower than a cell: their moments are not resolved, their masses are right all the same
        with pytest.raises(ds.errors.Unresolved) as refused:
            ds.stationary_density(sde, (-2.0, 1.0), 600)
        rho = refused.value.result
    else:
        rho = ds.stationary_density(sde, (-2.0, 1.0), 600)
    noises = eta * oracles.two_valleys_variances(0.4, 0.1, 5.0, method.sampling.proportions(valleys)[0])
    drifts = -valleys.gradient([[-1.5], [-0.5], [0.1], [0.5]])[:, 0]
    expected = oracles.piecewise_log_mass(rho.edges, (-1.0, 0.0, 0.2), drifts, noises)
    assert np.abs(rho.mass - np.exp(expected)).sum() < 1e-12
    assert np.abs(rho.log_mass - expected).max() < 1e-9  # also where the mass is 1e-500


def test_at_step_size_0_04_the_sde_and_the_chain_prefer_different_valleys(valleys, schemes):
    balanced = schemes(0.04)[2]
    sde = ds.stationary_density(ds.sde_limit(valleys, balanced), (-2.0, 1.0), 4000).probability(right)
    chain = ds.markov_chain(valleys, balanced, x0=0.25).stationary().probability(right)
    assert 0.98 < sde < 1
    assert 1e-13 < chain < 1e-12


def order(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_second_order_on_an_ornstein_uhlenbeck_process():
    """At the points; the masses of the cells are even of fourth order where the noise is constant."""
    sde, variance = ds.SDE(lambda t, x: -2 * x[0], lambda t, x: math.sqrt(0.6)), 0.15
    law = stats.truncnorm(-3 / math.sqrt(variance), 3.5 / math.sqrt(variance), scale=math.sqrt(variance))
    at_points, of_masses = [], []
    for n in (50, 100, 200, 400):
        rho = ds.stationary_density(sde, (-3.0, 3.5), n)
        at_points.append(np.abs(rho(rho.x) - law.pdf(rho.x[:, 0])).max())
        of_masses.append(np.abs(rho.mass - np.diff(law.cdf(rho.edges))).sum())
    assert np.abs(order(at_points) - 2).max() < 0.05
    assert np.abs(order(of_masses) - 4).max() < 0.05
    assert rho.cov[0, 0] == pytest.approx(variance, rel=1e-3)


def test_second_order_on_a_double_well_with_multiplicative_noise():
    """dX = (X − X³) dt + √(1 + X²/4) dW: p ∝ exp(∫ 2μ/D) / D, with the Itô 1/D that a Stratonovich reading lacks."""
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: math.sqrt(1 + x[0] ** 2 / 4))
    x, w = np.polynomial.legendre.leggauss(8)
    errors, stratonovich = [], []
    for n in (60, 120, 240, 480):
        rho = ds.stationary_density(sde, (-6.0, 6.0), n)
        a, b = rho.edges[:-1, None], rho.edges[1:, None]
        points = (a + b) / 2 + (b - a) / 2 * x
        D = 1 + points**2 / 4
        weight = np.exp(-4 * points**2) * D**20.0  # ∫ 2(x − x³)/(1 + x²/4) dx = −4x² + 20 ln(1 + x²/4)
        for density, into in ((weight / D, errors), (weight / np.sqrt(D), stratonovich)):
            mass = (density * w).sum(axis=1)
            into.append(np.abs(rho.mass - mass / mass.sum()).sum())
    assert np.abs(order(errors) - 2).max() < 0.1
    assert stratonovich[-1] > 0.02


def test_the_refinement_gap_is_what_halving_the_cells_changes_and_bounds_the_error():
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    fine, coarse = (ds.stationary_density(sde, (-4.0, 4.0), n) for n in (200, 100))
    distance = 0.5 * np.abs(fine.mass.reshape(-1, 2).sum(axis=1) - coarse.mass).sum()
    deviations = [math.sqrt(rho.cov[0, 0]) for rho in (fine, coarse)]
    change = abs(deviations[0] - deviations[1]) / deviations[0]
    assert fine.refinement_gap == pytest.approx(max(distance, change), rel=1e-9)
    exact = np.diff(special.ndtr(fine.edges * math.sqrt(2)))
    assert 0.5 * np.abs(fine.mass - exact).sum() < fine.refinement_gap
    assert abs(fine.cov[0, 0] / 0.5 - 1) < fine.refinement_gap


def test_the_refinement_gap_shows_a_density_that_is_narrower_than_a_cell():
    sde = ds.SDE(lambda t, x: -1000 * x[0], lambda t, x: 1.0)
    with pytest.raises(ds.errors.Unresolved, match="does not resolve") as refused:
        ds.stationary_density(sde, (-5.0, 5.0), 40)
    rho = refused.value.result
    assert rho.cov[0, 0] > 10 * 0.0005
    assert rho.refinement_gap == refused.value.error > 0.5


def test_the_density_is_called_at_points_and_knows_its_boundary_mass():
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    rho = ds.stationary_density(sde, (-5.0, 5.0), 2000)
    theta = np.linspace(-3, 3, 7)[:, None]
    np.testing.assert_allclose(rho(theta), np.exp(-(theta[:, 0] ** 2)) / math.sqrt(math.pi), rtol=0.02)
    assert rho([[9.0], [-5.1]]).tolist() == [0, 0]
    assert rho.boundary_mass < 1e-10
    assert ds.stationary_density(sde, (-0.5, 0.5), 2000, sides="reflecting").boundary_mass > 0.01


def test_without_noise_the_mass_gathers_where_the_drift_leads():
    sde = ds.SDE(lambda t, x: 0.3 - x[0], lambda t, x: 0.0)
    with pytest.raises(ds.errors.Unresolved) as refused:  # a point has no density
        ds.stationary_density(sde, (-1.0, 1.0), 100)
    rho = refused.value.result
    assert rho.probability(lambda x: np.abs(x[..., 0] - 0.3) < 0.03) == pytest.approx(1)


def test_rr_on_the_valleys_without_noise_outside_is_the_limit_of_little_noise(valleys):
    """RR's variance is 0 in both outer regions; replacing it by little changes the masses by little."""
    rho = ds.stationary_density(ds.sde_limit(valleys, ds.RR(0.04)), (-2.0, 1.0), 3000)
    noises = 0.04 * np.array([1e-9, 0.096, 0.48, 1e-9])
    drifts = -valleys.gradient([[-1.5], [-0.5], [0.1], [0.5]])[:, 0]
    expected = oracles.piecewise_log_mass(rho.edges, (-1.0, 0.0, 0.2), drifts, noises)
    masses = np.array([rho.log_probability(right), np.logaddexp.reduce(expected[rho.x[:, 0] > 0])])
    assert masses[0] == pytest.approx(masses[1], rel=1e-2)
    assert rho.mean == pytest.approx(rho.x[:, 0] @ np.exp(expected), abs=1e-3)


def test_a_density_that_is_not_unique_is_refused():
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.0)
    with pytest.raises(ds.errors.NotApplicable, match="not unique: without noise between them"):
        ds.stationary_density(sde, (-2.0, 2.0), 101)


def test_stationary_density_refuses_bad_arguments():
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    for bounds in ((1.0, -1.0), (0.0, np.inf), 3.0, (1.0, 2.0, 3.0)):
        with pytest.raises(ds.errors.ArgumentError, match="bounds must"):
            ds.stationary_density(sde, bounds)
    with pytest.raises(ds.errors.ArgumentError, match="n_cells must be a whole number, at least 8"):
        ds.stationary_density(sde, (-1, 1), 3)
    with pytest.raises(ds.errors.ArgumentError, match="not finite at x = "):
        ds.stationary_density(ds.SDE(lambda t, x: math.log(x[0]), lambda t, x: 1.0), (-1, 1))
    four = ds.SDE(lambda t, x: (x[1], x[0], x[2], x[3]), lambda t, x: (1.0, 1.0, 1.0, 1.0), dim=4)
    with pytest.raises(ds.errors.NotApplicable, match="this SDE has dim 4"):
        ds.stationary_density(four, (-1, 1))
    rho = ds.stationary_density(sde, (-1, 1), 10, sides="reflecting")
    with pytest.raises(ds.errors.ArgumentError, match=r"write theta\[..., 0\], not theta"):
        rho.probability(lambda theta: theta > 0)
