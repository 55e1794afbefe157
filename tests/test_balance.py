"""Z (6.10) and Theorem 6.5.1: against closed forms, exact chains, and sums over all draws."""

import warnings

import numpy as np
import pytest
from scipy.optimize import brentq

import dynsim as ds
from dynsim import theory
from dynsim.errors import ArgumentError, NotApplicable, PoorMixing, TooShort

ETA = 0.2
NOISY = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])  # gradients θ ± 1
SQUARE = ETA / (2 - ETA)  # E θ² of θ ← (1 − η)θ ± η
EGG = ds.problems.egg_carton()


@pytest.fixture(scope="module")
def noisy_run():
    return ds.iterate(NOISY, ds.SGD(ETA), x0=0.0, n_steps=2000, n_paths=16, rng=1)


@pytest.fixture(scope="module")
def chaotic_run():
    starts = np.random.default_rng(0).uniform(-3, 3, (16, 2))
    return ds.iterate(EGG, full(0.04), x0=starts, n_steps=2000, n_paths=16)


def full(eta):
    return ds.SGD(eta, batch_size="full")


def balance(problem, method, run, **options):
    """Without the warning that chains of one orbit or another disagree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorMixing)
        return theory.equation_6_10(problem, method, run, **options)


def reduced(problem, method, run, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorMixing)
        return theory.theorem_6_5_1(problem, method, run, **options)


def near(estimate, expected):
    return (abs(estimate.value - expected) < 5 * estimate.stderr).all()


def test_both_sides_are_those_of_the_noisy_quadratic_and_the_printed_one_is_not(noisy_run):
    found = balance(NOISY, ds.SGD(ETA), noisy_run)
    assert near(found.squared_gradient, SQUARE)
    assert near(found.curvature, 0.5 * ETA * (1 + SQUARE))  # ½η E g², the same number
    assert near(found.loss_change, 0.0)
    assert found.averages["noise"].value == pytest.approx(1.0)
    assert found.mean_curvature.value == pytest.approx(1.0)
    printed = ETA * np.sqrt(1 + SQUARE)
    assert near(found.printed, printed)
    assert not near(found.squared_gradient, printed)
    assert found.printed_ratio == pytest.approx(found.squared_gradient.value / found.printed.value, rel=1e-12)


@pytest.mark.parametrize(
    "method",
    [ds.SGD(0.1), ds.RR(0.1), ds.SGD(0.1, batch_size=2), ds.SGD(0.1, ds.sampling.WithoutReplacement(), batch_size=2)],
    ids=["SGD", "RR", "batches", "without replacement"],
)
def test_curvature_by_hessians_is_what_the_losses_say_for_any_unbiased_draws(method):
    problem = ds.problems.linear_model([[1.0, 2.0], [0.5, -1.0], [2.0, 0.3]], [1.0, -1.0, 1.0], loss="logistic")
    run = np.random.default_rng(3).normal(size=(16, 64, 2))  # in no balance at all
    by_hessian = balance(problem, method, run, burn_in=0)
    by_loss = balance(problem, method, run, burn_in=0, by="loss")
    assert by_hessian.settings["by"] == "hessian"
    assert by_hessian.residual < 1e-12
    assert by_hessian.curvature.value == pytest.approx(by_loss.curvature.value, rel=1e-12)
    assert balance(problem, method, run, burn_in=0, n_nodes=1).residual > 1e-6  # one node is not enough


def test_noise_and_second_moment_are_those_of_all_draws():
    problem = ds.problems.linear_model([[1.0, 2.0], [0.5, -1.0], [2.0, 0.3]], [1.0, -1.0, 0.5])
    run = np.random.default_rng(4).normal(size=(16, 64, 2))
    found = balance(problem, ds.RR(0.1), run, burn_in=0)
    traces = np.trace(problem.gradient_covariance(run, ds.sampling.GradientNorm()), axis1=-2, axis2=-1)
    squares = (problem.gradient(run) ** 2).sum(axis=-1)
    assert found.averages["noise"].value == pytest.approx(traces.mean(), rel=1e-10)
    assert found.averages["second_moment"].value == pytest.approx((traces + squares).mean(), rel=1e-10)


def test_on_the_two_cycle_of_the_egg_carton_the_gradient_does_not_vanish_as_printed():
    eta = 0.025
    x = brentq(lambda x: 2 * x - 100 * eta * np.sin(x), 0.5, 3)  # u and w both alternate between x and −x
    run = ds.iterate(EGG, full(eta), x0=[1.0, -0.5], n_steps=800)
    found = balance(EGG, full(eta), run, burn_in=400)
    assert found.squared_gradient.value == pytest.approx(4 * x**2 / eta**2, rel=1e-12)
    assert found.curvature.value == pytest.approx(4 * x**2 / eta**2, rel=1e-12)
    assert found.residual < 1e-12
    assert found.printed.value == 0
    assert found.printed_ratio == np.inf
    assert eta * found.mean_curvature.value == pytest.approx(2.0, rel=1e-12)


def test_in_chaos_the_mean_curvature_along_steps_is_exactly_at_the_edge(chaotic_run):
    found = balance(EGG, full(0.04), chaotic_run, burn_in=500)
    assert found.printed.value == 0  # Σ = 0, Z Fig 6-5
    assert found.squared_gradient.value > 4000
    assert found.residual < 1e-12
    scaled = 0.04 * found.mean_curvature.value
    assert abs(scaled - 2) < 5 * 0.04 * found.mean_curvature.stderr < 0.01
    assert 0.04 * found.averages["sharpness"].value > 3  # not at the edge itself: the average is along steps


def test_at_the_fixed_point_all_is_zero_and_no_curvature_is_spoken_of():
    run = ds.iterate(EGG, full(0.01), x0=EGG.minima[0], n_steps=400)
    found = balance(EGG, full(0.01), run, burn_in=0)
    assert found.squared_gradient.value < 1e-20
    assert found.loss_change.value == 0


@pytest.fixture(scope="module")
def two_valleys():
    problem, method = ds.problems.two_valleys(), ds.SGD(0.04)
    chain = ds.markov_chain(problem, method, x0=0.25)
    law = chain.stationary()
    states = law.sample(16, rng=5).reshape(16, 1)
    run = ds.iterate(problem, method, x0=states, n_steps=4000, n_paths=16, rng=6)
    return problem, method, chain.states, law.mass.ravel(), run


def test_with_kinks_the_balance_holds_by_the_losses_and_is_that_of_the_exact_chain(two_valleys):
    problem, method, states, mass, run = two_valleys
    found = balance(problem, method, run)
    exact = mass @ (problem.gradient(states) ** 2).sum(axis=-1)
    assert found.settings["by"] == "loss"
    assert near(found.squared_gradient, exact)
    assert near(found.curvature, exact)
    assert near(found.loss_change, 0.0)
    assert exact > 0.1
    assert found.averages["sharpness"].value == 0  # all curvature sits in the kinks
    with pytest.raises(NotApplicable, match="has kinks"):
        theory.equation_6_10(problem, method, run, by="hessian")


def test_the_change_under_reduced_steps_is_that_of_the_exact_chain(two_valleys):
    problem, method, states, mass, run = two_valleys
    factors = np.array([0.1, 0.5, 0.9, 1.0])
    found = reduced(problem, method, run, factors=factors)
    slopes = problem.term_gradients(states)[:, :, 0]
    after = problem.loss((states - 0.04 * factors[:, None, None] * slopes)[..., None]) @ problem.weights
    exact = (after - problem.loss(states)) @ mass
    assert exact[-1] == pytest.approx(0.0, abs=1e-12)
    assert near(found.change, exact)
    assert not near(found.change, exact - 0.01)


def test_on_a_quadratic_every_smaller_step_lowers_the_loss(noisy_run):
    factors = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    found = reduced(NOISY, ds.SGD(ETA), noisy_run, factors=factors)
    exact = factors * (factors - 1) * ETA * SQUARE
    assert near(found.change, exact)
    assert not near(found.change, -factors * ETA * SQUARE)  # the tangent alone
    assert found.best == 0.5
    assert found.largest() == 0.9
    assert near(found.slope, -ETA * SQUARE)


def test_a_full_step_changes_the_loss_as_the_balance_says(chaotic_run):
    change = reduced(EGG, full(0.04), chaotic_run, factors=[0.5, 1.0], burn_in=500).change
    expected = balance(EGG, full(0.04), chaotic_run, burn_in=500).loss_change
    assert change.value[1] == pytest.approx(expected.value, rel=1e-9)
    assert change.value[0] < -40


def test_no_factor_is_significant_where_the_gradient_vanishes():
    run = ds.iterate(EGG, full(0.01), x0=EGG.minima[0], n_steps=400)
    assert np.isnan(reduced(EGG, full(0.01), run, factors=[0.5, 1.0], burn_in=0).largest())


@pytest.mark.parametrize("ask", [theory.equation_6_10, theory.theorem_6_5_1], ids=["balance", "reduced step"])
@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        (ds.SGD(0.1, ds.sampling.Reshuffled()), NotApplicable, "draws before"),
        (ds.SGD(ds.schedules.Custom(lambda k: 0.1 / (k + 1))), NotApplicable, "schedule"),
        (ds.SGD(0.1, noise=ds.noise.Gaussian(0.1)), NotApplicable, "noise with a density"),
        (ds.Clipped(0.1, gamma=1.0), NotApplicable, "is about SGD"),
        (0.1, ArgumentError, "method must be"),
    ],
    ids=["reshuffled", "schedule", "noise", "clipped", "number"],
)
def test_methods_without_known_draws_are_refused(ask, method, error, message):
    with pytest.raises(error, match=message):
        ask(NOISY, method, np.zeros((16, 100, 1)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda run: theory.equation_6_10(NOISY, ds.SGD(ETA), run, by="guess"), ArgumentError, "by is not known"),
        (lambda run: theory.equation_6_10(NOISY, ds.SGD(ETA), run, n_nodes=0), ArgumentError, "n_nodes must be"),
        (lambda run: theory.equation_6_10(EGG, full(0.04), run), ArgumentError, "run must have shape"),
        (lambda run: theory.theorem_6_5_1(NOISY, ds.SGD(ETA), run, factors=[0.5, 0.1]), ArgumentError, "increasing"),
        (lambda run: theory.theorem_6_5_1(NOISY, ds.SGD(ETA), run, factors=[-0.5]), ArgumentError, "positive"),
        (lambda run: theory.theorem_6_5_1(NOISY, ds.SGD(ETA), run.x[:2, :5]), TooShort, "observations|chains"),
        (lambda run: theory.theorem_6_5_1(NOISY, ds.SGD(ETA), np.full((2, 5, 1), np.nan)), ArgumentError, "finite"),
    ],
    ids=["by", "nodes", "shape", "order", "sign", "short", "nan"],
)
def test_what_cannot_be_averaged_is_refused_in_a_sentence(noisy_run, call, error, message):
    with pytest.raises(error, match=message):
        call(noisy_run)


@pytest.mark.parametrize("ask", [theory.equation_6_10, theory.theorem_6_5_1], ids=["balance", "reduced step"])
def test_runs_of_something_else_and_of_a_state_or_two_are_refused(ask, noisy_run):
    with pytest.raises(ArgumentError, match="this is one of SGD"):
        ask(NOISY, ds.SGD(0.1), noisy_run)
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    with pytest.raises(ArgumentError, match="not of an SDE"):
        ask(NOISY, ds.SGD(ETA), ds.integrate(sde, 0.0, 1.0, dt=0.1, n_paths=16, rng=0))
    for n in (1, 2):
        with pytest.raises(ArgumentError, match="at least 3 states"):
            ask(NOISY, ds.SGD(ETA), np.arange(16.0 * n).reshape(16, n, 1))


def test_a_last_state_out_of_step_is_left_out():
    method = ds.SGD(ETA)
    run = ds.iterate(NOISY, method, x0=0.0, n_steps=401, n_paths=16, save_every=2, rng=1)
    assert run.t[-2:].tolist() == [400, 401]
    found = balance(NOISY, method, run, burn_in=0)
    assert found.squared_gradient.n_observations == 201
    assert found.squared_gradient.value == pytest.approx((run.x[:, :-1] ** 2).mean(), rel=1e-12)


def test_where_quadrature_misses_the_jumps_of_curvature_the_losses_are_taken():
    problem = ds.problems.linear_model([[1.0], [2.0]], [1.0, -1.0], loss="huber")
    run = 3 * np.random.default_rng(3).normal(size=(16, 64, 1))
    found = balance(problem, ds.SGD(0.5), run, burn_in=0)
    assert found.settings["by"] == "loss"
    by_hessian = balance(problem, ds.SGD(0.5), run, burn_in=0, by="hessian")
    assert by_hessian.residual > 1e-3
    assert "quadrature off by" in repr(by_hessian)
    assert "quadrature" not in repr(found)


def test_a_step_to_infinity_has_no_expectation():
    problem = ds.problems.exponential_wings(1.0)
    with pytest.raises(NotApplicable, match="not finite after a step"):
        theory.theorem_6_5_1(problem, full(1.0), np.full((16, 100, 1), 20.0))


def test_the_plots_show_both_sides_and_the_tangent(noisy_run):
    sides = balance(NOISY, ds.SGD(ETA), noisy_run)
    assert [text.get_text() for text in sides.plot().get_xticklabels()][2] == "as printed, Z (6.10):\nηΣℒG"
    assert "as printed" in repr(sides)
    found = reduced(NOISY, ds.SGD(ETA), noisy_run)
    ax = found.plot()
    tangent = next(line for line in ax.get_lines() if "tangent" in str(line.get_label()))
    (x0, x1), (y0, y1) = tangent.get_data()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(float(found.slope.value), rel=1e-9)
