from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable

GN = ds.sampling.GradientNorm()
UNIFORM = ds.sampling.Uniform()


def with_gradients(*gradients):
    """A problem of equal weights whose terms have these gradients at 0, in dim 1."""
    return ds.problems.linear_model(np.ones((len(gradients), 1)), -np.array(gradients, dtype=float))


def enumerated(problem, p, theta, batches):
    """Mean, covariance and mean square of Ḡ over batches, given as (probability, indices)."""
    g = problem.weights[:, None] / p[:, None] * problem.term_gradients(theta)
    draws = [(q, g[list(indices)].mean(axis=0)) for q, indices in batches]
    mean = sum(q * x for q, x in draws)
    cov = sum(q * np.outer(x - mean, x - mean) for q, x in draws)
    return mean, cov, sum(q * (x @ x) for q, x in draws)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize(
    "scheme", [UNIFORM, GN, ds.sampling.Mixture(0.3), ds.sampling.Proportions([0.1, 0.2, 0.3, 0.4])]
)
def test_variance_is_that_of_all_batches_and_has_Ls_relation(scheme, batch_size, data):
    problem = ds.problems.linear_model(data[0][:4], data[1][:4], weights=[1.0, 2.0, 3.0, 4.0])
    theta = np.array([0.3, -0.2, 0.5])
    p = scheme.probabilities(problem, theta)
    batches = [(np.prod(p[list(indices)]), indices) for indices in product(range(4), repeat=batch_size)]
    mean, cov, square = enumerated(problem, p, theta, batches)
    found = ds.sampling.variance(problem, scheme, theta, batch_size=batch_size)
    np.testing.assert_allclose(found.covariance, cov, atol=1e-12 * square)
    np.testing.assert_allclose(
        [found.trace, found.mean_square], [np.trace(cov), square], rtol=1e-12, atol=1e-12 * square
    )
    single = ds.sampling.mean_square(problem, scheme, theta)
    assert square == pytest.approx(single / batch_size + (1 - 1 / batch_size) * (mean @ mean), rel=1e-12)


def test_variance_without_replacement_is_that_of_all_sets(data):
    problem = ds.problems.linear_model(data[0][:5], data[1][:5])
    theta, sets = np.array([0.3, -0.2, 0.5]), list(combinations(range(5), 3))
    _, cov, square = enumerated(problem, np.full(5, 0.2), theta, [(1 / len(sets), s) for s in sets])
    found = ds.sampling.variance(problem, ds.sampling.WithoutReplacement(), theta, batch_size=3)
    np.testing.assert_allclose(found.covariance, cov, atol=1e-12 * square)
    assert found.mean_square == pytest.approx(square, rel=1e-12)


def test_only_the_traces_of_AY_3_45_are_ordered(data, valleys):
    theta = np.random.default_rng(0).normal(size=(50, 3))
    definite = []
    for problem, points in ((ds.problems.linear_model(*data), theta), (valleys, theta[:, :1])):
        first, second = (ds.sampling.variance(problem, scheme, points) for scheme in (UNIFORM, GN))
        assert (second.trace <= first.trace + 1e-12 * first.mean_square).all()
        definite.append((np.linalg.eigvalsh(first.covariance - second.covariance)[:, 0] > -1e-9).all())
    assert definite == [False, True]  # in dim 1 trace and covariance are the same
    # gradients (3, 0) and (0, 1): the mean of g gᵀ(1 − C/‖g‖), C = 2, is diag(9 (1 − 2/3), 1 − 2)/2
    problem = ds.problems.linear_model([[3.0, 0.0], [0.0, 1.0]], [-1.0, -1.0])
    first, second = (ds.sampling.variance(problem, scheme, [0.0, 0.0]) for scheme in (UNIFORM, GN))
    np.testing.assert_allclose(first.covariance - second.covariance, np.diag([1.5, -0.5]), atol=1e-14)


def test_measures_work_on_all_leading_axes(data):
    problem = ds.problems.linear_model(*data)
    theta = np.random.default_rng(1).normal(size=(2, 4, 3))
    whole = ds.sampling.variance(problem, GN, theta, batch_size=2)
    assert (whole.covariance.shape, whole.trace.shape, whole.mean_square.shape) == ((2, 4, 3, 3), (2, 4), (2, 4))
    np.testing.assert_allclose(whole.trace[1, 2], ds.sampling.variance(problem, GN, theta[1, 2], batch_size=2).trace)
    p = np.random.default_rng(2).dirichlet(np.ones(12), size=4)
    test = ds.sampling.between(problem, p, theta)
    assert (test.terms.shape, test.between.shape, test.least.shape) == ((2, 4, 12), (2, 4), (2, 4))
    assert test.mean_square[1, 2] == pytest.approx(ds.sampling.mean_square(problem, p[2], theta[1, 2]), rel=1e-13)


def test_mean_square_is_Ls_H_over_N_squared():
    g, p = (1, 1, 4), (Fraction(1, 3), Fraction(1, 6), Fraction(1, 2))
    H = sum(x * x / q for x, q in zip(g, p, strict=True))
    assert H == 41
    assert 9 * ds.sampling.mean_square(with_gradients(*g), [float(q) for q in p], [0.0]) == pytest.approx(41, rel=1e-14)


def test_mean_square_of_terms_that_are_never_drawn():
    problem = with_gradients(0, 1, 4)
    p = GN.probabilities(problem, [0.0])
    assert p[0] == 0
    assert ds.sampling.mean_square(problem, p, [0.0]) == pytest.approx((5 / 3) ** 2, rel=1e-14)
    assert ds.sampling.mean_square(problem, [0.5, 0.5, 0.0], [0.0]) == np.inf
    assert ds.sampling.mean_square(with_gradients(0, 0), GN, [0.0]) == 0


def test_the_theorem_on_lying_between_holds_for_any_weights(data):
    rng = np.random.default_rng(3)
    problem = ds.problems.linear_model(*data, weights=rng.uniform(0.2, 3.0, 12))
    theta = rng.normal(size=(200, 3))
    best, u = GN.probabilities(problem, theta), problem.weights
    # by a share of its own for each term, rescaled on the side that gives too much so that the sum is 1
    move = (best - u) * rng.uniform(size=best.shape)
    up, down = np.maximum(move, 0).sum(-1, keepdims=True), np.maximum(-move, 0).sum(-1, keepdims=True)
    p = u + np.where(move > 0, move * np.minimum(1, down / up), move * np.minimum(1, up / down))
    test = ds.sampling.between(problem, p, theta)
    assert test.between.all()
    assert test.no_worse_than_uniform.all()
    assert (test.least <= test.mean_square * (1 + 1e-12)).all()
    assert (test.mean_square < 0.999 * test.uniform).all()


def test_the_ends_and_mixtures_lie_between_and_beyond_them_not(data):
    problem, theta = ds.problems.linear_model(*data), np.random.default_rng(4).normal(size=(30, 3))
    for t in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert ds.sampling.between(problem, ds.sampling.Mixture(t), theta).between.all()
    best = GN.probabilities(problem, theta)
    beyond = best + 0.01 * (best.min(axis=-1, keepdims=True) / best.max()) * (best - problem.weights)
    assert not ds.sampling.between(problem, beyond, theta).terms.any()


def test_lying_between_is_sufficient_and_not_necessary():
    problem = with_gradients(1, 1, 4)
    test = ds.sampling.between(problem, [0.15, 0.15, 0.7], [0.0])
    assert test.terms.tolist() == [False, False, False]
    assert test.no_worse_than_uniform


def test_the_last_inequality_of_Ls_proof_is_false_and_the_corrected_one_holds():
    g = [Fraction(x) for x in (1, 1, 4)]
    p, u = [Fraction(1, 3), Fraction(1, 6), Fraction(1, 2)], [Fraction(1, 3)] * 3
    q = [x / sum(g) for x in g]

    def H(p):
        return sum(x * x / y for x, y in zip(g, p, strict=True))

    # p_i = t_i u_i + (1 − t_i) q_i; M = max_j (1 − t_j) q_j/p_j, with 1 − t_j = (p_j − u_j)/(q_j − u_j)
    M = max((pj - uj) / (qj - uj) * qj / pj for pj, uj, qj in zip(p, u, q, strict=True))
    assert (H(q), H(p), H(u), M) == (36, 41, 54, 1)
    assert H(p) - H(u) > (H(q) - H(u)) * M  # L has ≤
    parts = [qj**2 * (uj - pj) / (pj * uj) for pj, uj, qj in zip(p, u, q, strict=True)]
    assert sum(parts) * sum(g) ** 2 == H(p) - H(u)
    assert all(part <= uj - pj for part, pj, uj in zip(parts, p, u, strict=True))
    test = ds.sampling.between(with_gradients(1, 1, 4), [1 / 3, 1 / 6, 1 / 2], [0.0])
    assert test.between
    np.testing.assert_allclose([9 * test.least, 9 * test.mean_square, 9 * test.uniform], [36, 41, 54], rtol=1e-14)


def test_measures_refuse_what_they_cannot_use(valleys):
    with pytest.raises(ArgumentError, match="problem must be a problem"):
        ds.sampling.variance(3.0, GN, [0.0])
    with pytest.raises(ArgumentError, match="scheme must be a scheme"):
        ds.sampling.variance(valleys, [0.5, 0.5], [0.0])
    with pytest.raises(ArgumentError, match="batch_size must be a whole number"):
        ds.sampling.variance(valleys, GN, [0.0], batch_size=0)
    with pytest.raises(NotApplicable, match="no covariance in closed form"):
        ds.sampling.variance(valleys, ds.sampling.Presample(4), [0.0], batch_size=2)
    for p, message in (
        ([0.5, 0.4], r"p must sum to 1 over the terms, it misses that by 0\.1"),
        ([0.5, 0.25, 0.25], r"shape \(2,\) or \(2,\), got shape \(3,\)"),
        ([1.5, -0.5], "nonnegative"),
        (0.5, "one for each term"),
        ("gn", "got str"),
    ):
        for measure in (ds.sampling.mean_square, ds.sampling.between):
            with pytest.raises(ArgumentError, match=message):
                measure(valleys, p, [0.1])
    with pytest.raises(NotApplicable, match="Stale is not determined by its probabilities"):
        ds.sampling.between(valleys, ds.sampling.Stale(10), [0.1])


# L's Algorithm 1


def kl(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


def tv(p, q):
    return sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2


def on_items(values, items):
    values = np.array([values[n] for n in items])
    return values / values.sum()


def test_quality_on_all_items_is_the_distance_of_the_whole_distributions(data):
    problem = ds.problems.linear_model(*data, weights=np.arange(1.0, 13.0))
    theta, scheme = np.random.default_rng(5).normal(size=(2, 7, 3)), ds.sampling.Mixture(0.25)
    quality = ds.sampling_quality(problem, scheme, theta, n_items=12, rng=0)
    for name, distance in (("kl", kl), ("tv", tv)):
        found = quality.distances[name]
        assert found.scheme.shape == found.uniform.shape == (2, 7)
        for i, k in product(range(2), range(7)):
            best, p = (s.probabilities(problem, theta[i, k]) for s in (GN, scheme))
            assert found.scheme[i, k] == pytest.approx(distance(p, best), rel=1e-9)
            assert found.uniform[i, k] == pytest.approx(distance(problem.weights, best), rel=1e-9)
        assert found.nearer == 1


@pytest.mark.parametrize(("name", "distance"), [("kl", kl), ("tv", tv)])
def test_quality_draws_the_items_without_replacement(name, distance):
    problem = with_gradients(1, 2, 4, 7, 11)
    f = np.array([0.3, 0.1, 0.2, 0.15, 0.25])
    g = np.array([1.0, 2.0, 4.0, 7.0, 11.0])
    sets = [distance(on_items(f, s), on_items(g, s)) for s in combinations(range(5), 2)]
    repeated = [distance(on_items(f, s), on_items(g, s)) for s in product(range(5), repeat=2)]
    scheme = ds.sampling.Proportions(f)
    found = ds.sampling_quality(problem, scheme, np.zeros((4000, 1)), n_items=2, rng=1, distance=name).distances[name]
    assert found.scheme_stderr == pytest.approx(np.std(sets) / np.sqrt(4000), rel=0.05)
    assert abs(found.scheme_mean - np.mean(sets)) < 5 * found.scheme_stderr
    assert abs(found.scheme_mean - np.mean(repeated)) > 5 * found.scheme_stderr
    assert set(found.scheme.round(10)) == set(np.array(sets).round(10))


def test_quality_of_the_two_ends(data):
    problem, theta = ds.problems.linear_model(*data), np.random.default_rng(6).normal(size=(20, 3))
    best = ds.sampling_quality(problem, GN, theta, n_items=5, rng=0).distances["kl"]
    assert best.scheme.max() < 1e-15
    assert (best.uniform.min() > 1e-3, best.nearer, best.nearer_stderr) == (True, 1.0, 0.0)
    plain = ds.sampling_quality(problem, UNIFORM, theta, n_items=5, rng=0).distances["kl"]
    np.testing.assert_array_equal(plain.scheme, plain.uniform)
    assert plain.nearer == 0


def test_quality_is_a_function_of_the_seed_and_not_of_the_chunks(data, monkeypatch):
    problem, theta = ds.problems.linear_model(*data), np.random.default_rng(7).normal(size=(40, 3))
    first = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), theta, n_items=4)
    monkeypatch.setattr("dynsim.sampling.quality._AT_ONCE", 200)
    again = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), theta, n_items=4, rng=first.settings["seed"])
    other = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), theta, n_items=4, rng=8)
    for name in ("kl", "tv"):
        np.testing.assert_array_equal(first.distances[name].scheme, again.distances[name].scheme)
        assert not np.array_equal(first.distances[name].scheme, other.distances[name].scheme)


def test_quality_of_a_run_compares_paths_and_leaves_out_what_diverged():
    problem = ds.problems.linear_model([[1.0], [2.0], [3.0]], [1.0, 1.0, -2.0])
    run = ds.iterate(problem, ds.SGD(0.05), x0=3.0, n_steps=20, n_paths=6, rng=0)
    found = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), run, n_items=2, rng=0).distances["tv"]
    means = found.scheme.mean(axis=1)
    assert found.scheme_mean == pytest.approx(means.mean(), rel=1e-14)
    assert found.scheme_stderr == pytest.approx(means.std(ddof=1) / np.sqrt(6), rel=1e-14)
    one = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), run.x[0], n_items=2, rng=0).distances["tv"]
    assert one.scheme_stderr == pytest.approx(one.scheme.std(ddof=1) / np.sqrt(21), rel=1e-14)
    wild = ds.iterate(problem, ds.SGD(5.0), x0=3.0, n_steps=200, n_paths=4, rng=0)
    assert wild.n_diverged == 4
    left = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), wild, n_items=2, rng=0).distances["tv"]
    np.testing.assert_array_equal(np.isnan(left.scheme), wild.t >= wild.diverged[:, None])
    assert np.isfinite([left.scheme_mean, left.scheme_stderr, left.nearer]).all()


def test_quality_where_gradients_vanish_has_floored_probabilities():
    problem, theta = with_gradients(0, 1), np.zeros((1, 1))
    found = ds.sampling_quality(problem, GN, theta, n_items=2, rng=0).distances["kl"]
    best = np.array([1e-12, 1.0]) / (1 + 1e-12)
    assert found.scheme[0] == 0
    assert found.uniform[0] == pytest.approx(kl([0.5, 0.5], best), rel=1e-12)
    nothing = ds.sampling_quality(with_gradients(0, 0), GN, theta, n_items=2, rng=0).distances["kl"]
    assert (nothing.scheme[0], nothing.uniform[0]) == (0, 0)


@pytest.mark.parametrize(
    ("g", "p", "nearer", "better"),
    [((9, 1), (0.999, 0.001), True, False), ((9, 1, 1e-6), (0.5, 0.1, 0.4), False, True)],
)
def test_nearer_to_the_best_in_KL_is_not_better(g, p, nearer, better):
    problem = with_gradients(*g)
    scheme = ds.sampling.Proportions(p)
    found = ds.sampling_quality(problem, scheme, [[0.0]], n_items=len(g), rng=0).distances["kl"]
    H = {s: ds.sampling.mean_square(problem, s, [0.0]) for s in (scheme, UNIFORM)}
    assert (bool(found.nearer), bool(H[scheme] < H[UNIFORM])) == (nearer, better)
    if nearer:  # Σ g²/p against Σ g²/u, by hand
        assert H[scheme] / H[UNIFORM] == pytest.approx((81 / 0.999 + 1 / 0.001) / 164, rel=1e-9)


def test_quality_draws_two_histograms(data):
    from matplotlib.figure import Figure

    problem, theta = ds.problems.linear_model(*data), np.random.default_rng(9).normal(size=(60, 3))
    quality = ds.sampling_quality(problem, ds.sampling.Mixture(0.5), theta, n_items=5, rng=0)
    for distance, label in ((None, "KL"), ("tv", "TV")):
        ax = quality.plot(Figure().subplots(), distance=distance)
        assert ax.get_xlabel().startswith(label)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Mixture(t=0.5)", "uniform"]
        assert sum(patch.get_height() for patch in ax.patches) == 120
    with pytest.raises(ArgumentError, match="distance is not known"):
        quality.plot(distance="w1")


def test_quality_refuses_what_it_cannot_use(data):
    problem = ds.problems.linear_model(*data)
    theta = np.zeros((4, 3))
    for changed, message in (
        ({"n_items": 13}, "n_items must be at most the number of terms, 12, got 13"),
        ({"n_items": 1}, "n_items must be a whole number, at least 2"),
        ({"distance": "hellinger"}, "distance is not known"),
        ({"distance": ()}, "distance must be 'kl' or 'tv', or a sequence"),
        ({"distance": 3}, "distance must be .* got 3"),
        ({"rng": -1}, "rng must be"),
    ):
        with pytest.raises(ArgumentError, match=message):
            ds.sampling_quality(problem, GN, theta, **{"n_items": 3, **changed})
    for points, message in (
        (np.zeros(3), "theta must be Trajectories or have shape"),
        (np.zeros((4, 2)), r"theta must have shape \(\.\.\., 3\)"),
        (np.full((2, 3), np.nan), "at least one finite point"),
    ):
        with pytest.raises(ArgumentError, match=message):
            ds.sampling_quality(problem, GN, points, n_items=3)
    with pytest.raises(ArgumentError, match="scheme must be a scheme"):
        ds.sampling_quality(problem, "gn", theta, n_items=3)
    with pytest.raises(NotApplicable, match="no probabilities"):
        ds.sampling_quality(problem, ds.sampling.Presample(4), theta, n_items=3)
