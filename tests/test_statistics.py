"""The quantities of Z (6.2) along runs: against formulas, sums over all draws, and all samples of the terms."""

import functools
import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim import landscape
from dynsim.errors import ArgumentError, NotApplicable

GD = ds.SGD(0.01, batch_size="full")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def weighted_regression():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5, 2)), rng.normal(size=5)
    return ds.problems.linear_model(X, y, weights=[0.1, 0.3, 0.2, 0.25, 0.15])


@functools.cache
def wide_logistic(columns=80, rows=120):
    """The same losses with a formula for their Hessians, and without."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, columns)), np.sign(rng.normal(size=rows))
    known = ds.problems.linear_model(X, y, loss="logistic")

    def loss(theta, n, params):
        s = 0.0
        for j in range(columns):
            s += theta[j] * params[n, j]
        return np.log1p(np.exp(-s * params[n, columns]))

    def gradient(theta, n, params, out):
        s = 0.0
        for j in range(columns):
            s += theta[j] * params[n, j]
        factor = -params[n, columns] / (1 + np.exp(s * params[n, columns]))
        for j in range(columns):
            out[j] = factor * params[n, j]

    data = np.column_stack([X, y])
    return known, ds.Problem.from_terms(loss, gradient, n_terms=rows, dim=columns, params=data, check=False)


@pytest.mark.parametrize(("kind", "expected"), [("norm", 3.0), ("largest", 2.0), ("smallest", -3.0)])
def test_sharpness_of_a_quadratic_is_the_eigenvalue_asked_for(kind, expected, rng):
    value, error = landscape.sharpness(ds.problems.quadratic([2.0, -3.0, 1.0]), rng.normal(size=(4, 2, 3)), kind=kind)
    assert value.shape == error.shape == (4, 2)
    assert np.allclose(value, expected, rtol=0, atol=1e-14)


def test_sharpness_of_the_egg_carton_is_its_closed_form(rng):
    theta = rng.uniform(-3, 3, (50, 2))
    product, other = np.sin(theta).prod(axis=1), np.cos(theta).prod(axis=1)
    problem = ds.problems.egg_carton()
    assert np.allclose(landscape.sharpness(problem, theta)[0], 100 * (abs(product) + abs(other)), rtol=1e-13)
    largest = landscape.sharpness(problem, theta, kind="largest")[0]
    assert np.allclose(largest, 100 * (-product + abs(other)), rtol=1e-12, atol=1e-12)


def test_lanczos_finds_the_eigenvalues_of_the_formed_hessian_within_its_error(rng):
    known, unknown = wide_logistic()
    theta = 0.1 * rng.normal(size=(2, known.dim))
    values = np.linalg.eigvalsh(known.hessian(theta))
    for kind, expected in (("norm", values[:, -1]), ("largest", values[:, -1]), ("smallest", values[:, 0])):
        value, error = landscape.sharpness(unknown, theta, kind=kind)
        assert (abs(value - expected) <= error).all()
        assert (error < 1e-5).all()


def test_lanczos_steps_that_end_early_are_within_their_error_of_an_eigenvalue(rng):
    known, unknown = wide_logistic()
    theta = 0.1 * rng.normal(size=(3, known.dim))
    values = np.linalg.eigvalsh(known.hessian(theta))
    value, error = landscape.sharpness(unknown, theta, tol=0.05)
    distance = abs(values - value[:, None]).min(axis=1)
    assert (distance <= error).all()
    assert (value < values[:, -1] - 1e-9).all()  # they have ended early, and come from below


def test_lanczos_finds_a_negative_curvature_when_the_norm_is_asked_for():
    problem = ds.problems.quadratic([*np.linspace(0, 1, 99), -5.0])
    formula = problem._term_hessians
    problem._term_hessians = None  # so that products are taken
    value, error = landscape.sharpness(problem, np.ones(100))
    assert formula is not None
    assert value == pytest.approx(5.0, abs=float(error) + 1e-9)
    assert landscape.sharpness(problem, np.ones(100), kind="largest")[0] == pytest.approx(1.0, abs=1e-5)


def test_lanczos_at_a_flat_point_beside_others_is_as_it_is_alone():
    """1 − exp(−Σ (j + 1) x_j²/1000): flat far out, and with curvatures (j + 1)/500 at 0."""

    def loss(theta, n):
        s = 0.0
        for j in range(70):
            s += (j + 1) * theta[j] ** 2
        return 1 - np.exp(-s / 1000)

    def gradient(theta, n, out):
        s = 0.0
        for j in range(70):
            s += (j + 1) * theta[j] ** 2
        for j in range(70):
            out[j] = np.exp(-s / 1000) * (j + 1) * theta[j] / 500

    problem = ds.Problem.from_terms(loss, gradient, n_terms=1, dim=70, check=False)
    (flat, center), (flat_error, _) = landscape.sharpness(problem, [[50.0] * 70, [0.0] * 70], kind="largest")
    assert (flat, flat_error) == (0.0, 0.0)
    assert center == pytest.approx(0.14, abs=1e-6)


def test_a_difference_over_a_kink_is_betrayed_by_its_error():
    problem = ds.Problem.from_terms(lambda theta, n: abs(theta[0]) + theta[0] ** 2, n_terms=1, dim=1, kinks=[0.0])
    (near, far), (near_error, far_error) = landscape.sharpness(problem, [[5e-4], [0.5]])
    assert far == pytest.approx(2.0, abs=1e-8)
    assert far_error < 1e-6
    assert near_error > 0.1 * abs(near - 2.0) > 10


def test_sharpness_is_zero_on_pieces_of_lines_and_not_a_number_where_there_is_no_point():
    value, error = landscape.sharpness(ds.problems.two_valleys(), [[0.3], [np.nan], [-0.5]])
    assert np.array_equal(value, [0.0, np.nan, 0.0], equal_nan=True)
    assert np.isnan(error[1])


def test_the_noise_norm_is_the_weighted_spread_of_the_terms(rng):
    problem = weighted_regression()
    theta = rng.normal(size=(7, 2))
    stats = landscape.run_statistics(problem, theta)
    for k, point in enumerate(theta):
        spread = sum(
            weight * np.sum((gradient - problem.gradient(point)) ** 2)
            for weight, gradient in zip(problem.weights, problem.term_gradients(point), strict=True)
        )
        assert stats.noise_norm[0, k] == pytest.approx(np.sqrt(spread), rel=1e-12)


@pytest.mark.parametrize("method", [ds.SGD(0.1), ds.RR(0.1)], ids=["SGD", "RR"])
def test_with_a_method_the_noise_is_that_of_its_own_draws(method, rng):
    problem = weighted_regression()
    theta = rng.normal(size=(4, 2))
    stats = landscape.run_statistics(problem, theta, method=method)
    for k, point in enumerate(theta):
        p = method.sampling.probabilities(problem, point)
        g = (problem.weights / p)[:, None] * problem.term_gradients(point)
        variance = (p * ((g - problem.gradient(point)) ** 2).sum(axis=1)).sum()
        assert stats.noise_norm[0, k] == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_a_full_batch_has_no_noise_of_its_own_but_its_terms_differ():
    problem = weighted_regression()
    assert landscape.run_statistics(problem, [[1.0, 1.0]], method=GD).noise_norm == 0
    assert landscape.run_statistics(problem, [[1.0, 1.0]]).noise_norm > 0.1


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_what_a_sample_shows_is_the_mean_square_over_all_samples(m, rng):
    X, y = rng.normal(size=(4, 3)), rng.normal(size=4)
    problem = ds.problems.linear_model(X, y)
    theta = rng.normal(size=3)
    gradients = problem.term_gradients(theta)
    sets = [gradients[list(chosen)] for chosen in itertools.combinations(range(4), m)]
    stats = landscape.run_statistics(problem, theta[None])
    shown = stats.from_sample(m)
    squares = [np.sum(g.mean(axis=0) ** 2) for g in sets]
    noises = [np.mean(np.sum((g - g.mean(axis=0)) ** 2, axis=1)) for g in sets]
    assert shown["gradient_norm"][0, 0] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)
    assert shown["noise_norm"][0, 0] == pytest.approx(np.sqrt(np.mean(noises)), rel=1e-12, abs=1e-14)
    if m < 4:  # Z §6.6.2 says that both norms come out too large
        assert shown["gradient_norm"] > stats.gradient_norm
        assert shown["noise_norm"] < stats.noise_norm


def test_at_the_fixed_point_of_the_egg_carton_the_step_is_half_way_to_the_edge():
    problem = ds.problems.egg_carton()
    run = ds.iterate(problem, GD, x0=[1.0, -0.5], n_steps=60)
    stats = landscape.run_statistics(problem, run, method=GD, every=30)
    assert stats.t.tolist() == [0, 30, 60]
    assert stats.edge[0, -1] == pytest.approx(1.0, abs=1e-12)
    assert stats.loss[0, -1] == pytest.approx(-100, abs=1e-10)
    assert stats.gradient_norm[0, -1] < 1e-10


def test_step_sizes_are_those_of_the_schedule_at_the_saved_steps():
    problem = ds.problems.quadratic([1.0, 2.0])
    method = ds.SGD(ds.schedules.Custom(lambda k: 0.1 / (k + 1)), batch_size="full")
    run = ds.iterate(problem, method, x0=1.0, n_steps=6, save_every=3)
    stats = landscape.run_statistics(problem, run, method=method)
    assert stats.step_sizes == pytest.approx([0.1, 0.1 / 4, 0.1 / 7])
    assert np.isnan(landscape.run_statistics(problem, run).step_sizes).all()


def test_step_sizes_of_states_far_apart_are_those_of_these_states_alone():
    method = ds.SGD(ds.schedules.Custom(lambda k: 0.1 / (k + 1)), batch_size="full")
    problem = ds.problems.quadratic([1.0])
    run = ds.Trajectories(np.ones((1, 3, 1)), np.array([0, 10**12, 2 * 10**12]), np.array([np.inf]), {})
    stats = landscape.run_statistics(problem, run, method=method)
    assert stats.step_sizes == pytest.approx([0.1, 0.1 / (10**12 + 1), 0.1 / (2 * 10**12 + 1)], rel=1e-12)


def test_the_times_of_an_sde_are_no_step_numbers():
    problem = ds.problems.quadratic([1.0])
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    run = ds.integrate(sde, 1.0, 2.0, dt=0.1, rng=0)
    schedule = ds.SGD(ds.schedules.Custom(lambda k: 0.1 / (k + 1)), batch_size="full")
    with pytest.raises(NotApplicable, match="not the step numbers"):
        landscape.run_statistics(problem, run, method=schedule)
    assert (landscape.run_statistics(problem, run, method=GD).step_sizes == 0.01).all()


def test_a_path_that_diverges_leaves_the_band():
    problem = ds.problems.exponential_wings(1.0)
    method = ds.SGD(0.5, batch_size="full")
    run = ds.iterate(problem, method, x0=[[0.5], [9.0], [0.7]], n_steps=30, n_paths=3)
    assert run.n_diverged == 1
    stats = landscape.run_statistics(problem, run, method=method)
    assert np.isnan(stats.loss[1, -1])
    median, low, high = stats.band("loss")
    kept = stats.loss[[0, 2], -1]
    assert median[-1] == pytest.approx(kept.mean())
    assert kept.min() <= low[-1] <= high[-1] <= kept.max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: landscape.sharpness(p, [1.0]), "theta must have shape"),
        (lambda p: landscape.sharpness(p, [1.0, 2.0], kind="top"), "kind is not known"),
        (lambda p: landscape.sharpness("p", [1.0]), "problem must be"),
        (lambda p: landscape.sharpness(p, [1.0, 2.0], tol=0.0), "tol must lie"),
        (lambda p: landscape.run_statistics(p, [1.0, 2.0]), "run must be Trajectories or have shape"),
        (lambda p: landscape.run_statistics(p, [[np.nan, 2.0]]), "at least one finite"),
        (lambda p: landscape.run_statistics(p, [[1.0, 2.0]], every=0), "every must be"),
        (lambda p: landscape.run_statistics(p, [[1.0, 2.0]], method=0.1), "method must be"),
        (lambda p: landscape.run_statistics(p, [[1.0, 2.0]]).band("height"), "name is not known"),
        (lambda p: landscape.run_statistics(p, [[1.0, 2.0]]).from_sample(6), "m must be at most"),
    ],
    ids=["shape", "kind", "problem", "tol", "axes", "nan", "every", "method", "band", "sample"],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(weighted_regression())


def test_a_sample_of_unequal_terms_is_not_spoken_about():
    stats = landscape.run_statistics(weighted_regression(), [[1.0, 2.0]])
    with pytest.raises(NotApplicable, match="same weight"):
        stats.from_sample(2)


def test_the_plot_has_the_four_panels_and_the_edge():
    problem = ds.problems.egg_carton()
    run = ds.iterate(problem, GD, x0=[1.0, -0.5], n_steps=10)
    panels = landscape.run_statistics(problem, run, method=GD).plot()
    assert [ax.get_ylabel() for ax in panels] == ["loss", "gradient norm", "noise norm", "sharpness"]
    assert panels[3].get_lines()[1].get_ydata() == pytest.approx(np.full(11, 200.0))
    with pytest.raises(ArgumentError, match="four Axes"):
        landscape.run_statistics(problem, run).plot(panels[:2])
