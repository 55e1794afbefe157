"""The compiled estimators of the gradient against enumerations and plain Python."""

import itertools

import numpy as np
import pytest
from scipy import stats

import dynsim as ds
from dynsim import sampling
from dynsim._random import seed_and_key

THETA = np.array([0.3, -0.2, 1.0])
N_PATHS = 40_000


def model(n=7, **options):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 3))
    problem = ds.problems.linear_model(X, rng.normal(size=n), "welsch", weights=rng.random(n) + 0.3, **options)
    problem.groups = np.arange(n) * 3 // n
    return problem


BOUNDS = np.linalg.norm(model().X, axis=1) * np.exp(-0.5)
SCHEMES = {
    "uniform": sampling.Uniform(),
    "by norm": sampling.GradientNorm(),
    "mixture": sampling.Mixture(0.5),
    "proportions": sampling.Proportions(np.arange(1, 8) / 28),
    "balanced": sampling.Balanced(at=[[0.0, 0.0, 0.0], [1.0, -0.5, 2.0]]),
    "lipschitz": sampling.Lipschitz(np.arange(1.0, 8.0)),
    "groups": sampling.GroupNorm(),
    "rejection": sampling.Rejection(BOUNDS),
    "rejection, three proposals": sampling.Rejection(2 * BOUNDS, n_proposals=3),
    "rejection, exact weight": sampling.Rejection(BOUNDS, weight="exact"),
    "stale": sampling.Stale(5),
    "custom": sampling.Custom(lambda theta, n: 1.0 + n * theta[0] ** 2),
    "custom with a floor": sampling.Custom(lambda theta, n: 1.0 if n > 3 else 0.0, floor=0.2),
    "without replacement": sampling.WithoutReplacement(),
    "reshuffled": sampling.Reshuffled(),
    "presample": sampling.Presample(6, threshold=0),
}


def estimates(problem, scheme, batch_size, n_paths=N_PATHS, rng=1):
    """(n_paths, dim) estimates of the gradient at THETA, from one step of length 1."""
    method = ds.SGD(1.0, scheme, batch_size=batch_size)
    run = ds.iterate(problem, method, THETA, n_steps=1, n_paths=n_paths, rng=rng)
    return THETA - run.x[:, -1]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", SCHEMES)
def test_the_estimate_has_the_gradient_as_its_mean_and_the_stated_covariance(name, batch_size):
    problem, scheme = model(), SCHEMES[name]
    g = estimates(problem, scheme, batch_size)
    error = g - problem.gradient(THETA)
    assert (np.abs(error.mean(axis=0)) < 5 * error.std(axis=0) / np.sqrt(N_PATHS)).all()
    if name == "presample":
        with pytest.raises(ds.errors.NotApplicable, match="no covariance in closed form"):
            scheme.covariance(problem, THETA)
        return
    products = error[:, :, None] * error[:, None, :]
    bound = 5 * products.std(axis=0) / np.sqrt(N_PATHS)
    expected = problem.gradient_covariance(THETA, scheme, batch_size)
    assert (np.abs(products.mean(axis=0) - expected) < bound).all()
    wrong = problem.gradient_covariance(THETA, sampling.Proportions([0.4, *[0.1] * 6]), batch_size)  # negative control
    assert (np.abs(products.mean(axis=0) - wrong) > bound).any()


INDEPENDENT = [name for name, scheme in SCHEMES.items() if scheme.independent]


@pytest.mark.parametrize("n", [7, 40])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_single_draws_have_their_probabilities(name, n):
    problem = model(n)
    scheme = SCHEMES[name]
    if name == "proportions":
        scheme = sampling.Proportions(np.arange(1, n + 1) / (n * (n + 1) / 2))
    elif name == "lipschitz":
        scheme = sampling.Lipschitz(np.arange(1.0, n + 1))
    elif name == "rejection, exact weight":
        scheme = sampling.Rejection(np.linalg.norm(problem.X, axis=1) * np.exp(-0.5), weight="exact")
    p = scheme.probabilities(problem, THETA)
    assert abs(p.sum() - 1) < 1e-14
    outcomes = scheme.reweighting(problem, THETA)[:, None] * problem.term_gradients(THETA)
    g = estimates(problem, scheme, 1)
    distance = np.linalg.norm(g[:, None] - outcomes, axis=-1)
    assert distance.min(axis=1).max() < 1e-13
    counts = np.bincount(distance.argmin(axis=1), minlength=n)
    assert stats.chisquare(counts, p * N_PATHS).pvalue > 1e-5
    wrong = p * np.linspace(0.8, 1.2, n)  # negative control
    assert stats.chisquare(counts, wrong / wrong.sum() * N_PATHS).pvalue < 1e-5


def law_of(outcomes, g):
    """How often each of the outcomes (m, dim) is among the estimates g."""
    distance = np.linalg.norm(g[:, None] - outcomes, axis=-1)
    assert distance.min(axis=1).max() < 1e-13
    return np.bincount(distance.argmin(axis=1), minlength=len(outcomes))


def test_all_batches_without_replacement_are_alike():
    problem = model()
    v = problem.n_terms * problem.weights[:, None] * problem.term_gradients(THETA)
    batches = list(itertools.combinations(range(7), 3))
    counts = law_of(np.array([v[list(batch)].mean(axis=0) for batch in batches]), estimates(
        problem, sampling.WithoutReplacement(), 3))  # fmt: skip
    assert stats.chisquare(counts).pvalue > 1e-5
    with_replacement = estimates(problem, sampling.Proportions(np.full(7, 1 / 7)), 3)
    distance = np.linalg.norm(with_replacement[:, None] - [v[list(b)].mean(axis=0) for b in batches], axis=-1)
    assert distance.min(axis=1).max() > 1e-3  # negative control: there are other batches


def terms_visited(problem, scheme, batch_size, n_steps, n_paths):
    """The term of each step, (n_paths, n_steps), read off an SGD run on a problem with constant gradients e_n."""
    method = ds.SGD(1.0, scheme, batch_size=batch_size)
    run = ds.iterate(problem, method, 0.0, n_steps=n_steps, n_paths=n_paths, rng=4)
    return -np.diff(run.x, axis=1) / problem.n_terms


def axes(n):
    """l_m(θ) = n θ_m: a step says which terms were drawn."""

    def loss(theta, m, params):
        return params[m] * theta[m]

    def gradient(theta, m, params, out):
        for j in range(len(theta)):
            out[j] = params[m] if j == m else 0.0

    return ds.Problem.from_terms(loss, gradient, n_terms=n, dim=n, params=np.full(n, float(n)), check=False)


def test_reshuffling_takes_each_term_once_an_epoch_in_all_orders_alike():
    steps = terms_visited(axes(4), sampling.Reshuffled(), 1, n_steps=8, n_paths=12_000)
    order = steps.argmax(axis=-1)
    assert (np.sort(order[:, :4]) == np.arange(4)).all()
    assert (np.sort(order[:, 4:]) == np.arange(4)).all()
    number = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    first = np.array([number[tuple(o)] for o in order[:, :4]])
    second = np.array([number[tuple(o)] for o in order[:, 4:]])
    joint = np.bincount(24 * first + second, minlength=576)
    assert stats.chisquare(joint).pvalue > 1e-5  # uniform, and epochs independent
    again = np.bincount(24 * first + first, minlength=576)  # negative control: the same order in each epoch
    assert stats.chisquare(again).pvalue < 1e-5


def test_the_last_batch_of_an_epoch_is_short():
    steps = terms_visited(axes(5), sampling.Reshuffled(), 2, n_steps=6, n_paths=50)
    share = np.round(steps, 12)
    assert (np.sort(np.unique(share[:, [0, 1, 3, 4]])) == [0, 0.5]).all()
    assert (np.sort(np.unique(share[:, [2, 5]])) == [0, 1]).all()
    epoch = (share[:, :3] > 0).sum(axis=1)
    assert (epoch == 1).all()


def test_groups_are_drawn_as_enumerated():
    """All choices of one term in each group, and of a group by norm."""
    problem, scheme = model(), sampling.GroupNorm()
    g, norm, groups = (
        problem.term_gradients(THETA),
        np.linalg.norm(problem.term_gradients(THETA), axis=1),
        problem.groups,
    )
    A = np.bincount(groups, weights=problem.weights)
    outcomes, p = [], []
    for chosen in itertools.product(*(np.flatnonzero(groups == j) for j in range(3))):
        share = A * norm[list(chosen)]
        for j, n in enumerate(chosen):
            outcomes.append(share.sum() / norm[n] * g[n])
            p.append(np.prod(problem.weights[list(chosen)] / A) * share[j] / share.sum())
    assert np.abs(np.array(p) @ outcomes - problem.gradient(THETA)).max() < 1e-15
    second = np.einsum("m,mj,mk->jk", p, outcomes, outcomes)
    np.testing.assert_allclose(scheme.second_moment(problem, THETA), second, rtol=1e-13)
    counts = law_of(np.array(outcomes), estimates(problem, scheme, 1))
    assert stats.chisquare(counts, np.array(p) * N_PATHS).pvalue > 1e-5
    assert stats.chisquare(counts).pvalue < 1e-5  # negative control: all alike


def test_an_estimated_weight_has_the_second_moment_of_its_enumeration():
    """Ĉ from one proposal m, independent of the term n that is taken."""
    problem, scheme = model(), SCHEMES["rejection"]
    g = problem.term_gradients(THETA)
    norm = np.linalg.norm(g, axis=1)
    q = problem.weights * BOUNDS / (problem.weights @ BOUNDS)
    p = problem.weights * norm / (problem.weights @ norm)
    second = sum(
        p[n] * q[m] * (problem.weights @ BOUNDS * norm[m] / BOUNDS[m] / norm[n]) ** 2 * np.outer(g[n], g[n])
        for n in range(7)
        for m in range(7)
    )
    np.testing.assert_allclose(scheme.second_moment(problem, THETA), second, rtol=1e-12)


def law_of_three_stale_steps(problem, floor, *, remember):
    """Outcomes and probabilities of three steps, enumerated; all norms are looked at anew unless it remembers."""
    w, g = problem.weights, problem.term_gradients

    def mixed(seen):
        return (1 - floor) * seen / seen.sum() + floor * w

    def after(theta, seen, n):
        """Where the draw of term n leads, and the norms that are known then."""
        norms = w * np.linalg.norm(g(theta), axis=1)
        moved = theta - 0.5 * w[n] / mixed(seen)[n] * g(theta)[n]
        known = np.where(np.arange(w.size) == n, norms, seen)
        return moved, known if remember else w * np.linalg.norm(g(moved), axis=1)

    outcomes, p = [], []
    start = w * np.linalg.norm(g(THETA), axis=1)
    for draws in itertools.product(range(w.size), repeat=3):
        theta, seen, probability = THETA, start, 1.0
        for n in draws:
            probability *= mixed(seen)[n]
            theta, seen = after(theta, seen, n)
        outcomes.append(theta)
        p.append(probability)
    return np.array(outcomes), np.array(p)


def test_stale_norms_are_those_seen_when_last_drawn():
    problem, scheme = model(3), sampling.Stale(10, floor=0.1)
    run = ds.iterate(problem, ds.SGD(0.5, scheme), THETA, n_steps=3, n_paths=N_PATHS, rng=2)
    outcomes, p = law_of_three_stale_steps(problem, 0.1, remember=True)
    assert stats.chisquare(law_of(outcomes, run.x[:, -1]), p * N_PATHS).pvalue > 1e-5
    forgetful, _ = law_of_three_stale_steps(problem, 0.1, remember=False)  # negative control: it leads elsewhere
    assert np.linalg.norm(run.x[:, -1, None] - forgetful, axis=-1).min(axis=1).max() > 1e-4


def presampled_in_python(problem, pool, batch, threshold, smoothing, step_size, x0, n_steps, rng):
    """Katharopoulos & Fleuret's Algorithm 1 for path 0, driven by the same uniforms."""
    from dynsim._kernels.increments import fill_step_uniforms

    _, key = seed_and_key(rng)
    cumulative = np.cumsum(problem.weights)
    theta, tau, path = np.array(x0), 0.0, [np.array(x0)]
    for k in range(n_steps):
        u = np.empty((pool + batch, 2, 1))
        for c in range(pool + batch):
            fill_step_uniforms(key, k // 2, c, u[c])
        u = u[:, k % 2, 0]
        members = np.minimum(np.searchsorted(cumulative, u[:pool], side="right"), problem.n_terms - 1)
        g = problem.term_gradients(theta)[members]
        norm = np.linalg.norm(g, axis=1)
        if tau > threshold:
            p = norm / norm.sum()
            chosen = np.searchsorted(np.cumsum(p), u[pool:], side="right")
            step = np.mean([g[m] / (pool * p[m]) for m in chosen], axis=0)
        else:
            p = norm[:batch] / norm[:batch].sum()
            step = g[:batch].mean(axis=0)
        u_norm = 1 / p.size
        gain = 1 / np.sqrt(1 - ((p - u_norm) ** 2).sum() / (p**2).sum())  # their (26)
        tau = smoothing * tau + (1 - smoothing) * gain
        theta = theta - step_size * step
        path.append(theta)
    return np.array(path), tau


@pytest.mark.parametrize("threshold", [1.05, None])
def test_presampling_is_algorithm_1(threshold):
    problem = model(40)
    scheme = sampling.Presample(12, threshold=threshold, smoothing=0.5)
    run = ds.iterate(problem, ds.SGD(0.5, scheme, batch_size=3), THETA, n_steps=40, n_paths=5, rng=8)
    limit = (12 + 9) / 9 if threshold is None else threshold
    path, tau = presampled_in_python(problem, 12, 3, limit, 0.5, 0.5, THETA, 40, 8)
    np.testing.assert_allclose(run.x[0], path, rtol=0, atol=1e-12)
    assert (tau > limit) == (threshold is not None)  # it has turned itself on, and not where it does not pay


def test_a_gradient_above_its_bound_ends_the_run_with_an_error():
    problem = model()
    with pytest.raises(ds.errors.NotApplicable, match="a gradient was larger than its bound in"):
        ds.iterate(problem, ds.SGD(0.1, sampling.Rejection(0.01 * BOUNDS)), THETA, n_steps=5, rng=0)


def test_a_broken_bound_is_not_forgotten_by_a_checkpoint(tmp_path):
    method = ds.SGD(0.1, sampling.Rejection(0.01 * BOUNDS))
    for _ in range(2):
        with pytest.raises(ds.errors.NotApplicable, match="larger than its bound"):
            ds.iterate(
                model(), method, THETA, n_steps=50, rng=0, checkpoint=tmp_path / "c.npz", checkpoint_seconds=1e-6
            )


@pytest.mark.parametrize("weight", ["exact", "estimated"])
def test_rejection_makes_no_step_where_there_is_no_gradient_and_finds_rare_ones(weight):
    fitted = ds.problems.linear_model([[1.0], [2.0]], [1.0, 2.0], "welsch")
    method = ds.SGD(0.1, sampling.Rejection([1.0, 2.0], weight=weight))
    assert (ds.iterate(fitted, method, 1.0, n_steps=3, rng=0).x == 1).all()
    g, norm = model().term_gradients(THETA), np.linalg.norm(model().term_gradients(THETA), axis=1)
    loose = sampling.Rejection(1e6, weight=weight, n_proposals=5)  # nothing is taken in a thousand proposals
    step = estimates(model(), loose, 1, n_paths=2000)
    direction = step / np.linalg.norm(step, axis=1, keepdims=True)
    counts = law_of(g / norm[:, None], direction)
    p = sampling.GradientNorm().probabilities(model(), THETA)
    assert stats.chisquare(counts, p * 2000).pvalue > 1e-5
    assert stats.chisquare(counts, model().weights * 2000).pvalue < 1e-5  # negative control


def test_a_large_batch_of_rejections_does_not_repeat_its_draws():
    problem, scheme = model(), SCHEMES["rejection"]
    g = estimates(problem, scheme, 900, n_paths=4000)
    square = ((g - problem.gradient(THETA)) ** 2).sum(axis=1)
    stated = [np.trace(problem.gradient_covariance(THETA, scheme, batch_size)) for batch_size in (900, 512)]
    assert abs(square.mean() - stated[0]) < 5 * square.std() / np.sqrt(4000)
    assert abs(square.mean() - stated[1]) > 5 * square.std() / np.sqrt(4000)  # negative control
    with pytest.raises(ds.errors.ArgumentError, match="batch_size must be at most 1023 with Rejection, got 2000"):
        ds.iterate(problem, ds.SGD(0.1, scheme, batch_size=2000), THETA, n_steps=1)


@pytest.mark.parametrize(
    "function",
    [lambda t, n: max(0.0, t[0] - 0.2), lambda t, n: np.sqrt(t[0] - 0.2), lambda t, n: t[0] - 0.2],
    ids=["nothing to draw", "NaN", "negative"],
)
def test_probabilities_that_go_wrong_in_the_run_end_it_with_an_error(function):
    problem = ds.problems.linear_model([[1.0], [1.0]], [-1.0, -3.0])
    with pytest.raises(ds.errors.NotApplicable, match="function was negative, not a number, or 0 for all terms in"):
        ds.iterate(problem, ds.SGD(0.1, sampling.Custom(function)), 1.0, n_steps=50, rng=0)
    run = ds.iterate(problem, ds.SGD(0.1, sampling.Custom(function, floor=0.5)), 1.0, n_steps=50, n_paths=50, rng=0)
    error = run.x[:, -1, 0] - (-2 + 3 * 0.9**50)  # with a floor unbiased whatever happens: E θ_k = −2 + 3 · 0.9^k
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(50)


def test_a_term_that_is_never_drawn_though_it_has_a_gradient_is_refused_everywhere():
    scheme = sampling.Custom(lambda theta, n: 1.0 if n == 0 else 0.0)
    problem = ds.problems.linear_model([[1.0], [1.0]], [-1.0, -3.0])
    method = ds.SGD(0.1, scheme)
    for ask in (
        lambda: sampling.variance(problem, scheme, [0.0]),
        lambda: ds.convergence_speed(problem, method, [0.0], target=-2.0),
        lambda: ds.markov_chain(ds.problems.two_valleys(), method, x0=0.25),
        lambda: ds.sde_limit(ds.problems.two_valleys(), method),
        lambda: ds.iterate(problem, method, 0.0, n_steps=1),
    ):
        with pytest.raises(
            ds.errors.ArgumentError, match=r"function is 0 for term 1 at θ = .*, where it has a gradient"
        ):
            ask()


def test_a_function_of_one_s_own_is_looked_at_anew_for_each_problem():
    scheme = sampling.Custom(lambda theta, n: abs(theta[1]) + 1.0)
    assert scheme.probabilities(model(), THETA).sum() == pytest.approx(1)
    with pytest.raises(ds.errors.ArgumentError, match=r"function fails at θ = .*: IndexError"):
        scheme.probabilities(ds.problems.two_valleys(), [0.1])
    shifted = sampling.Custom(lambda theta, n: theta[0] - 1.0 + n)  # right where the run is, not at 0.5
    assert ds.iterate(ds.problems.two_valleys(), ds.SGD(0.01, shifted), 3.0, n_steps=3, rng=0).complete


def test_questions_about_single_independent_steps_refuse_schemes_with_a_memory():
    valleys = ds.problems.two_valleys()
    for scheme in (sampling.Reshuffled(), sampling.Stale(3), sampling.Presample(3, threshold=0)):
        for ask in (ds.sde_limit, lambda p, m: ds.markov_chain(p, m, x0=0.2)):
            with pytest.raises(ds.errors.NotApplicable, match="needs steps that do not depend on the draws before"):
                ask(valleys, ds.SGD(0.04, scheme))


def test_schemes_that_draw_alike_have_the_same_limit_and_range():
    problem = ds.problems.linear_model(model().X, model().y)
    rows = ds.stability.terms(gradients=problem.X)
    pairs = [
        (ds.SGD(0.1), ds.SGD(0.1, sampling.WithoutReplacement())),
        (ds.RR(0.1), ds.SGD(0.1, sampling.Rejection(1e3, weight="exact"))),
        (ds.RR(0.1), ds.SGD(0.1, sampling.Mixture(1.0))),
        (ds.SGD(0.1), ds.SGD(0.1, sampling.Mixture(0.0))),
    ]
    for pair in pairs:
        np.testing.assert_allclose(*[ds.sde_limit(problem, m).covariance(0.0, THETA) for m in pair], rtol=1e-12)
        one, other = [ds.step_size_range(rows, m).max for m in pair]
        assert one == pytest.approx(other, rel=1e-12)


def test_balanced_proportions_generalize_those_of_two_valleys():
    """AY §2.1's, at small ε; and the largest trace cannot be lowered by other proportions."""
    valleys = ds.problems.two_valleys(0.4, 1e-4, 5.0)
    f = sampling.Balanced(at=[[0.2], [-1.0]]).proportions(valleys)
    np.testing.assert_allclose(f, sampling.Balanced().proportions(valleys), rtol=1e-3)
    problem, at = model(), np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 2.0], [3.0, 1.0, 0.0]])
    best = sampling.Balanced(at=at)

    def largest(f):
        covariance = problem.gradient_covariance(at, sampling.Proportions(f))
        return np.trace(covariance, axis1=1, axis2=2).max()

    f = best.proportions(problem)
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = f * np.exp(0.05 * rng.normal(size=7))
        assert largest(other / other.sum()) > largest(f) * (1 - 1e-6)
    assert largest(problem.weights) > 1.01 * largest(f)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampling.Mixture(1.5), "t must lie between 0 and 1, got 1.5"),
        (lambda: sampling.Stale(0), "refresh must be a whole number, at least 1"),
        (lambda: sampling.Stale(3, floor=0), "floor must be above 0"),
        (lambda: sampling.Lipschitz([1.0, -1.0]), "constants must be positive, got -1"),
        (lambda: sampling.GroupNorm([0, 2]), "groups must number the groups 0, 1, … without gaps"),
        (lambda: sampling.Rejection(0.0), "bounds must be positive, got 0"),
        (lambda: sampling.Rejection(1.0, weight="exakt"), "weight is not known: got 'exakt'; did you mean 'exact'"),
        (lambda: sampling.Presample(4, smoothing=1.0), r"smoothing must lie in \[0, 1\), got 1"),
        (lambda: sampling.Custom(3), r"function must be a function of \(theta, n\), got int"),
    ],
)
def test_schemes_refuse_bad_arguments(make, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("scheme", "batch_size", "message"),
    [
        (
            sampling.WithoutReplacement(),
            8,
            "batch_size must be at most the number of terms, 7, without replacement, got 8",
        ),
        (sampling.Reshuffled(), 8, "batch_size must be at most the number of terms, 7"),
        (sampling.Presample(2, threshold=0), 3, "pool must be at least the batch size, 3, got 2"),
        (sampling.Presample(4), 1, "never turns itself on"),
        (sampling.Lipschitz([1.0, 2.0]), 1, "constants has 2 numbers, but .* has 7 terms"),
        (sampling.GroupNorm([0, 1]), 1, "groups has 2 numbers, but .* has 7 terms"),
        (sampling.Custom(lambda theta: 1.0), 1, r"function must take \(theta, n\)"),
        (sampling.Custom(lambda theta, n: theta[9]), 1, "function fails at θ = .*: IndexError"),
        (sampling.Custom(lambda theta, n: float(n)), 1, "function is 0 for term 0 at θ = .*, where it has a gradient"),
        (sampling.Custom(lambda theta, n: n - 0.5), 1, "function must be nonnegative, it is -0.5 at θ"),
    ],
)
def test_schemes_that_do_not_fit_are_refused_before_the_run(scheme, batch_size, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.iterate(model(), ds.SGD(0.1, scheme, batch_size=batch_size), THETA, n_steps=1)


def test_what_a_scheme_needs_and_the_problem_lacks_is_said():
    problem = ds.problems.linear_model(np.eye(3), np.zeros(3))
    problem.groups = problem.gradient_bounds = problem.lipschitz = None
    for scheme in (sampling.GroupNorm(), sampling.Rejection(), sampling.Lipschitz()):
        with pytest.raises(
            ds.errors.NotApplicable, match=rf"{scheme.name} needs .*, which linear_model.* does not have"
        ):
            ds.iterate(problem, ds.SGD(0.1, scheme), 0.0, n_steps=1)
