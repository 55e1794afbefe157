"""Do samples move as the method says? By exact enumeration, exact chains, and wrong methods that must be found."""

from itertools import pairwise, product

import numpy as np
import pytest

import dynsim as ds
from dynsim.ergodic import invariance_test, vanishing_change
from dynsim.ergodic.transitions import Functions, Transition

X = np.array([[1.0, 0.3], [-0.4, 1.2], [0.7, -0.8], [1.5, 0.2]])
Y = np.array([0.5, -1.0, 0.25, 2.0])


@pytest.fixture(scope="module")
def regression():
    """Four terms of which no two are alike, at different weights."""
    return ds.problems.linear_model(X, Y)


def by_hand(theta, eta, probabilities, batch):
    """Every ordered batch of terms, its gradient and its probability, written out."""
    n = len(Y)
    residual = X @ theta - Y
    for drawn in product(range(n), repeat=batch):
        g = sum(X[j] * residual[j] / (n * probabilities[j]) for j in drawn) / batch
        yield theta - eta * g, np.prod([probabilities[j] for j in drawn])


@pytest.mark.parametrize(
    ("method", "batch"),
    [
        (ds.SGD(0.1), 1),
        (ds.RR(0.1), 1),
        (ds.SGD(0.1, batch_size=3), 3),
        (ds.SGD(0.1, ds.sampling.GradientNorm(), batch_size=2), 2),
    ],
    ids=["SGD", "RR", "SGD-3", "RR-2"],
)
def test_the_mean_and_covariance_after_a_step_are_those_of_all_batches(regression, method, batch):
    theta = np.array([0.7, -0.2])
    norms = np.linalg.norm(X, axis=1) * np.abs(X @ theta - Y)
    p = norms / norms.sum() if "GradientNorm" in repr(method) else np.full(4, 0.25)
    phi = Functions(lambda x: np.stack([x[..., 0], np.sin(x[..., 1]), x[..., 0] * x[..., 1]], axis=-1))
    steps = list(by_hand(theta, 0.1, p, batch))
    values = phi(np.array([target for target, _ in steps]))
    weights = np.array([weight for _, weight in steps])
    mean, cov, ends = Transition("this", regression, method).moments(phi, theta[None])
    np.testing.assert_allclose(mean[0], weights @ values, rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(values, rowvar=False, aweights=weights, ddof=0), rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(ends, [values.min(axis=0), values.max(axis=0)], rtol=1e-12)


def test_z_is_the_sum_of_differences_over_the_root_of_their_variances(regression):
    run = ds.iterate(regression, ds.SGD(0.2), 0.0, n_steps=50, n_paths=3, rng=4)
    total = variance = 0.0
    for path in run.x:
        for before, after in pairwise(path):
            targets = np.array([target for target, _ in by_hand(before, 0.2, np.full(4, 0.25), 1)])
            total += (after**2).sum() - (targets**2).sum(axis=1).mean()
            variance += (targets**2).sum(axis=1).var()
    found = invariance_test(regression, ds.SGD(0.2), run, lambda x: (x**2).sum(axis=-1))
    assert found.z == pytest.approx(total / np.sqrt(variance), rel=1e-10)
    assert (found.n, found.kind, found.z.shape) == (150, "steps", ())


def test_z_is_standard_normal_and_the_joint_statistic_chi_squared(regression):
    """Over 200 runs of 100 steps, begun out of equilibrium: mean, variance and χ² within 5 standard errors."""
    run = ds.iterate(regression, ds.SGD(0.3), 2.0, n_steps=100, n_paths=200, rng=1)
    phi = {"x": lambda x: x[..., 0], "cos": lambda x: np.cos(x[..., 1]), "loss": regression.loss}
    found = [invariance_test(regression, ds.SGD(0.3), path[None], phi) for path in run.x]
    z, chi2 = np.array([f.z for f in found]), np.array([f.chi2 for f in found])
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(200)
    assert np.abs(z.var(axis=0) - 1).max() < 5 * np.sqrt(2 / 200)
    assert abs(chi2.mean() - 3) < 5 * np.sqrt(6 / 200)
    assert {f.dof for f in found} == {3}


WRONG = {
    "step size by 3 %": ds.SGD(0.309),
    "sampling": ds.SGD(0.3, ds.sampling.Proportions([0.1, 0.2, 0.3, 0.4])),
    "batch": ds.SGD(0.3, batch_size=2),
    "importance sampling": ds.RR(0.3),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_method_is_found(regression, wrong):
    run = ds.iterate(regression, ds.SGD(0.3), 0.0, n_steps=2000, n_paths=40, rng=0)
    assert invariance_test(regression, ds.SGD(0.3), run, regression.loss).p_value > 1e-4
    assert invariance_test(regression, wrong, run, regression.loss).p_value < 1e-6


def test_a_missing_reweighting_is_found(regression):
    """Terms drawn by importance but not divided by n p_j."""
    rng, theta, eta = np.random.default_rng(0), np.zeros((200, 2)), 0.2
    states = [theta]
    for _ in range(400):
        residual = theta @ X.T - Y
        p = np.abs(residual) * np.linalg.norm(X, axis=1)
        p /= p.sum(axis=1, keepdims=True)
        drawn = (np.cumsum(p, axis=1) < rng.random((200, 1))).sum(axis=1)
        theta = theta - eta * X[drawn] * residual[np.arange(200), drawn, None]
        states.append(theta)
    found = invariance_test(regression, ds.RR(eta), np.stack(states, axis=1), lambda x: x)
    assert found.joint_p_value < 1e-12
    assert found.z.shape == (2,)


def test_it_tests_the_kernel_and_not_convergence(valleys):
    """Chains that have never left their valley pass, though their averages disagree by everything there is."""
    method = ds.SGD(0.01)
    run = ds.iterate(valleys, method, [[-1.0], [0.2]] * 10, n_steps=1000, n_paths=20, rng=0)
    left = run.x[:, :, 0] < 0
    assert left[::2].all()
    assert not left[1::2].any()
    phi = {"loss": valleys.loss, "square": lambda x: x[..., 0] ** 2}
    assert invariance_test(valleys, method, run, phi).joint_p_value > 1e-4


def test_the_defect_of_an_exact_stationary_law_is_rounding(valleys):
    law = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25).stationary()
    found = invariance_test(valleys, ds.SGD(0.04), law, {"x": lambda x: x[..., 0], "loss": valleys.loss})
    assert np.abs(found.defect).max() < 1e-14
    wrong = invariance_test(valleys, ds.SGD(0.042), law, {"x": lambda x: x[..., 0], "loss": valleys.loss})
    assert abs(wrong.defect[1]) > 1e-4
    assert np.isnan(found.p_value).all()
    assert found.kind == "law"


def test_a_law_on_a_grid_is_invariant_up_to_its_cells(valleys):
    law = ds.invariant_measure(valleys, ds.SGD(0.04), bounds=(-2, 1), n_cells=300)
    found = invariance_test(valleys, ds.SGD(0.04), law, lambda x: x[..., 0])
    assert abs(found.defect) < 2 * 3 / 300
    assert found.stderr > 0


def test_independent_samples_of_the_stationary_law_pass_and_others_do_not(valleys):
    method = ds.SGD(0.04)
    law = ds.markov_chain(valleys, method, x0=0.25).stationary()
    samples = law.sample(4000, rng=3)
    found = invariance_test(valleys, method, samples, valleys.loss)
    gap = valleys.loss(samples) - Transition("this", valleys, method).moments(Functions(valleys.loss), samples)[0][:, 0]
    assert found.z == pytest.approx(gap.mean() / (gap.std(ddof=1) / np.sqrt(4000)), rel=1e-10)
    assert found.p_value > 1e-3
    moved = samples + 0.02
    assert invariance_test(valleys, method, moved, valleys.loss).p_value < 1e-6


def test_steps_without_chance_are_right_or_impossible(valleys):
    full = ds.SGD(0.04, batch_size="full")
    run = ds.iterate(valleys, full, 0.25, n_steps=20)
    right = invariance_test(valleys, full, run, lambda x: x[..., 0])
    assert (right.z, right.p_value, right.joint_p_value) == (0, 1, 1)
    wrong = invariance_test(valleys, ds.SGD(0.05, batch_size="full"), run, lambda x: x[..., 0])
    assert np.isinf(wrong.z)
    assert wrong.p_value == wrong.joint_p_value == 0


def test_a_defect_where_there_is_no_chance_is_found_in_the_joint_test_too():
    """Both coordinates get the same steps; a drift of one against the other is impossible, but small beside them."""
    problem = ds.problems.linear_model([[1.0, 1.0], [1.0, 1.0]], [1.0, -1.0])
    run = ds.iterate(problem, ds.SGD(0.1), 0.0, n_steps=500, n_paths=4, rng=0)
    drift = 5e-4 * np.arange(501)[:, None] * [1.0, -1.0]
    right, wrong = (invariance_test(problem, ds.SGD(0.1), x, lambda x: x) for x in (run.x, run.x + drift))
    assert right.joint_p_value == pytest.approx(right.p_value[0], rel=1e-6)
    assert wrong.p_value.min() > 0.05
    assert (wrong.chi2, wrong.joint_p_value) == (np.inf, 0.0)


def test_a_phi_may_return_a_tuple(regression):
    run = ds.iterate(regression, ds.SGD(0.2), 0.0, n_steps=100, rng=0)
    several = invariance_test(regression, ds.SGD(0.2), run, lambda x: (x[..., 0], x[..., 1]))
    alone = invariance_test(regression, ds.SGD(0.2), run, lambda x: x)
    np.testing.assert_allclose(several.z, alone.z, rtol=1e-9)


def test_a_phi_that_is_a_combination_of_others_takes_no_degree_of_freedom(regression):
    run = ds.iterate(regression, ds.SGD(0.2), 0.0, n_steps=100, rng=0)
    phi = {
        "x": lambda x: x[..., 0],
        "y": lambda x: x[..., 1],
        "sum": lambda x: x.sum(axis=-1),
        "1": lambda x: 0 * x[..., 0],
    }
    found = invariance_test(regression, ds.SGD(0.2), run, phi)
    alone = invariance_test(regression, ds.SGD(0.2), run, lambda x: x)
    assert found.dof == 2
    assert found.chi2 == pytest.approx(alone.chi2, rel=1e-8)
    assert found.names == ("x", "y", "sum", "1")


def test_what_it_cannot_judge_is_refused(regression, valleys):
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=20, n_paths=2, rng=0)
    loss = valleys.loss
    for method, reason in [
        (ds.HeavyBall(0.04), "without memory"),
        (ds.Adam(0.04), "the step number"),
        (ds.SGD(ds.schedules.Step(0.04, 0.5, 5)), "got a schedule"),
        (ds.SGD(0.04, noise=ds.noise.Gaussian(0.1)), "noise with a density"),
    ]:
        with pytest.raises(ds.errors.NotApplicable, match=reason):
            invariance_test(valleys, method, run, loss)
    sparse = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=20, save_every=2, rng=0)
    with pytest.raises(ds.errors.NotApplicable, match="save_every=1"):
        invariance_test(valleys, ds.SGD(0.04), sparse, loss)
    for samples, phi, reason in [
        (run, 3, "phi must be a function"),
        (run, {}, "at least one function"),
        (run, lambda x: x.sum(), "a number for each point"),
        (run, {"x": lambda x: x}, "one number for each point"),
        (run, lambda x: np.log(x[..., 0] - 9 + 0j).real * np.nan, "must be finite"),
        (np.zeros((5, 1)), loss, "at least 30"),
        (np.zeros((1, 5, 2)), loss, r"shape \(n_paths, n, 1\)"),
        ([1.0, 2.0], loss, r"shape \(n_paths, n_saved, dim\)"),
        ([[1.0], [1.0, 2.0]], loss, "rows are of different lengths"),
        (np.where(np.arange(30).reshape(3, 10, 1) == 17, np.nan, 0.0), loss, "path 1 first at saved time number 7"),
        (run, lambda x: x[..., 7], "phi fails for theta of shape"),
        (ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25).stationary(), lambda x: "a", "a number for each point"),
    ]:
        with pytest.raises(ds.errors.ArgumentError, match=reason):
            invariance_test(valleys, ds.SGD(0.04), samples, phi)
    with pytest.raises(ds.errors.ArgumentError, match="problem must be"):
        invariance_test("x", ds.SGD(0.04), run, loss)


def test_theorem_6_4_1_has_slope_minus_one_realized_and_minus_one_half_resampled(valleys):
    found = vanishing_change(valleys, ds.SGD(0.04), valleys.loss, x0=-1.0, n_steps=2048, burn_in=200, rng=1)
    intervals = {reading: found.slope_interval(reading, 0.999) for reading in found.change}
    assert intervals["realized"][0] < -1 < intervals["realized"][1] < -0.9
    for reading in ("resampled", "expected"):
        assert -0.65 < intervals[reading][0] < -0.5 < intervals[reading][1] < -0.35


def test_the_constants_of_the_rates_are_exact(valleys):
    """E_μ Var φ(F θ) from the exact chain; √n times the change is its root, √2 times that if resampled."""
    method = ds.SGD(0.04)
    law = ds.markov_chain(valleys, method, x0=-1.0).stationary()
    targets = [law.x - 0.04 * valleys.term_gradients(law.x)[:, j] for j in range(2)]
    p = valleys.weights
    losses = np.stack([valleys.loss(t) for t in targets])
    variance = law.mass @ (p @ losses**2 - (p @ losses) ** 2)
    found = vanishing_change(valleys, method, valleys.loss, x0=-1.0, n_steps=1024, n_paths=200, burn_in=200, rng=0)
    assert found.variance == pytest.approx(variance, rel=0.01)
    for reading, factor in [("resampled", 2), ("expected", 1)]:
        change, stderr = found.change[reading][-1], found.stderr[reading][-1]
        expected = np.sqrt(factor * variance / 1024)
        assert abs(change - expected) < 5 * stderr
        assert abs(change - np.sqrt((3 - factor) * variance / 1024)) > 3 * stderr  # the other one
        assert found.asymptote(reading)[-1] == pytest.approx(expected, rel=0.01)


def test_realized_it_telescopes_whatever_the_chain_does(valleys):
    found = vanishing_change(valleys, ds.SGD(0.04), lambda x: x[..., 0], x0=0.25, n_steps=64, n_paths=20, rng=5)
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=64, n_paths=20, rng=found.settings["seed"])
    direct = [np.sqrt((((run.x[:, :n] - run.x[:, 1 : n + 1]).sum(axis=1)[:, 0] / n) ** 2).mean()) for n in found.n]
    np.testing.assert_allclose(found.change["realized"], direct, rtol=1e-9, atol=1e-15)
    assert (found.change["realized"] <= found.bound("realized")).all()


def test_the_bounds_of_hoeffding_are_the_formulas_and_hold(valleys):
    """φ is a sign: of all bounded φ the one with the largest variance. M is given."""
    found = vanishing_change(
        valleys,
        ds.SGD(0.04),
        lambda x: np.sign(x[..., 0] + 1.0),
        x0=-1.0,
        n_steps=256,
        n_paths=50,
        half_range=1.0,
        rng=0,
    )
    n = found.n
    log = np.log(2 / 0.01)
    np.testing.assert_allclose(found.bound("expected", 0.01), 2 / n + np.sqrt(2 * log / n))
    np.testing.assert_allclose(found.bound("resampled", 0.01), 2 / n + 2 * np.sqrt(log / n))
    for reading in found.change:
        assert (found.change[reading] < found.bound(reading, 0.5)).all()


def test_without_chance_all_readings_are_one():
    problem = ds.problems.egg_carton()
    start = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    found = vanishing_change(
        problem, ds.SGD(0.04, batch_size="full"), problem.loss, x0=start, n_steps=200, n_paths=20, rng=0
    )
    assert found.variance == 0
    np.testing.assert_allclose(found.change["resampled"], found.change["realized"], rtol=1e-6)


def test_vanishing_change_refuses_what_it_cannot_do(valleys):
    sgd = ds.SGD(0.04)

    def ask(phi=valleys.loss, method=sgd, **kwargs):
        return vanishing_change(valleys, method, phi, **{"x0": -1.0, "n_steps": 64, "n_paths": 8, **kwargs})

    for kwargs, reason in [
        ({"n_paths": 4}, "n_paths must be at least 8"),
        ({"n_steps": 8}, "at least 32"),
        ({"phi": {"x": valleys.loss}}, "one function"),
        ({"phi": lambda x: np.repeat(x, 2, axis=-1)}, "one number for each point"),
        ({"half_range": 1e-9}, "half_range must be at least"),
        ({"half_range": -1}, "positive"),
    ]:
        with pytest.raises(ds.errors.ArgumentError, match=reason):
            ask(**kwargs)
    with pytest.raises(ds.errors.NotApplicable, match="without memory"):
        ask(method=ds.HeavyBall(0.04))
    with pytest.raises(ds.errors.ArgumentError, match="reading is not known"):
        ask().bound("fresh")


def test_vanishing_change_draws_itself(valleys):
    import matplotlib as mpl

    mpl.use("Agg")
    found = vanishing_change(valleys, ds.SGD(0.04), valleys.loss, x0=-1.0, n_steps=64, n_paths=8, rng=0)
    ax = found.plot()
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert len(ax.get_legend().get_texts()) == 3
