"""What half as many cells change, beside the error of rates and fluxes; and what a step in time counts as error."""

import math
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from scipy import sparse
from scipy.integrate import quad

import dynsim as ds
from dynsim.stationary.evolution import _Stepper

NOISE, LENGTH = 0.7, 2.0


def brownian(n, sides):
    sde = ds.SDE(lambda t, x: 0.0, lambda t, x: math.sqrt(NOISE))
    return ds.FokkerPlanck(sde, (0.0, LENGTH), n, sides=sides)


def ornstein_uhlenbeck(n):
    return ds.FokkerPlanck(ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0), (-5.0, 5.0), n)


def below(level):
    return lambda x: x[..., 0] < level


def beyond(level):
    return lambda x: x[..., 0] > level


@pytest.mark.parametrize(
    ("sides", "waves"), [("reflecting", range(5)), ("absorbing", range(1, 6)), ("periodic", (0, 2, 2, 4, 4))]
)
def test_errors_of_rates_of_brownian_motion_are_those_of_its_differences(sides, waves):
    """Waves of k half-lengths decay at D (1 − cos θ)/h², θ = πk/n: θ²/12 of ½ D (πk/L)² too slowly, but for θ⁴/360."""
    n, k = 64, np.array(waves)
    spectrum = brownian(n, sides).spectrum(5)
    on_grid = [NOISE * (m / LENGTH) ** 2 * (1 - np.cos(math.pi * k / m)) for m in (n, n // 2)]
    assert spectrum.rates == pytest.approx(on_grid[0], rel=1e-9, abs=1e-12)
    assert spectrum.errors == pytest.approx(on_grid[0] - on_grid[1], rel=1e-6, abs=1e-12)
    assert spectrum.coarser.grid.shape == (n // 2,)
    assert spectrum.coarser.coarser is None
    moves = k > 0
    share = (0.5 * NOISE * (math.pi * k / LENGTH) ** 2 - spectrum.rates)[moves] / spectrum.errors[moves]
    theta = math.pi * k[moves] / n
    # θ²/12 − θ⁴/360 over that at 2θ less that at θ: ⅓ (1 + 2 θ²/15 + …)
    assert (np.abs(3 * share - 1) < theta**2 / 6).all()


@pytest.mark.parametrize("n", [40, 80, 160])
def test_errors_of_rates_of_ornstein_and_uhlenbeck_are_three_times_their_error(n):
    """On a grid x^k decays at k − k (k − 1) h²/6 + O(h⁴): G x^k from E δ = −x, E δ² = 1 + x²h²/3, E δ³ = −x h², h²."""
    k, h = np.arange(5), 10 / n
    spectrum = ornstein_uhlenbeck(n).spectrum(5)
    leading = k * (k - 1) * h**2 / 6
    assert np.abs(k - spectrum.rates - leading).max() < 2 * h**4
    assert np.abs(spectrum.errors - 3 * leading).max() < 15 * 2 * h**4  # 2⁴ − 1 of them
    assert (np.abs(k - spectrum.rates)[2:] < 0.4 * spectrum.errors[2:]).all()
    # a negative control: it is blind to the bounds, which make the first rate wrong by 8e-11, no more
    assert spectrum.errors[1] < 0.1 * abs(spectrum.rates[1] - 1) < 1e-11


def test_errors_of_rates_bound_that_of_a_planar_rotation_once_its_slowest_waves_are_resolved():
    flow = oracles.rotating(0.8, 2.0, 0.5)
    sde = ds.SDE(*flow.functions(), dim=2)
    bounds = [(-6 * s, 6 * s) for s in np.sqrt(flow.covariance.diagonal())]
    exact = oracles.linear_rates(flow.A, 4).real
    wrong, told = [], []
    for n in (24, 48, 96):
        spectrum = ds.FokkerPlanck(sde, bounds, n).spectrum(4)
        wrong.append(np.abs(spectrum.rates - exact)[1:])
        told.append(spectrum.errors[1:])
    assert (np.array(wrong) < told).all()
    share = np.array(wrong)[:, 2] / np.array(told)[:, 2]
    first, second, third = np.abs(3 * share - 1)
    assert third < 0.5 * second < 0.25 * first  # it tends to ⅓ as h² does to 0


def test_a_chain_has_no_error_of_cells_and_its_answers_no_coarser_ones():
    chain = ds.markov_chain(ds.problems.two_valleys(), ds.RR(0.05), x0=0.23)
    spectrum, flux = chain.spectrum(3), chain.reactive_flux(below(-0.8), beyond(0.1))
    assert spectrum.errors.tolist() == [0, 0, 0]
    assert spectrum.coarser is flux.coarser is None
    assert flux.error == 0


def test_the_flux_of_brownian_motion_is_exact_on_each_grid():
    """½ D q' p with q' = 1/(b − a), p = 1/L: q is linear."""
    flux = brownian(64, "reflecting").reactive_flux(below(0.3), beyond(1.7))
    exact = 0.5 * NOISE / (1.4 * LENGTH)
    assert flux.rate == pytest.approx(exact, rel=1e-9)
    assert flux.coarser.rate == pytest.approx(exact, rel=1e-9)
    assert flux.error < 1e-9
    assert flux.coarser.forward.grid.shape == (32,)
    assert flux.coarser.coarser is None


def flux_errors(a, b, cells):
    """Errors of the flux ½ N/∫ e^(x²), N = π^(−½), and what it tells of them."""
    exact = 0.5 / (math.sqrt(math.pi) * quad(lambda x: math.exp(x * x), a, b)[0])
    fluxes = [ornstein_uhlenbeck(n).reactive_flux(below(a), beyond(b)) for n in cells]
    for flux in fluxes:
        assert flux.error == abs(flux.rate - flux.coarser.rate)
    return np.array([abs(flux.rate - exact) for flux in fluxes]), np.array([flux.error for flux in fluxes])


def test_the_error_of_a_flux_between_faces_of_the_cells_tends_to_three_times_what_is_wrong():
    wrong, told = flux_errors(-0.5, 0.75, (80, 160, 320))
    off = np.abs(3 * wrong / told - 1)
    assert (off[1:] < 0.6 * off[:-1]).all()  # ⅓ + c h
    assert off[-1] < 0.1


@pytest.mark.parametrize(("a", "b"), [(-0.11, 0.13), (-0.6, 0.7), (-1.03, 0.97)])
def test_the_error_of_a_flux_bounds_what_is_wrong_wherever_the_regions_end(a, b):
    """And by no more than ten times, where regions end on faces of both grids or of neither."""
    wrong, told = flux_errors(a, b, (100, 200, 400))
    assert (wrong < told).all()
    assert (told < 10 * wrong).all()


def test_a_step_in_time_counts_the_mass_that_becomes_negative_as_error():
    """p' = −λp after a step h: (1 − (√2 − 1) λh)/(1 + αλh)², α = 1 − 1/√2, is negative beyond λh = √2 + 1."""
    alpha, counted = 1 - 1 / math.sqrt(2), []
    for decay in (1.0, 2.4, 2.5, 4.0, 5.0, 8.0, 100.0):
        killed = SimpleNamespace(
            rates=sparse.csr_array((1, 1)), killing=np.array([decay]), _places=lambda some: np.zeros((1, 1), dtype=int)
        )
        (end,), error = _Stepper(killed).step(np.ones(1), 1.0)
        assert end == pytest.approx((1 - (math.sqrt(2) - 1) * decay) / (1 + alpha * decay) ** 2, rel=1e-12)
        assert (end < 0) == (decay > math.sqrt(2) + 1)
        assert error >= -end
        counted.append(error == -end)
    assert counted == [False, False, False, True, True, False, False]  # where its third derivative is smaller
