"""AY Theorem 3.4 against exact recursions of second moments, brute force over the ball, and whole paths."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import dynsim as ds

Polynomial = ds.schedules.Polynomial


@pytest.fixture(scope="module")
def additive():
    """Gradients θ ∓ 1: for SGD curvature 1 and additive noise of variance 1."""
    return ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0])


@pytest.fixture(scope="module")
def disparate():
    """Small features along one axis and large ones along the other, residuals ±1: RR is noisier along the flat one."""
    return ds.problems.linear_model([[1.0, 0.0], [1.0, 0.0], [0.0, 10.0], [0.0, 10.0]], [1.0, -1.0, 1.0, -1.0])


def exact_squares(eta, first, contraction, noise):
    """E θ_k² for E θ'² = contraction(η) E θ² + noise(η)."""
    values = [first]
    for h in eta:
        values.append(contraction(h) * values[-1] + noise(h))
    return np.array(values)


CONTRACTIONS = {"SGD": lambda h: (1 - h) ** 2, "RR": lambda h: 1 - 2 * h}  # RR: E‖G‖² = (mean|θ ∓ 1|)² = 1 for |θ| < 1


@pytest.mark.parametrize("name", CONTRACTIONS)
@pytest.mark.parametrize("p", [1.0, 0.7])
def test_the_simulation_follows_the_exact_second_moments(additive, name, p):
    eta = Polynomial(1.5, 30, p)
    method = getattr(ds, name)(eta)
    run = ds.theory.theorem_3_4(additive, method, [0.0], radius=1.0).simulate(x0=0.3, n_steps=2000, n_paths=2000, rng=1)
    right, no_square, half = (
        exact_squares(eta(np.arange(2000)), 0.09, CONTRACTIONS[name], noise)[run.k - 1]
        for noise in (lambda h: h**2, lambda h: h, lambda h: h**2 / 2)
    )
    assert run.k[[0, -1]].tolist() == [1, 2001]
    assert (np.abs(run.mean_square - right) <= 5 * run.stderr + 1e-12).all()
    assert (np.abs(run.mean_square - no_square) > 5 * run.stderr)[-1]
    assert (np.abs(run.mean_square - half) > 5 * run.stderr)[-1]


@pytest.mark.parametrize(("gamma", "p"), [(0.8, 1.0), (3.0, 1.0), (0.8, 0.7), (3.0, 0.6)])
@pytest.mark.parametrize("name", CONTRACTIONS)
def test_the_sharp_constant_is_the_limit_of_the_exact_second_moments(additive, name, gamma, p):
    eta, n = Polynomial(gamma, 10, p), 100_000
    limit = exact_squares(eta(np.arange(n)), 1.0, CONTRACTIONS[name], lambda h: h**2)[-1] * (n + 1) ** p
    found = ds.theory.theorem_3_4(additive, getattr(ds, name)(eta), [0.0], radius=1.0)
    assert found.sharp == pytest.approx(limit, rel=0.05)
    assert found.asymptote(n + 1) == found.sharp / (n + 1) ** p


def test_the_sharp_constant_of_a_matrix_is_the_limit_of_the_exact_covariances():
    """For SGD on the square loss C' = E[(I − ηH_n) C (I − ηH_n)] + η² Σ(θ*), the mean being 0."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(7, 2)) * [1.0, 2.0], rng.normal(size=7)
    problem = ds.problems.linear_model(X, y)
    at = problem.least_squares()
    eta = Polynomial(2.0, 60, 1.0)
    found = ds.theory.theorem_3_4(problem, ds.SGD(eta), at, radius=1.0)
    g = X * (X @ at - y)[:, None]
    noise = (g.T @ g / 7).ravel()
    H = X.T @ X / 7
    lifted = sum(np.kron(np.outer(x, x), np.outer(x, x)) for x in X) / 7
    drift = np.kron(H, np.eye(2)) + np.kron(np.eye(2), H)
    C, n = np.zeros(4), 100_000
    for h in eta(np.arange(n)):
        C = C - h * (drift @ C) + h**2 * (lifted @ C + noise)
    assert found.sharp == pytest.approx((C[0] + C[3]) * n, rel=0.01)


def test_the_slopes_are_attained_in_the_ball_and_the_curvature_is_that_of_the_hessian(data):
    problem = ds.problems.linear_model(*data)
    at, radius = problem.least_squares(), 0.7
    found = ds.theory.theorem_3_4(problem, ds.SGD(Polynomial(1.0, 10, 0.8)), at, radius=radius)
    directions = problem.X * np.sign(problem.residuals(at))[:, None]
    points = at + radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    own = np.linalg.norm(problem.term_gradients(points), axis=-1)[np.arange(12), np.arange(12)]
    np.testing.assert_allclose(found.sigma_squared, own**2, rtol=1e-12)
    assert found.exact
    assert found.alpha == pytest.approx(np.linalg.eigvalsh(problem.X.T @ problem.X / 12)[0], rel=1e-12)


SCHEMES = {
    "Uniform": ds.sampling.Uniform(),
    "GradientNorm": ds.sampling.GradientNorm(),
    "Mixture": ds.sampling.Mixture(0.3),
    "Proportions": ds.sampling.Proportions([0.2, 0.3, 0.5]),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_the_second_moment_bounds_that_of_the_draws_and_is_attained_in_dim_one(name):
    """Without residuals all terms are steepest at the same point of the ball. Mixture's bound is one by convexity."""
    problem = ds.problems.linear_model([[1.0], [2.0], [3.0]], [0.0, 0.0, 0.0], weights=[0.5, 0.3, 0.2])
    found = ds.theory.theorem_3_4(problem, ds.SGD(Polynomial(1.0, 50, 0.8), SCHEMES[name]), [0.0], radius=0.6)
    theta = np.linspace(-0.6, 0.6, 41)[:, None]
    p, g = SCHEMES[name].probabilities(problem, theta), problem.term_gradients(theta)[..., 0]
    moments = np.divide(problem.weights**2 * g**2, p, out=np.zeros_like(g), where=p > 0).sum(axis=-1)
    assert moments.max() <= found.second_moment * (1 + 1e-12)
    assert moments.max() >= (0.8 if name == "Mixture" else 1 - 1e-12) * found.second_moment


def test_the_printed_coefficients_are_those_of_the_paper(additive, disparate):
    """σ_n = 2 for both terms of the one; 2 and 10·(1 + 10) for those of the other, radius 1."""
    found = ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(2.0, 10, 1.0)), [0.0], radius=1.0, delta=0.2)
    assert found.printed == pytest.approx(4 * 4 / (0.8 * 3), rel=1e-12)  # (3.21)
    for name, p, printed, improved in (
        ("SGD", 0.7, 110**2, (2**2 + 110**2) / 2),  # (3.22)
        ("RR", 0.7, (2**2 + 110**2) / 2, 56**2),  # (3.24)
        ("SGD", 1.0, 110**2, (2**2 + 110**2) / 2),
        ("RR", 1.0, (2**2 + 110**2) / 2, 56**2),  # (3.23)
    ):
        factor = 1.5 / (2 * 0.5) if p < 1 else 1.5**2 / (2 * 0.5 * 1.5 - 1)
        eta = Polynomial(1.5, 400, p)
        found = ds.theory.theorem_3_4(disparate, getattr(ds, name)(eta), [0.0, 0.0], radius=1.0, delta=0.25)
        assert (found.applies, found.reason) == (True, "")
        assert found.printed == pytest.approx(factor * printed / 0.75, rel=1e-12)
        assert found.improved == pytest.approx(factor * improved / 0.75, rel=1e-12)
        np.testing.assert_allclose(found.printed_bound([10, 100]), found.printed / np.array([10, 100]) ** p)
        np.testing.assert_allclose(found.bound([10, 100]), found.improved / np.array([10, 100]) ** p)


@pytest.mark.parametrize("p", [1.0, 0.7])
def test_rr_is_slower_than_sgd_in_spite_of_a_smaller_trace(disparate, p):
    """H = diag(½, 50), Σ = diag(½, 50) for SGD and 5.5·diag(½, 5) for RR."""
    eta, k = Polynomial(2.0 if p == 1 else 0.5, 400, p), 20_001
    ends = {}
    for name, noise in (("SGD", (0.5, 50.0)), ("RR", (2.75, 27.5))):
        method = getattr(ds, name)(eta)
        found = ds.theory.theorem_3_4(disparate, method, [0.0, 0.0], radius=1.0)
        covariance = method.gradient_covariance(disparate, [0.0, 0.0])
        np.testing.assert_allclose(covariance, np.diag(noise), atol=1e-12)
        expected = 4 * (noise[0] / 1 + noise[1] / 199) if p == 1 else 0.25 * (noise[0] / 0.5 + noise[1] / 50)
        assert found.sharp == pytest.approx(expected, rel=1e-12)
        run = found.simulate(x0=[0.1, 0.05], n_steps=k - 1, n_paths=1000, rng=2)
        ends[name] = (run.mean_square[-1] * k**p, run.stderr[-1] * k**p)
        assert run.stayed == 1.0
        assert (run.mean_square <= run.recursion).all()
        assert ends[name][0] == pytest.approx(found.sharp, abs=5 * ends[name][1])
        for wrong in (0.5, 2.0):  # γ for γ² where γ = 2; a missing ½
            assert abs(ends[name][0] - wrong * found.sharp) > 5 * ends[name][1]
    assert ends["RR"][0] - ends["SGD"][0] > 5 * np.hypot(ends["RR"][1], ends["SGD"][1])


def test_the_recursion_holds_for_each_step_and_tends_to_the_improved_coefficient(additive):
    found = ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(2.0, 10, 1.0)), [0.0], radius=1.0)
    values = found.recursion([1, 2, 3], 0.5)
    second = 0.25 * (1 - 2 * 0.2) + 0.2**2 * 4
    np.testing.assert_allclose(values, [0.25, second, second * (1 - 4 / 11) + (2 / 11) ** 2 * 4], rtol=1e-12)
    assert 10**5 * found.recursion(10**5, 0.5) == pytest.approx((1 - found.delta) * found.improved, rel=1e-3)


def test_what_the_run_keeps_is_what_its_whole_paths_show(data):
    problem = ds.problems.linear_model(*data)
    at, method = problem.least_squares(), ds.RR(Polynomial(2.0, 20, 0.9))
    run = ds.theory.theorem_3_4(problem, method, at, radius=0.55).simulate(x0=at + 0.3, n_steps=300, n_paths=200, rng=5)
    squares = ((ds.iterate(problem, method, at + 0.3, n_steps=300, n_paths=200, rng=5).x - at) ** 2).sum(axis=-1)
    inside = (squares <= 0.55**2).all(axis=1)
    assert 0.1 < run.stayed < 0.9
    assert run.stayed == inside.mean()
    at_k = squares[:, run.k - 1]
    np.testing.assert_allclose(run.mean_square, at_k.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(run.stderr[1:], at_k.std(axis=0, ddof=1)[1:] / np.sqrt(200), rtol=1e-9)
    np.testing.assert_allclose(run.conditional, at_k[inside].mean(axis=0), rtol=1e-12)
    assert (run.conditional != run.mean_square).any()


def test_where_no_path_stays_there_is_no_conditional_mean(additive):
    found = ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(2.0, 2, 1.0)), [0.0], radius=0.1)
    run = found.simulate(x0=0.0, n_steps=5, n_paths=10, rng=0)
    assert run.stayed == 0.0
    assert np.isnan(run.conditional).all()


def test_where_all_terms_fit_convergence_is_faster_than_the_rate(data):
    X, _ = data
    problem = ds.problems.linear_model(X, X @ [1.0, -0.5, 2.0])
    for name in CONTRACTIONS:
        found = ds.theory.theorem_3_4(
            problem, getattr(ds, name)(Polynomial(20.0, 240, 1.0)), [1.0, -0.5, 2.0], radius=1.0
        )
        run = found.simulate(x0=[1.2, -0.4, 2.0], n_steps=3000, n_paths=50, rng=0)
        scaled = run.k * run.mean_square
        assert found.sharp == 0.0
        assert found.improved > 0
        assert scaled[-1] < 1e-2 * scaled[run.k > 100][0]


@pytest.mark.parametrize(
    ("gamma", "p", "reason"),
    [
        (0.5, 1.0, "2αγ must be above 1, it is 1"),
        (1.0, 0.5, "p must lie in (1/2, 1], it is 0.5"),
        (1.0, 1.5, "p must lie in (1/2, 1], it is 1.5"),
    ],
)
def test_where_a_condition_fails_there_is_a_reason_and_no_number(additive, gamma, p, reason):
    found = ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(gamma, 10, p)), [0.0], radius=1.0)
    assert not found.applies
    assert reason in found.reason
    assert np.isnan([found.printed, found.improved]).all()
    assert np.isnan(found.sharp) == (p >= 1)
    assert np.isfinite(found.simulate(x0=0.1, n_steps=10, n_paths=5, rng=0).mean_square).all()


def test_other_problems_are_sampled_and_say_so():
    """l = −cos θ: curvature cos r at the distance r, slope sin r."""
    problem = ds.Problem.from_terms(lambda theta, n: -np.cos(theta[0]), n_terms=2, dim=1)
    eta = Polynomial(2.0, 10, 0.8)
    found = ds.theory.theorem_3_4(problem, ds.SGD(eta), [0.0], radius=1.0)
    assert not found.exact
    assert found.alpha == pytest.approx(np.cos(1.0), rel=1e-6)
    np.testing.assert_allclose(found.sigma_squared, np.sin(1.0) ** 2, rtol=1e-9)
    wide = ds.theory.theorem_3_4(problem, ds.SGD(eta), [0.0], radius=2.0)
    assert not wide.applies
    assert "strongly convex" in wide.reason
    assert np.isnan(wide.simulate(x0=0.5, n_steps=5, n_paths=5, rng=0).recursion).all()


def test_batches_divide_the_sharp_constant(disparate):
    eta, at = Polynomial(2.0, 400, 0.8), [0.0, 0.0]
    one, four = (ds.theory.theorem_3_4(disparate, ds.SGD(eta, batch_size=b), at, radius=0.5) for b in (1, 4))
    assert four.sharp == pytest.approx(one.sharp / 4, rel=1e-12)
    assert one.improved / 4 < four.improved < one.improved
    mixture = ds.theory.theorem_3_4(disparate, ds.SGD(eta, ds.sampling.Mixture()), at, radius=0.5)
    assert np.isnan(mixture.printed)
    assert np.isnan([four.printed, *four.printed_bound([1, 2])]).all()
    assert np.isnan(
        ds.theory.theorem_3_4(disparate, ds.SGD(eta, ds.sampling.GradientNorm(), batch_size=3), at, radius=0.5).printed
    )
    assert one.printed > one.improved


def test_theorem_3_4_refuses_what_it_is_not_about(additive, valleys, data):
    eta = Polynomial(2.0, 10, 1.0)
    refused = ds.errors.NotApplicable
    with pytest.raises(refused, match="is about SGD"):
        ds.theory.theorem_3_4(additive, ds.HeavyBall(0.1, momentum=0.5), [0.0], radius=1.0)
    with pytest.raises(refused, match=r"step sizes γ/\(k \+ m\)\^p, .* got 0.1"):
        ds.theory.theorem_3_4(additive, ds.SGD(0.1), [0.0], radius=1.0)
    with pytest.raises(refused, match="does not know noise added"):
        ds.theory.theorem_3_4(additive, ds.SGD(eta, noise=ds.noise.Gaussian(0.1)), [0.0], radius=1.0)
    for method in (ds.SGD(eta, batch_size="full"), ds.SGD(eta, ds.sampling.Stale(10))):
        with pytest.raises(
            refused, match="independent draws with fixed proportions, GradientNorm and Mixture, got SGD"
        ):
            ds.theory.theorem_3_4(additive, method, [0.0], radius=1.0)
    with pytest.raises(refused, match=r"has a kink at .* within the radius 1"):
        ds.theory.theorem_3_4(valleys, ds.SGD(eta), [0.2], radius=1.0)
    saddle = ds.problems.linear_model(np.ones((3, 2)), np.zeros(3))
    with pytest.raises(refused, match="strongly convex, the least eigenvalue"):
        ds.theory.theorem_3_4(saddle, ds.SGD(eta), [0.0, 0.0], radius=1.0)
    argument = ds.errors.ArgumentError
    with pytest.raises(argument, match=r"the gradient there has norm 0\.1: the minimum is about 0\.1 away"):
        ds.theory.theorem_3_4(additive, ds.SGD(eta), [0.1], radius=1.0)
    with pytest.raises(argument, match="radius must be a positive"):
        ds.theory.theorem_3_4(additive, ds.SGD(eta), [0.0], radius=-1.0)
    with pytest.raises(argument, match=r"radius must be so small that ‖∇l_n‖² is finite in the ball, got 1e\+200"):
        ds.theory.theorem_3_4(additive, ds.SGD(eta), [0.0], radius=1e200)
    assert ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(1e200, 10, 1.0)), [0.0], radius=1.0).sharp > 1e199
    with pytest.raises(argument, match="delta must lie strictly between 0 and 1"):
        ds.theory.theorem_3_4(additive, ds.SGD(eta), [0.0], radius=1.0, delta=1.0)
    found = ds.theory.theorem_3_4(additive, ds.SGD(eta), [0.0], radius=1.0)
    with pytest.raises(argument, match="x0 must lie within the radius 1 of θ"):
        found.simulate(x0=1.1, n_steps=5)
    for wrong in (0, 1.5, []):
        for ask in (found.bound, found.printed_bound, found.asymptote, lambda k: found.recursion(k, 0.1)):
            with pytest.raises(argument, match="k must be numbers of steps, whole and from 1 on"):
                ask(wrong)
    with pytest.raises(argument, match="n_paths must be a whole number, at least 2"):
        found.simulate(x0=0.1, n_steps=5, n_paths=1)


def test_the_picture_has_the_bounds_the_asymptote_and_the_measured_curve(additive):
    found = ds.theory.theorem_3_4(additive, ds.SGD(Polynomial(2.0, 10, 1.0)), [0.0], radius=1.0)
    run = found.simulate(x0=0.5, n_steps=100, n_paths=50, rng=0)
    ax = run.plot(Figure().subplots())
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert [*lines] == ["SGD, measured", "AY Theorem 3.4", "with E‖V‖²", "with E‖V‖², for all k", "sharp"]
    np.testing.assert_array_equal(lines["SGD, measured"], run.mean_square)
    np.testing.assert_array_equal(lines["sharp"], found.asymptote(run.k))
    ax.figure.canvas.draw()
