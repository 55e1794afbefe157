"""The verbs of the three Markov processes: what they refuse, and that they agree with each other."""

import math

import numpy as np
import oracles
import pytest
from scipy.linalg import expm

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable, Unresolved


def ou(rate=1.0, noise=1.0):
    return ds.SDE(lambda t, x, params: -params[0] * x[0], lambda t, x, params: params[1], params=[rate, noise])


def beyond(level):
    return lambda x: x[..., 0] > level


def below(level):
    return lambda x: x[..., 0] < level


def dense_generator(process):
    Q = process.rates.toarray()
    return Q - np.diag(Q.sum(axis=1) + process.killing)


PROCESSES = {
    "Fokker-Planck": lambda: ds.FokkerPlanck(ou(), (-4.0, 4.0), 40),
    "Fokker-Planck, absorbing": lambda: ds.FokkerPlanck(ou(), (-2.0, 2.0), 40, sides=("reflecting", "absorbing")),
    "Fokker-Planck, planar": lambda: ds.FokkerPlanck(
        ds.sdes.ornstein_uhlenbeck(rate=[[1.0, -2.0], [2.0, 1.0]], noise=[[1.0, 0.0], [0.3, 0.7]]), (-4.0, 4.0), 16
    ),
    "transfer operator": lambda: ds.TransferOperator(ds.problems.two_valleys(), ds.SGD(0.04), (-1.5, 0.5), 150),
    "lattice": lambda: ds.markov_chain(ds.problems.two_valleys(), ds.RR(0.05), x0=0.23),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_spectrum_passage_times_and_committors_agree_with_dense_algebra(name):
    process = PROCESSES[name]()
    Q = dense_generator(process)
    x = process.x[:, 0]
    low, high = np.quantile(x, [0.3, 0.7])

    found = process.spectrum(6)
    exact = np.linalg.eigvals(Q)
    for value in found.eigenvalues - (1 if process.discrete else 0):
        assert np.abs(value - exact).min() < 1e-6 * (1 + np.abs(exact).max())
    assert found.residuals.max() < 1e-9
    decay = -np.log(np.abs(1 + exact)) if process.discrete else -exact.real
    np.testing.assert_allclose(found.rates, np.sort(decay)[:6], atol=2e-6 * (1 + decay.min()))

    target = x < low  # downhill: dense algebra could not tell how long the way up takes
    if process.discrete:  # no edges of regions between states: exactly the linear system
        times = process.mean_first_passage(below(low))
        inner = Q[np.ix_(~target, ~target)]
        np.testing.assert_allclose(times.values[~target], np.linalg.solve(inner, -np.ones((~target).sum())), rtol=1e-6)
        assert (times.values[target] == 0).all()

    committor = process.committor(below(low), beyond(high)).values
    inner = (x >= low) & (x <= high)
    if process.discrete:
        exact = np.linalg.solve(Q[np.ix_(inner, inner)], -Q[np.ix_(inner, x > high)].sum(axis=1))
        np.testing.assert_allclose(committor[inner], exact, atol=1e-9)
    assert (committor[x < low] == 0).all()
    assert (committor[x > high] == 1).all()
    assert ((committor >= 0) & (committor <= 1)).all()


def test_reactive_flux_of_a_chain_is_the_sum_over_its_transitions_and_its_mean_time_the_renewal_formula():
    """In equilibrium or not: flux = Σ_{i∈A, j} p_i P_ij q_j."""
    chain = ds.TransferOperator(ds.problems.two_valleys(), ds.RR(0.1), (-1.5, 0.7), 110)
    a, b = below(-0.8), beyond(0.1)
    flux = chain.reactive_flux(a, b)
    p, q = chain.stationary().mass, flux.forward.values
    P = chain.rates.toarray()
    inside = chain.x[:, 0] < -0.8
    assert flux.rate == pytest.approx((p[inside, None] * P[inside] * q).sum(), rel=1e-6)
    assert flux.mean_time * flux.rate == pytest.approx(p @ flux.backward.values, rel=1e-9)
    assert flux.rate == pytest.approx(math.exp(flux.log_rate))


@pytest.mark.parametrize("level", [0.9, 0.93, 0.999, 1.0])
def test_the_edge_of_a_target_is_found_between_cells(level):
    """Order 2 wherever the edge lies; a target that begins at the next center would be of order 1."""
    errors = []
    for n in (80, 160, 320):
        tau = ds.FokkerPlanck(ou(), (-5.0, 5.0), n).mean_first_passage(beyond(level))
        errors.append(abs(float(tau([-0.5])) / oracles.ornstein_uhlenbeck_passage(1.0, 1.0, -0.5, level) - 1))
    assert errors[-1] < 4e-4
    assert math.log2(errors[0] / errors[2]) / 2 > 1.6
    if level != 1.0:  # which is a face: there a staircase is as good
        exact = oracles.ornstein_uhlenbeck_passage(1.0, 1.0, -0.5, level)
        assert abs(_staircase_time(80, level) / exact - 1) > 1.5 * errors[0]


def _staircase_time(n, level):
    """Without looking for the edge."""
    fp = ds.FokkerPlanck(ou(), (-5.0, 5.0), n)
    Q, inside = dense_generator(fp), fp.x[:, 0] > level
    times = np.zeros(n)
    times[~inside] = np.linalg.solve(Q[np.ix_(~inside, ~inside)], -np.ones((~inside).sum()))
    return np.interp(-0.5, fp.x[:, 0], times)


def test_evolution_is_the_exponential_of_the_generator_and_keeps_mass_and_sign():
    fp = ds.FokkerPlanck(ou(), (-4.0, 4.0), 64)
    Q = dense_generator(fp)
    start = np.zeros(64)
    start[50] = 1.0
    times = [0.003, 0.1, 1.0, 10.0]
    for law, t in zip(fp.evolve(start, times, tolerance=1e-6), times, strict=True):
        assert law.mass.sum() == pytest.approx(1, abs=1e-9)
        assert law.negative_mass < 1e-9
        assert 0.5 * np.abs(law.mass - start @ expm(t * Q)).sum() < 2e-5
    long = fp.evolve([1.7], [50.0])[0]
    assert 0.5 * np.abs(long.mass - fp.stationary().mass).sum() < 1e-6
    assert fp.evolve([1.7], [0.0])[0].mean == pytest.approx([1.7])


def test_evolution_loses_what_absorbing_sides_take():
    fp = ds.FokkerPlanck(ou(), (-1.0, 1.0), 50, sides="absorbing")
    first, second = fp.evolve([0.0], [2.0, 3.0])
    gap = fp.spectrum(1).rates[0]
    assert math.log(first.mass.sum() / second.mass.sum()) == pytest.approx(gap, rel=1e-3)


def test_laws_of_the_transfer_operator_after_steps_are_powers_of_its_matrix():
    chain = ds.TransferOperator(ds.problems.two_valleys(), ds.SGD(0.04), (-1.5, 0.5), 100)
    P = np.eye(100) + dense_generator(chain)
    start = np.full(100, 0.01)
    laws = chain.evolve(start, [0, 1, 7])
    for law, n in zip(laws, [0, 1, 7], strict=True):
        np.testing.assert_allclose(law.mass, start @ np.linalg.matrix_power(P, n), atol=1e-14)


def test_unresolved_densities_and_cut_off_boxes_are_refused_with_the_result_and_a_proposal():
    with pytest.raises(Unresolved, match=r"bounds cut off 0\.\d+ of the mass of .*; use bounds=\(-?\d") as refused:
        ds.stationary_density(ou(), (-1.2, 1.2), 400)
    outside = 2 * 0.5 * math.erfc(1.2)
    assert refused.value.error == pytest.approx(outside, rel=0.02)
    low, high = map(float, str(refused.value).split("use bounds=(")[1].split(")")[0].split(","))
    assert ds.stationary_density(ou(), (low, high), 400).mean == pytest.approx([0], abs=2e-3)
    assert refused.value.result.mass.sum() == pytest.approx(1)
    assert ds.stationary_density(ou(), (-1.2, 1.2), 400, sides="reflecting").boundary_mass > 0.001


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_tails_that_cannot_be_normalized_are_refused(power):
    """P ~ |x|^−power."""
    sde = ds.SDE(lambda t, x: -0.5 * power * x[0] / (1 + x[0] ** 2), lambda t, x: 1.0)
    with pytest.raises(NotApplicable, match="cannot be normalized"):
        ds.stationary_density(sde, (-50.0, 50.0), 2000)


def test_a_heavy_tail_that_can_be_normalized_is_not_called_otherwise():
    sde = ds.sdes.student(degrees=2.0)
    with pytest.raises(Unresolved, match=r"much larger bounds with stretch|use bounds="):
        ds.stationary_density(sde, (-5.0, 5.0), 2000)
    rho = ds.stationary_density(sde, (-1e4, 1e4), 2000, stretch=(0.0, 1.0))
    assert rho.probability(lambda x: abs(x[..., 0]) < 1) == pytest.approx(
        float(np.diff(sde.stationary().cdf(np.array([-1.0, 1.0])))[0]), abs=1e-4
    )


def test_a_reducible_process_lists_its_closed_sets():
    sde = ds.SDE(lambda t, x: (-x[0] * (x[0] ** 2 - 1), -x[1]), lambda t, x: (0.0, 0.5), dim=2)
    with pytest.raises(NotApplicable, match=r"never leaves any of 2 closed sets, in \[-1.*\] × .*; \[0.*1.*\]"):
        ds.stationary_density(sde, (-2.0, 2.0), 32, sides="reflecting")


def test_a_chain_with_several_closed_classes_lists_them():
    problem = ds.Problem.from_terms(lambda theta, n: 0.25 * (theta[0] ** 2 - 1) ** 2, n_terms=1, dim=1)
    with pytest.raises(NotApplicable, match="2 closed sets"):
        ds.invariant_measure(problem, ds.SGD(0.1), (-2.0, 2.0), 256)


def test_a_chain_that_leaves_its_box_is_refused():
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 1.0])
    with pytest.raises(NotApplicable, match="leaves the box for good, with probability 1 or more"):
        ds.invariant_measure(problem, ds.SGD(0.5), (5.0, 6.0), 64)
    with pytest.raises(Unresolved, match=r"leaves the box in a share of 0\.\d+ of its steps; use wider bounds"):
        ds.invariant_measure(problem, ds.SGD(0.5), (0.1, 1.5), 128)


def test_coefficients_that_are_no_numbers_or_no_covariance_are_refused_with_the_place():
    with pytest.raises(ArgumentError, match=r"the drift of the SDE is not finite at x = -"):
        ds.FokkerPlanck(ds.SDE(lambda t, x: math.log(x[0]), lambda t, x: 1.0), (-1.0, 1.0)).stationary()
    planar = ds.SDE(lambda t, x: (-x[0], -x[1]), lambda t, x: (math.sqrt(x[0]), 1.0), dim=2)
    with pytest.raises(ArgumentError, match=r"diffusion of the SDE is not finite at x = \(-0\.\d+, -"):
        ds.FokkerPlanck(planar, (-1.0, 1.0), 16).stationary()


def test_what_makes_no_sense_is_refused():
    absorbed = ds.FokkerPlanck(ou(), (-1.0, 1.0), 40, sides="absorbing")
    with pytest.raises(NotApplicable, match="no stationary law; ask for mean_first_passage"):
        absorbed.stationary()
    fp = ds.FokkerPlanck(ou(), (-4.0, 4.0), 40)
    for question, message in (
        (lambda: fp.mean_first_passage(), "target must be a region, as there is no absorbing side"),
        (lambda: fp.mean_first_passage(beyond(9.0)), "target holds none of the centers of cells"),
        (lambda: fp.committor(below(0.0), below(-1.0)), "a and b must have no point in common"),
        (lambda: fp.spectrum(41), "k must be at most the number of cells or states, 40"),
        (lambda: fp.evolve([9.0], [1.0]), r"p0 = \[9.0\] lies outside the grid"),
        (lambda: fp.evolve([0.0], [2.0, 1.0]), "times must be increasing"),
        (lambda: fp.evolve(np.full(40, -1.0), [1.0]), "p0 must be masses that are finite and not negative"),
        (lambda: ds.FokkerPlanck(ou(), (-1, 1), sides="open sea"), "sides is not known"),
        (
            lambda: ds.FokkerPlanck(ou(), (-1, 1), sides=("periodic", "open")),
            "periodic at both ends of an axis or at none",
        ),
        (lambda: ds.FokkerPlanck(ou(), (-1, 1), scheme="centered"), "scheme is not known.*'central'"),
        (
            lambda: ds.FokkerPlanck(ou(), (-1, 1), solver="gth", scheme="central"),
            "solver for scheme='central' must be 'lu'",
        ),
        (lambda: ds.FokkerPlanck(lambda x: x, (-1, 1)), "sde must be an SDE"),
    ):
        with pytest.raises(ArgumentError, match=message):
            question()


@pytest.mark.parametrize("solver", ["gth", "lu", "aggregation"])
def test_all_solvers_find_one_law(solver):
    sde = ds.SDE(lambda t, x: (x[0] - x[0] ** 3 - x[1], x[0] - 2 * x[1]), lambda t, x: ((0.7, 0.0), (0.2, 0.5)), dim=2)
    reference = ds.stationary_density(sde, (-3.0, 3.0), 40)
    rho = ds.stationary_density(sde, (-3.0, 3.0), 40, solver=solver)
    assert 0.5 * np.abs(rho.mass - reference.mass).sum() < 1e-10
    assert rho.residual < 1e-11


def test_the_central_scheme_says_how_much_mass_became_negative():
    sde = ds.SDE(lambda t, x: (-20 * x[0], -20 * x[1]), lambda t, x: (1.0, 1.0), dim=2)
    with pytest.raises(Unresolved) as refused:
        ds.stationary_density(sde, (-2.0, 2.0), 16, scheme="central")
    assert refused.value.result.negative_mass > 1e-3
    assert ds.stationary_density(ou(), (-4.0, 4.0), 400, scheme="central").negative_mass == 0


def test_jumps_over_several_cells_do_not_leap_over_a_thin_target():
    """Nearly rank-1 noise at an angle, y periodic: x alone is Brownian, the time to |x − 0.7| < w is (a² − x²)/D_11."""
    c, s, n, ratio = math.cos(0.3), math.sin(0.3), 32, 0.02
    sigma = ((c, -s * math.sqrt(ratio)), (s, c * math.sqrt(ratio)))
    fp = ds.FokkerPlanck(
        ds.SDE(lambda t, x: (0.0, 0.0), lambda t, x: sigma, dim=2), (0.0, 1.0), n, sides=("reflecting", "periodic")
    )
    assert fp.stationary().details["reach"] > 1
    edge = 0.7 - 0.75 / n
    strip = lambda x: abs(x[..., 0] - 0.7) < 0.75 / n  # noqa: E731
    exact = (edge**2 - 0.01**2) / (c * c + ratio * s * s)
    assert float(fp.mean_first_passage(strip)([0.01, 0.5])) == pytest.approx(exact, rel=0.01)
    beyond_it = fp.committor(strip, beyond(0.9))
    assert float(beyond_it([0.3, 0.5])) < 1e-12


@pytest.mark.parametrize("n", [50, 400])
def test_the_reactive_flux_is_the_same_both_ways_and_of_second_order(n):
    fp = ds.FokkerPlanck(ou(), (-5.0, 5.0), n)
    there, back = fp.reactive_flux(below(-0.11), beyond(0.13)), fp.reactive_flux(beyond(0.13), below(-0.11))
    assert there.rate == pytest.approx(back.rate, rel=1e-9)
    grid = np.linspace(-0.11, 0.13, 20001)
    exact = 0.5 / (math.sqrt(math.pi) * np.trapezoid(np.exp(grid**2), grid))
    assert abs(there.rate / exact - 1) < 0.5 * (10 / n) ** 2


def test_low_noise_is_solved_where_masses_underflow():
    """OU of deviation 0.02 in [−1, 1]²: e^−2200 at the corners."""
    sde = ds.SDE(lambda t, x: (-x[0], -x[1]), lambda t, x: (0.03, 0.03), dim=2)
    rho = ds.stationary_density(sde, (-1.0, 1.0), 192, scheme="hybrid")
    np.testing.assert_allclose(rho.cov, 0.00045 * np.eye(2), rtol=1e-3, atol=1e-9)
    assert rho.log_mass.min() < -1500


def test_evolution_reaches_any_time():
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.14)
    fp = ds.FokkerPlanck(sde, (-1.8, 1.8), 200)
    rate = fp.spectrum(2).rates[1]
    law = fp.evolve(-1.0, [0.5 / rate])[0]
    settled = fp.evolve(-1.0, [100.0])[0]
    assert law.mean[0] / settled.mean[0] == pytest.approx(math.exp(-0.5), rel=1e-3)
    assert law.mass.sum() == pytest.approx(1, abs=1e-12)


def test_regions_thinner_than_a_cell_have_their_probability():
    rho = ds.stationary_density(ou(), (-4.0, 4.0), 100)
    assert rho.probability(lambda x: abs(x[..., 0]) < 0.03) == pytest.approx(math.erf(0.03), rel=0.01)
    assert rho.probability(lambda x: abs(x[..., 0]) >= 0.03) == pytest.approx(math.erfc(0.03), rel=0.01)


def test_infinite_times_stay_infinite_between_cells():
    sde = ds.SDE(lambda t, x: 0.0, lambda t, x: 0.0 if abs(x[0]) < 0.1 else 1.0)
    times = ds.FokkerPlanck(sde, (-1.0, 1.0), 50, sides="reflecting").mean_first_passage(beyond(0.5))
    assert times(times.x[12]) == np.inf
    assert times(0.7) == 0


def test_cells_from_which_every_step_leaves_the_box_do_not_make_a_chain_reducible():
    problem = ds.problems.linear_model([[1.0], [1.0]], [0.0, 1.0])
    chain = ds.TransferOperator(problem, ds.HeavyBall(0.3, momentum=0.7), [(-2, 3), (-2, 2)], 32)
    assert len(chain.closed_classes()) == 1
    assert np.isfinite(chain.mean_first_passage(beyond(0.5)).values).all()
    wide = ds.TransferOperator(problem, ds.HeavyBall(0.3, momentum=0.7), [(-4, 5), (-5, 5)], 48)
    assert len(wide.closed_classes()) == 1
    assert wide.spectrum(2).rates[0] == 0


def test_a_box_that_is_a_little_too_narrow_is_told_from_one_that_the_chain_leaves_for_good():
    with pytest.raises(Unresolved, match=r"leaves the box in a share of .* use wider bounds, such as \(\("):
        ds.invariant_measure(ds.problems.muller_brown(), ds.SGD(0.002), ((-1.5, 1.2), (-0.4, 2.1)), 64)
