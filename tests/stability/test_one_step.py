"""One-step thresholds against bisection on the printed eigenvalue test, enumeration, and scans of all directions."""

import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim.stability import one_step as module
from dynsim.stability import ratio as ratios
from dynsim.stability.dynamics import Dynamics
from dynsim.stability.one_step import lemma, lemma_at, one_step

RR = ds.RR(0.1)


def batches_of(size, sampling=None):
    return ds.SGD(0.1, sampling or ds.sampling.GradientNorm(), batch_size=size)


def features(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * rng.exponential(size=(n, 1))


def of_rank_two(n, d, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, d, 2))
    return A @ A.transpose(0, 2, 1)


def threshold(method, weights=None, **given):
    """Bounds in the user's own units."""
    dynamics = Dynamics.of(ds.stability.terms(weights=weights, **given), method)
    found = one_step(dynamics)
    return found.lower / dynamics.unit, found.upper / dynamics.unit


def outer(X):
    return X[:, :, None] * X[:, None, :]


def bisected(H, second, power=2):
    """Largest η with λ_max((I − ηH)² + η²(second − H^power)) ≤ 1: (3.10), or without its square for power=1."""
    eye = np.eye(len(H))

    def grows(eta):
        bracket = (eye - eta * H) @ (eye - eta * H) + eta**2 * (second - np.linalg.matrix_power(H, power))
        return np.linalg.eigvalsh(bracket)[-1] > 1

    low, high = 0.0, 4 / np.linalg.eigvalsh(H)[-1]
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if grows(middle) else (middle, high)
    return low


def random_problem(seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 20
    n = 3 * d + int(rng.integers(20))
    weights, p = rng.random((2, n)) + 0.2
    return features(n, d, seed), weights / weights.sum(), p / p.sum()


def test_the_pencil_is_where_the_eigenvalue_test_stops_to_pass():
    """200 random problems of 1 to 20 dimensions, by a_n and by fixed proportions."""
    for seed in range(200):
        X, a, p = random_problem(seed)
        H, squares = np.einsum("n,njk->jk", a, outer(X)), outer(X) @ outer(X)
        scheme = ds.sampling.Proportions(p) if seed % 2 else ds.sampling.Uniform()
        drawn = p if seed % 2 else a
        expected = bisected(H, np.einsum("n,njk->jk", a**2 / drawn, squares))
        assert threshold(ds.SGD(0.1, scheme), gradients=X, weights=a) == pytest.approx([expected] * 2, rel=1e-10), seed


def test_the_bisection_would_notice_a_missing_square():
    X, a, _ = random_problem(7)
    H = np.einsum("n,njk->jk", a, outer(X))
    found = threshold(ds.SGD(0.1), gradients=X, weights=a)[0]
    second = np.einsum("n,njk->jk", a, outer(X) @ outer(X))
    for wrong in (bisected(H, second, power=1), bisected(H, np.einsum("n,njk->jk", a**2, outer(X) @ outer(X)))):
        assert abs(found / wrong - 1) > 1e-3


def test_in_one_dimension_rr_is_gradient_descent_and_sgd_is_not():
    x = np.array([[1.0], [2.0], [3.0]])  # H = 14/3, mean x⁴ = 98/3
    assert threshold(RR, gradients=x) == pytest.approx([3 / 7] * 2, rel=1e-14)
    assert threshold(ds.SGD(0.1, batch_size="full"), gradients=x) == pytest.approx([3 / 7] * 2, rel=1e-14)
    assert threshold(ds.SGD(0.1), gradients=x) == pytest.approx([2 * (14 / 3) / (98 / 3)] * 2, rel=1e-14)
    mixed = np.mean(x**4 / (0.5 * x**2 / (14 / 3) + 0.5))  # Σ a x⁴ (a/p), p/a = t x²/H + 1 − t
    assert threshold(ds.SGD(0.1, ds.sampling.Mixture(0.5)), gradients=x) == pytest.approx([2 * 14 / 3 / mixed] * 2)


@pytest.mark.parametrize("distinct", [False, True], ids=["with", "without"])
@pytest.mark.parametrize("rank_two", [False, True], ids=["rows", "matrices"])
def test_batches_are_those_of_the_enumeration(distinct, rank_two):
    """E A² over all batches of two of four terms."""
    H = of_rank_two(4, 3) if rank_two else outer(features(4, 3))
    draws = itertools.combinations(range(4), 2) if distinct else itertools.product(range(4), repeat=2)
    A = np.array([(H[i] + H[j]) / 2 for i, j in draws])
    mean = H.mean(axis=0)
    np.testing.assert_allclose(A.mean(axis=0), mean, rtol=1e-12)
    expected = bisected(mean, (A @ A).mean(axis=0))
    method = batches_of(2, ds.sampling.WithoutReplacement() if distinct else ds.sampling.Uniform())
    assert threshold(method, hessians=H) == pytest.approx([expected] * 2, rel=1e-10)


def longest_by_hand(X, a, batch=1):
    """2/max_s λ_max(v_s v_sᵀ/B + (1 − 1/B) H), v_s = H^(−½) Σ a_n s_n ‖x_n‖ x_n, one pattern after the other."""
    values, vectors = np.linalg.eigh(np.einsum("n,njk->jk", a, outer(X)))
    root = vectors / np.sqrt(values)
    found = 0.0
    for signs in itertools.product((-1, 1), repeat=len(X)):
        v = root.T @ ((np.array(signs) * a * np.linalg.norm(X, axis=1)) @ X)
        found = max(found, np.linalg.eigvalsh(np.outer(v, v) / batch + (1 - 1 / batch) * np.diag(values))[-1])
    return 2 / found


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("n", "d"), [(8, 2), (9, 3), (10, 5)])
@pytest.mark.parametrize("most", [20, 0], ids=["all signs", "otherwise"])
def test_rr_is_the_brute_force_over_signs(monkeypatch, n, d, batch, most):
    """Without the enumeration: by the sweep of the angle in two dimensions, by cones in more."""
    monkeypatch.setattr(module, "_MOST_SIGNS", most)
    X, a = features(n, d, n), np.random.default_rng(n).dirichlet(np.ones(n))
    expected = longest_by_hand(X, a, batch)
    assert threshold(batches_of(batch), gradients=X, weights=a) == pytest.approx([expected] * 2, rel=1e-11)


def test_the_sweep_is_right_for_rows_along_the_axes():
    """Where the angles of rows are 0 and π, and zero rows have none."""
    X = np.array([[-1.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    a = np.full(6, 1 / 6)
    v = Dynamics.of(ds.stability.terms(gradients=X), RR)
    swept = module._longest(module._signs_by_angle(a[:5, None] * ratios.Ratio(v).rows[:, 0]), ratios.Ratio(v))[0]
    assert 2 / swept / v.unit == pytest.approx(longest_by_hand(X, a), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(13, 8), (13, 7)])
def test_bounds_in_many_dimensions_hold_the_exact_value(monkeypatch, n, d):
    X, a = features(n, d, n), np.full(n, 1 / n)
    monkeypatch.setattr(module, "_MOST_SIGNS", 0)
    lower, upper = threshold(RR, gradients=X)
    assert lower * (1 - 1e-12) <= longest_by_hand(X, a) <= upper * (1 + 1e-12)
    assert lower < upper < np.pi / 2 * lower  # the guarantee of a semidefinite bound


def scanned(dynamics, n=20001):
    """The least 2 uᵀHu/E‖A u‖² over directions of a plane."""
    angle = np.linspace(0, np.pi, n)
    u = np.column_stack([np.cos(angle), np.sin(angle)]) / np.sqrt(dynamics.curvatures)
    return float((2 * (dynamics.curvatures * u * u).sum(axis=1) / dynamics.second_moment(u)).min())


@pytest.mark.parametrize(
    "method",
    [RR, batches_of(3), ds.SGD(0.1, ds.sampling.Mixture(0.3)), batches_of(4, ds.sampling.Mixture(0.8)), ds.SGD(0.1)],
    ids=["RR", "RR 3", "Mixture", "Mixture 4", "SGD"],
)
@pytest.mark.parametrize("given", ["gradients", "hessians"])
def test_bounds_hold_the_least_of_a_scan_of_all_directions(method, given):
    for seed in range(5):
        terms = features(30, 2, seed) if given == "gradients" else of_rank_two(30, 2, seed)
        dynamics = Dynamics.of(ds.stability.terms(**{given: terms}), method)
        found = one_step(dynamics)
        least = scanned(dynamics)
        assert found.lower * (1 - 1e-9) <= least
        assert least == pytest.approx(found.upper, rel=1e-6)
        if dynamics.draws.share == 1:
            assert found.lower == pytest.approx(found.upper, rel=1e-11)
        u = found.direction
        at = 2 * (dynamics.curvatures * u * u).sum() / dynamics.second_moment(u)
        assert at == pytest.approx(found.upper, rel=1e-10)


def test_mixtures_lie_between_sgd_and_rr():
    X = features(40, 4)
    X[:4] *= 10
    spans = [threshold(ds.SGD(0.1, ds.sampling.Mixture(t)), gradients=X) for t in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert spans[0] == pytest.approx(threshold(ds.SGD(0.1), gradients=X), rel=1e-12)
    assert spans[-1] == pytest.approx(threshold(RR, gradients=X), rel=1e-12)
    assert (np.diff([upper for _, upper in spans]) > 0).all()
    assert (np.diff([lower for lower, _ in spans]) > 0).all()


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_every_majorant_is_above_and_touches_where_it_was_made(share):
    """S(u) ≤ Σ q_n(c)‖H_n u‖² for any c > 0, equal for c = (‖H_n u‖)."""
    rng = np.random.default_rng(0)
    a = rng.dirichlet(np.ones(12))
    g, c = rng.exponential(size=(2, 12, 500)) + 1e-3
    total = a @ g
    S = (a[:, None] * g**2 * total / (share * g + (1 - share) * total)).sum(axis=0)
    above = (ratios.majorant(c, a, share) * g**2).sum(axis=0)
    assert (above >= S * (1 - 1e-12)).all()
    assert above.min() > 0
    np.testing.assert_allclose((ratios.majorant(g, a, share) * g**2).sum(axis=0), S, rtol=1e-12)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_no_quadratic_bound_is_better_than_the_one_that_is_found(share):
    """The concave problem has no gap: its value is that of the pencil, and other c do not improve it."""
    scheme = ds.sampling.Mixture(share)
    ratio = ratios.Ratio(Dynamics.of(ds.stability.terms(gradients=features(30, 4)), batches_of(3, scheme)))
    bound, L, c = ratios.relaxed(ratio)
    assert ratio.at(L[:, None])[0][0] == pytest.approx(bound, rel=1e-5)
    others = c[:, None] * np.exp(0.1 * np.random.default_rng(0).normal(size=(30, 50)))
    assert min(ratio.largest(q) for q in ratio.quadratic(others).T) > bound


@pytest.mark.parametrize(("n", "d"), [(60, 8), (400, 12), (50, 30)])
def test_rr_is_stable_up_to_two_over_the_mean_where_sgd_has_two_over_the_largest(n, d):
    X = features(n, d)
    X[: n // 10] *= 10
    sizes = (X**2).sum(axis=1)
    lower, upper = threshold(RR, gradients=X)
    assert 2 / sizes.mean() * (1 - 1e-12) <= lower <= upper
    plain = threshold(ds.SGD(0.1), gradients=X)[0]
    assert 2 / sizes.max() * (1 - 1e-12) <= plain < lower
    H = of_rank_two(n, 5)
    assert threshold(RR, hessians=H)[0] >= 2 / np.linalg.eigvalsh(H)[:, -1].mean() * (1 - 1e-12)


def test_orthogonal_rows_have_exact_bounds_by_hand():
    """C(u)² = (Σ a_j²|u_j| x_j…)²: RR has 2/mean‖x‖², SGD 2/max‖x‖²."""
    X = np.diag(np.arange(1.0, 31.0))
    sizes = np.arange(1.0, 31.0) ** 2
    assert threshold(RR, gradients=X) == pytest.approx([2 / sizes.mean()] * 2, rel=1e-12)
    assert threshold(ds.SGD(0.1), gradients=X) == pytest.approx([2 / sizes.max()] * 2, rel=1e-12)


@pytest.mark.parametrize(
    "method", [ds.SGD(0.1), RR, ds.SGD(0.1, ds.sampling.Mixture(0.4))], ids=["SGD", "RR", "Mixture"]
)
def test_units_of_the_features_do_not_matter(method):
    X = features(30, 3)
    found = [np.array(threshold(method, gradients=unit * X)) * unit * unit for unit in (1.0, 1e-100, 1e100)]
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-7)  # a descent ends the bounds of mixtures


@pytest.mark.parametrize("method", [ds.SGD(0.1), RR], ids=["SGD", "RR"])
def test_the_null_space_plays_no_part(method):
    X = features(7, 2)
    wide = np.column_stack([X, np.zeros(7)])
    found = one_step(Dynamics.of(ds.stability.terms(gradients=wide), method))
    assert found.details["null_space"] == 1
    assert threshold(method, gradients=wide) == pytest.approx(threshold(method, gradients=X), rel=1e-12)


def test_the_lemma_as_printed_is_vacuous_for_rr_and_not_for_sgd():
    near = {m.name: Dynamics.of(ds.stability.terms(gradients=features(6, 2)), m) for m in (ds.SGD(0.1), RR)}
    assert lemma(near["SGD"])[:2] == one_step(near["SGD"])[:2]
    assert lemma(near["RR"])[:2] == (0.0, 0.0)
    assert lemma(near["RR"]).details["vacuous"]
    x = near["RR"].features[0]
    towards = [lemma_at(near["RR"], np.array([-x[1], x[0]]) + gap * x) for gap in (1e-4, 1e-6, 1e-8)]
    assert np.array(towards[1:]) / towards[:-1] == pytest.approx(1e-2, rel=0.01)  # G̃_0 ~ 1/gap
    single = Dynamics.of(ds.stability.terms(gradients=[[1.0], [3.0]]), RR)
    assert lemma(single)[:2] == pytest.approx((2.0, 2.0), rel=1e-14)  # gradient descent's 2/H, H = 1 here


def test_the_printed_condition_at_a_displacement_is_the_eigenvalue_test():
    X = features(6, 3)
    dynamics = Dynamics.of(ds.stability.terms(gradients=X), RR)
    u = np.array([1.0, -0.4, 0.7])
    x = dynamics.features
    norms = np.linalg.norm(outer(x) @ u, axis=1)
    second = np.einsum("n,njk->jk", norms.mean() / norms / 6, outer(x) @ outer(x))
    assert lemma_at(dynamics, u) == pytest.approx(bisected(np.diag(dynamics.curvatures), second), rel=1e-10)
    assert lemma_at(dynamics, u) < one_step(dynamics).lower


def test_regular_terms_have_a_printed_condition_that_is_not_vacuous():
    A = np.random.default_rng(0).normal(size=(20, 2, 4))
    dynamics = Dynamics.of(ds.stability.terms(hessians=A @ A.transpose(0, 2, 1)), RR)
    found = lemma(dynamics)
    angle = np.linspace(0, np.pi, 721)
    least = min(lemma_at(dynamics, u) for u in np.column_stack([np.cos(angle), np.sin(angle)]))
    assert 0 < found.lower <= least * (1 + 1e-12)
    assert least <= found.upper * 1.001
    assert not found.details["vacuous"]
    singular = Dynamics.of(ds.stability.terms(hessians=of_rank_two(5, 3)), RR)
    assert lemma(singular).details["vacuous"]
