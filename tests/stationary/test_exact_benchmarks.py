"""Fokker–Planck on a line against exact laws, rates, times and fluxes.

Errors are shown to shrink with the order of the scheme, 2, and to be below twice what they measure on the finest grid.
Where a time or committor is compared, the ends of its target are centers of cells.
"""

import functools
import math

import numpy as np
import oracles
import pytest

import dynsim as ds

WELLS = {"additive": {"steepness": 2.0}, "multiplicative": {"steepness": 4.0, "noise": 0.7, "growth": 1.5}}


def total_variation(a, b):
    return 0.5 * np.abs(a - b).sum()


def orders(errors):
    """Observed orders, for grids that are halved each time."""
    errors = np.abs(errors)
    return np.log2(errors[:-1] / errors[1:])


def above(level):
    return lambda theta: theta[..., 0] > level - 1e-9


def below(level):
    return lambda theta: theta[..., 0] < level + 1e-9


@functools.cache
def linear_sde():
    return ds.SDE(lambda t, x: -1.3 * x[0], lambda t, x: math.sqrt(0.8))


@functools.cache
def well_sde(name):
    well = {**WELLS, "metastable": oracles.METASTABLE}[name]
    return ds.SDE(*oracles.double_well_functions(**well))


def at(function, x):
    """A function of the grid at one point."""
    return float(function([[x]])[0])


def on_centers(target, half_width, n):
    """Bounds and number of cells h = target/n such that ±target and 0 are centers of cells."""
    h = target / n
    cells = 2 * round(half_width / h) + 1
    return (-0.5 * cells * h, 0.5 * cells * h), cells


def well(name, n):
    """The wells on n cells for each unit of length, centers at whole numbers, and their oracle on the same box."""
    (low, high), cells = on_centers(1.0, 2.0, n)
    given = {**WELLS, "metastable": oracles.METASTABLE}[name]
    return ds.FokkerPlanck(well_sde(name), (low, high), cells), oracles.double_well_line(**given, box=high)


def test_linear_drift_between_reflecting_sides_leaves_a_truncated_normal():
    errors, wrong, gaps = [], [], []
    for n in (50, 100, 200):
        edges = np.linspace(-1.0, 2.5, n + 1)
        rho = ds.FokkerPlanck(linear_sde(), (-1.0, 2.5), n, sides="reflecting").stationary()
        errors.append(total_variation(rho.mass, oracles.truncated_normal_masses(0.8 / 2.6, edges)))
        wrong.append(total_variation(rho.mass, oracles.truncated_normal_masses(0.8 / 1.3, edges)))  # without the ½
        gaps.append(rho.refinement_gap)
    assert orders(errors).min() > 1.9
    assert errors[-1] < 2e-5
    assert min(wrong) > 0.1
    assert np.less(errors, gaps).all()


def test_rates_of_linear_drift_are_whole_multiples_of_its_own():
    """On a box of 12 standard deviations; and between near sides those of a Galerkin method."""
    line = oracles.ornstein_uhlenbeck_line(1.3, 0.8, -1.0, 2.5)
    for bounds, exact in (((-6.7, 6.7), 1.3 * np.arange(5)), ((-1.0, 2.5), oracles.line_rates(line, 5))):
        errors = []
        for n in (100, 200, 400):
            spectrum = ds.FokkerPlanck(linear_sde(), bounds, n, sides="reflecting").spectrum(5)
            assert abs(spectrum.rates[0]) < 1e-9
            errors.append(np.abs(spectrum.rates - exact)[2:] / exact[2:])
            assert spectrum.rates[1] == pytest.approx(exact[1], rel=1e-3)
        assert np.abs(orders(np.array(errors)) - 2).max() < 0.1
        assert errors[-1].max() < 6e-3


def test_linear_drift_has_the_passage_times_and_committors_of_its_closed_forms():
    errors = []
    for n in (16, 32, 64):
        fp = ds.FokkerPlanck(linear_sde(), *on_centers(1.5, 6.5, n))
        tau, q = fp.mean_first_passage(above(1.5)), fp.committor(below(-1.5), above(1.5))
        T = oracles.ornstein_uhlenbeck_passage(1.3, 0.8, 0.0, 1.5)
        P = oracles.ornstein_uhlenbeck_committor(1.3, 0.8, [0.75], -1.5, 1.5)
        errors.append([at(tau, 0.0) / T - 1, at(q, 0.75) - P[0]])
        assert at(tau, 1.5) == at(q, -1.5) == 0
        assert at(q, 1.5) == 1
        assert at(q, 0.0) == pytest.approx(0.5, abs=1e-9)
    errors = np.array(errors)
    assert np.abs(orders(errors) - 2).max() < 0.15
    assert np.abs(errors[-1]).max() < 4e-3


def test_linear_drift_relaxes_as_the_normal_transition_law_says():
    """Errors of time steps and cells together; p0 is the mass of one cell."""
    (low, high), n = on_centers(1.5, 6.5, 64)
    fp = ds.FokkerPlanck(linear_sde(), (low, high), n)
    p0 = np.zeros(n)
    p0[np.argmin(np.abs(fp.x[:, 0] - 1.5))] = 1
    for t, rho in zip((0.2, 1.0), fp.evolve(p0, (0.2, 1.0)), strict=True):
        mean, cov = oracles.LinearFlow(np.array([[1.3]]), np.array([[math.sqrt(0.8)]])).law(1.5, t)
        assert rho.mean[0] == pytest.approx(mean[0], rel=1e-3)
        assert rho.cov[0, 0] == pytest.approx(cov[0, 0], rel=1e-2)


@pytest.mark.parametrize("name", WELLS)
def test_double_wells_have_their_exact_densities_gaps_times_and_fluxes(name):
    errors = []
    for n in (25, 50, 100):
        fp, line = well(name, n)
        edges = np.linspace(line.low, line.high, fp.x.shape[0] + 1)
        tau, flux = fp.mean_first_passage(above(1.0)), fp.reactive_flux(below(-1.0), above(1.0))
        errors.append(
            [
                total_variation(fp.stationary().mass, np.exp(line.log_mass(edges))),
                fp.spectrum(2).rates[1] / oracles.rate_of_leaving(line, 0.0)[0] - 1,
                at(tau, -1.0) / line.passage_times([-1.0], 1.0)[0] - 1,
                flux.rate / line.reactive_rate(-1.0, 1.0) - 1,
            ]
        )
    errors = np.array(errors)
    assert np.abs(orders(errors) - 2).max() < 0.1
    assert np.abs(errors[-1]).max() < 1e-4
    assert fp.entropy_production() == pytest.approx(0, abs=1e-9)
    assert np.abs(fp.current()).max() < 1e-9


def test_only_itos_reading_of_multiplicative_noise_fits_the_double_well():
    """Negative controls: e^(−Φ)/√D is Stratonovich's law, e^(−Φ/2)/D that of twice the diffusion."""
    fp, line = well("multiplicative", 100)
    mass, x = fp.stationary().mass, fp.x[:, 0]
    for weight, right in (
        (np.exp(-line.potential(x)) / line.noise(x), True),
        (np.exp(-line.potential(x)) / np.sqrt(line.noise(x)), False),
        (np.exp(-line.potential(x) / 2) / line.noise(x), False),
    ):
        distance = total_variation(mass, weight / weight.sum())
        assert distance < 1e-3 if right else distance > 0.02


def test_a_passage_time_of_1e21_is_right_to_1_percent():
    errors = []
    for n in (50, 100, 200):
        fp, line = well("metastable", n)
        errors.append(at(fp.mean_first_passage(above(1.0)), -1.0) / line.passage_times([-1.0], 1.0)[0] - 1)
    assert 0.99e21 < line.passage_times([-1.0], 1.0)[0] < 1.01e21
    assert np.abs(orders(np.array(errors)) - 2).max() < 0.1
    assert abs(errors[-1]) < 5e-4


def test_a_gap_and_a_flux_of_1e_minus_21_and_masses_of_1e_minus_180_are_right():
    fp, line = well("metastable", 200)
    assert fp.spectrum(3).rates[1] == pytest.approx(oracles.rate_of_leaving(line, 0.0)[0], rel=1e-3)
    assert fp.reactive_flux(below(-1.0), above(1.0)).rate == pytest.approx(line.reactive_rate(-1.0, 1.0), rel=1e-3)
    edges = np.linspace(line.low, line.high, fp.x.shape[0] + 1)
    exact = line.log_mass(edges)
    assert exact.min() < -180 * math.log(10)
    np.testing.assert_allclose(fp.stationary().log_mass, exact, rtol=0, atol=2e-3)


def test_a_passage_time_of_1e21_is_right_to_1_percent_in_two_dimensions():
    """The double well times linear drift across, which the time does not depend on.

    With exponential rates: a central difference adds z³/12, z = 2μh/D, to the logarithm of each ratio of masses, which
    at this h makes up a factor of 4.4 over the barrier.
    """
    drift, diffusion = oracles.double_well_functions(**oracles.METASTABLE)

    def planar_drift(t, z):
        return -2 * 48.25 / 24 * z[0] * (z[0] ** 2 - 1), -z[1]

    assert planar_drift(0, [0.3, 1.0])[0] == pytest.approx(drift(0, [0.3]))
    s = diffusion(0, [0.3])
    (low, high), n = on_centers(1.0, 1.6, 100)
    fp = ds.FokkerPlanck(
        ds.SDE(planar_drift, lambda t, z: (s, 0.5), dim=2),
        ((low, high), (-2.0, 2.0)),
        (n, 12),
        sides="reflecting",
        scheme="exponential",
    )
    tau = fp.mean_first_passage(above(1.0))
    exact = oracles.double_well_line(**oracles.METASTABLE, box=high).passage_times([-1.0], 1.0)[0]
    assert tau([[-1.0, 0.2]])[0] == pytest.approx(exact, rel=5e-3)
    assert 0.99e21 < exact < 1.01e21


def jacobi():
    return ds.SDE(lambda t, x: 2 * (0.4 - x[0]), lambda t, x: 0.9 * math.sqrt(max(x[0] * (1 - x[0]), 0.0)))


PEARSON = {
    "cir": (
        lambda: ds.sdes.cox_ingersoll_ross(1.5, 1.0, 0.8),
        {"kappa": 1.5, "theta": 1.0, "sigma": 0.8},
        {"curvature": 0.0, "bounds": (0.0, 12.0), "mass": 2e-5},
    ),
    "inverse_gamma": (
        lambda: ds.sdes.inverse_gamma(3.0, 1.0, 0.7),
        {"kappa": 3.0, "theta": 1.0, "sigma": 0.7},
        {"curvature": 0.49, "bounds": (0.0, 12.0), "mass": 4e-5},
    ),
    "student": (
        lambda: ds.sdes.student(1.2, 7.0, 0.9),
        {"kappa": 1.2, "nu": 7.0, "s": 0.9},
        {"curvature": 0.4, "bounds": (-60.0, 60.0), "mass": 2e-4},
    ),
    "jacobi": (
        jacobi,
        {"kappa": 2.0, "theta": 0.4, "sigma": 0.9},
        {"curvature": -0.81, "bounds": (0.0, 1.0), "mass": 2e-6},
    ),
}


@pytest.mark.parametrize("name", PEARSON)
def test_pearson_diffusions_have_their_laws_and_rates(name):
    """On a box that leaves out less than 1e-10 of the law. Student's discrete rates are 0, κ, 2κ(ν−2)/(ν−1), … ."""
    make, p, case = PEARSON[name]
    sde, law = make(), oracles.pearson_law(name, **p)
    exact = oracles.pearson_rates(p["kappa"], case["curvature"], 3)
    errors = []
    for n in (200, 400, 800):
        fp = ds.FokkerPlanck(sde, case["bounds"], n)
        cells = np.diff(law.cdf(np.linspace(*case["bounds"], n + 1)))
        rates = fp.spectrum(3).rates
        errors.append([total_variation(fp.stationary().mass, cells / cells.sum()), abs(rates[2] / exact[2] - 1)])
        assert rates[1] == pytest.approx(exact[1], rel=1e-4)
    errors = np.array(errors)
    assert orders(errors).min() > 1.8
    assert errors[-1, 0] < case["mass"]
    assert errors[-1, 1] < 1.5e-3
    wrong = oracles.pearson_rates(p["kappa"], case["curvature"] / 2, 3)[
        2
    ]  # negative control: a quarter of σ², not half
    assert name == "cir" or abs(wrong / exact[2] - 1) > 0.01


DRIVEN = oracles.Ring(0.8, 0.6, 0.7, 0.3)


def test_a_driven_ring_has_its_density_current_and_entropy_production():
    sde = ds.SDE(lambda t, x: 0.8 + 0.7 * math.sin(x[0]) - 0.6 * math.cos(2 * x[0]), lambda t, x: math.sqrt(0.6))
    assert sde.drift(0, [[1.0]])[0, 0] == pytest.approx(DRIVEN.drift(1.0))
    errors = []
    for n in (64, 128, 256):
        fp = ds.FokkerPlanck(sde, (0.0, 2 * math.pi), n, sides="periodic")
        exact = oracles.masses(lambda x: DRIVEN.density(x[..., 0]), np.linspace(0, 2 * math.pi, n + 1))
        current = fp.current()[:, 0]
        assert np.ptp(current) < 1e-9 * DRIVEN.current  # no divergence
        errors.append(
            [
                total_variation(fp.stationary().mass, exact),
                current[0] / DRIVEN.current - 1,
                fp.entropy_production() / DRIVEN.entropy_production - 1,
            ]
        )
    errors = np.array(errors)
    assert orders(errors).min() > 1.8
    assert np.abs(errors[-1]).max() < 1e-4


def test_a_constant_force_on_a_ring_is_solved_exactly_and_has_complex_rates():
    """½ D q² ± i f q, q = 2πk/L, to second order; density, current and entropy production to rounding."""
    sde = ds.SDE(lambda t, x: 0.5, lambda t, x: math.sqrt(1.1))
    exact, errors = oracles.ring_rates(0.5, 1.1, 3.0, 5), []
    for n in (64, 128):
        fp = ds.FokkerPlanck(sde, (0.0, 3.0), n, sides="periodic")
        np.testing.assert_allclose(fp.stationary().mass, 1 / n, rtol=1e-10)
        np.testing.assert_allclose(fp.current(), 0.5 / 3, rtol=1e-10)
        assert fp.entropy_production() == pytest.approx(2 * 0.5**2 / 1.1, rel=1e-9)
        found = -fp.spectrum(5).eigenvalues
        errors.append([np.abs(found - value).min() / abs(value) for value in exact[1:]])
    assert np.abs(orders(np.array(errors)) - 2).max() < 0.1
    assert np.max(errors[-1]) < 1e-3


@pytest.mark.parametrize(("step_size", "masses"), [(0.5, oracles.fair_masses), (2 / 3, oracles.cantor_masses)])
def test_contractions_by_halves_and_thirds_have_their_exact_cell_masses(step_size, masses):
    """θ ← θ − η (θ − y), y = 0 or 1: the uniform law for η = ½, Cantor's for η = ⅔."""
    problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, 0.0])
    n = 2**7 if step_size == 0.5 else 3**5
    aligned = ds.invariant_measure(problem, ds.SGD(step_size), (0.0, 1.0), n)
    edges = np.linspace(0, 1, n + 1)
    exact = masses(edges) if step_size == 0.5 else np.round(masses(edges + 1e-9) * 2**5) / 2**5
    assert total_variation(aligned.mass, exact) < 1e-9
    other = ds.invariant_measure(problem, ds.SGD(step_size), (0.0, 1.0), 100)
    distance = np.abs(np.cumsum(other.mass - masses(np.linspace(0, 1, 101)))).mean()  # W1 on cells of 1/100
    assert distance < 0.01
