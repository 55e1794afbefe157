"""Limits of chains: their fields against sums over terms."""

import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim import sampling
from dynsim.errors import ArgumentError, NotApplicable

X = np.array([[1.0, 0.3], [-0.4, 1.2], [0.8, -0.9], [0.2, 0.7], [-1.1, 0.5]])
Y = np.array([0.5, -0.2, 1.0, 0.3, -0.6])
THETA = np.random.default_rng(3).normal(size=(6, 2))


def model(rows=5, loss="square", **options):
    return ds.problems.linear_model(X[:rows], Y[:rows], loss=loss, **options)


def covariance_by_terms(problem, p, theta, move=lambda g: g):
    """Mean and covariance of φ(a_n/p_n ∇l_n), n drawn by p: the definition, in long double."""
    g = problem.term_gradients(theta).astype(np.longdouble)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = move(np.where(p[..., None] > 0, (problem.weights / p)[..., None] * g, 0))
    mean = np.einsum("...n,...nj->...j", p, v)
    v = v - mean[..., None, :]
    return mean, np.einsum("...n,...nj,...nk->...jk", p, v, v)


def close(actual, expected, tolerance=1e-12):
    scale = np.abs(expected).max()
    assert np.abs(actual - expected).max() <= tolerance * scale


SCHEMES = {
    "uniform": sampling.Uniform(),
    "proportions": sampling.Proportions([0.1, 0.2, 0.3, 0.15, 0.25]),
    "lipschitz": sampling.Lipschitz(),
    "gradient norm": sampling.GradientNorm(),
    "mixture": sampling.Mixture(0.3),
    "exact rejection": sampling.Rejection(50.0, weight="exact"),
    "balanced": sampling.Balanced(at=[[0.1, 0.2], [1.0, -1.0]]),
    "custom": sampling.Custom(lambda theta, n: 1.0 + n + theta[0] ** 2, floor=0.2),
}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("rows", [5, 2])
def test_sgd_has_minus_the_gradient_as_drift_and_eta_sigma_over_b_as_covariance(name, rows):
    """With five terms by a Cholesky factor, with two by terms."""
    scheme, problem = SCHEMES[name], model(rows)
    if name == "proportions":
        scheme = sampling.Proportions(np.full(rows, 1 / rows))
    sde = ds.sde_limit(problem, ds.SGD(0.3, scheme, batch_size=4))
    mean, covariance = covariance_by_terms(problem, scheme.probabilities(problem, THETA), THETA)
    close(sde.drift(0.0, THETA), -mean)
    close(sde.covariance(0.0, THETA), 0.3 / 4 * covariance)
    assert (sde.dim, sde.noise_dim) == (2, 2)


def test_group_norm_and_rejection_with_estimated_weights_have_their_covariance():
    problem = model()
    for scheme in (sampling.GroupNorm([0, 1, 0, 1, 2]), sampling.Rejection(50.0, n_proposals=3)):
        sde = ds.sde_limit(problem, ds.SGD(0.3, scheme))
        close(sde.covariance(0.0, THETA), 0.3 * scheme.covariance(problem, THETA))


def test_batches_without_replacement_have_the_covariance_over_all_of_them():
    problem = model()
    g = problem.term_gradients(THETA)
    means = np.stack([g[:, list(s)].mean(axis=1) for s in itertools.combinations(range(5), 3)], axis=1)
    centered = means - means.mean(axis=1, keepdims=True)
    expected = np.einsum("pnj,pnk->pjk", centered, centered) / means.shape[1]
    sde = ds.sde_limit(problem, ds.SGD(0.3, sampling.WithoutReplacement(), batch_size=3))
    close(sde.covariance(0.0, THETA), 0.3 * expected)
    whole = ds.sde_limit(problem, ds.SGD(0.3, sampling.WithoutReplacement(), batch_size=5))
    assert (whole.covariance(0.0, THETA) == 0).all()


@pytest.mark.parametrize("rows", [5, 2])
def test_noise_added_to_the_gradient_adds_eta_times_its_variance(rows):
    noise = ds.noise.StudentT(df=3.0, scale=(0.5, 2.0))  # variance 3 s²
    problem = model(rows)
    _, covariance = covariance_by_terms(problem, np.full((6, rows), 1 / rows), THETA)
    added = np.diag([0.75, 12.0])
    for batch_size, own in ((1, covariance), (2, covariance / 2), ("full", 0 * covariance)):
        sde = ds.sde_limit(problem, ds.SGD(0.3, batch_size=batch_size, noise=noise))
        close(sde.covariance(0.0, THETA), 0.3 * (own + added))


def test_the_whole_gradient_leaves_gradient_flow():
    sde = ds.sde_limit(model(), ds.SGD(0.3, batch_size="full"))
    assert (sde.diffusion(0.0, THETA) == 0).all()
    close(sde.drift(0.0, THETA), -model().gradient(THETA))


def test_two_valleys_has_the_same_limit_by_regions_as_by_terms(valleys):
    theta = np.concatenate([np.linspace(-2, 1, 31), valleys.kinks])[:, None]
    for batch_size in (3, "full"):
        sde = ds.sde_limit(valleys, ds.SGD(0.04, batch_size=batch_size))
        expected = 0.04 * ds.SGD(0.04, batch_size=batch_size).gradient_covariance(valleys, theta)
        np.testing.assert_allclose(sde.covariance(0.0, theta), expected, rtol=1e-12, atol=1e-18)
    own = sampling.Custom(lambda theta, n: 1.0 + theta[0] ** 2 * n)
    sde = ds.sde_limit(valleys, ds.SGD(0.04, own))
    np.testing.assert_allclose(sde.covariance(0.0, theta), 0.04 * own.covariance(valleys, theta), rtol=1e-12)


def test_far_from_the_minima_the_covariance_is_right_though_all_gradients_are_nearly_alike():
    """A difference of second moments has lost all digits here."""
    problem = ds.problems.linear_model(np.ones((5, 1)), Y)
    theta = np.array([[1e9]])
    for scheme in (sampling.Uniform(), sampling.GradientNorm()):
        _, expected = covariance_by_terms(problem, scheme.probabilities(problem, theta), theta)
        sde = ds.sde_limit(problem, ds.SGD(1.0, scheme))
        if isinstance(scheme, sampling.Uniform):
            close(sde.covariance(0.0, theta), expected, 1e-6)
            naive = np.mean(problem.term_gradients(theta) ** 2) - problem.gradient(theta)[0, 0] ** 2
            assert abs(naive / expected[0, 0, 0] - 1) > 1e-3
        else:  # all drawn gradients are the same
            assert sde.covariance(0.0, theta)[0, 0, 0] < 1e-12


def test_where_no_term_has_a_gradient_there_is_no_noise():
    problem = ds.problems.linear_model(X, X @ [1.0, 2.0])
    for scheme in (
        sampling.Uniform(),
        sampling.GradientNorm(),
        sampling.Mixture(0.5),
        sampling.GroupNorm([0, 0, 1, 1, 1]),
    ):
        sde = ds.sde_limit(problem, ds.SGD(0.1, scheme))
        assert np.abs(sde.covariance(0.0, [[1.0, 2.0]])).max() < 1e-30


def test_a_nan_stays_one():
    for rows in (5, 2):
        sde = ds.sde_limit(model(rows), ds.RR(0.1))
        assert np.isnan(sde.diffusion(0.0, [[np.nan, 1.0]])).any()


@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_the_drift_of_second_order_is_that_of_li_tai_and_e(loss):
    problem = model(loss=loss)
    sde = ds.sde_limit(problem, ds.RR(0.3), order=2)
    g, hessian = problem.gradient(THETA), problem.hessian(THETA)
    close(sde.drift(0.0, THETA), -g - 0.15 * np.einsum("pjk,pk->pj", hessian, g), 1e-10)
    close(sde.covariance(0.0, THETA), ds.sde_limit(problem, ds.RR(0.3)).covariance(0.0, THETA), 1e-15)
    at_minimum = ds.sde_limit(ds.problems.quadratic([1.0, 3.0]), ds.SGD(0.3), order=2).drift(0.0, [0.0, 0.0])
    assert (at_minimum == 0).all()


MOVES = {
    "GClip": (lambda s: ds.GClip(0.3, s, threshold=0.5), lambda g: g * np.minimum(1, 0.5 / norm(g))),
    "Clipped": (lambda s: ds.Clipped(0.3, s, gamma=0.5), lambda g: g * np.minimum(1, 0.5 / norm(g))),
    "Normalized": (lambda s: ds.Normalized(0.3, s, beta=0.2), lambda g: g / (norm(g) + 0.2)),
    "CClip": (
        lambda s: ds.CClip(0.3, s, threshold=0.5, scales=(1.0, 0.4)),
        lambda g: np.clip(g, (-0.5, -0.2), (0.5, 0.2)),
    ),
}


def norm(g):
    return np.sqrt((g**2).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(("name", "rows"), [("GClip", 5), ("Clipped", 2), ("Normalized", 5), ("CClip", 5)])
def test_clipped_methods_have_mean_and_covariance_of_the_clipped_gradient(name, rows):
    make, move = MOVES[name]
    problem = model(rows)
    scheme = sampling.GradientNorm() if name == "Clipped" else sampling.Uniform()
    sde = ds.sde_limit(problem, make(scheme))
    mean, covariance = covariance_by_terms(problem, scheme.probabilities(problem, THETA), THETA, move)
    close(sde.drift(0.0, THETA), -mean)
    close(sde.covariance(0.0, THETA), 0.3 * covariance)
    assert np.abs(mean - problem.gradient(THETA)).max() > 0.1  # it is clipped


MOMENTUM = {"HeavyBall": (ds.HeavyBall, 0.0), "Nesterov": (ds.Nesterov, 1.0)}


def test_nesterov_takes_gradient_and_noise_where_the_method_does():
    problem = model()
    x = np.random.default_rng(5).normal(size=(6, 4))
    eta, mu = 0.3, 0.6
    for rows in (5, 2):
        problem = model(rows)
        for make, ahead in MOMENTUM.values():
            sde = ds.sde_limit(problem, make(eta, sampling.GradientNorm(), momentum=mu, batch_size=2))
            q = x[:, :2] - ahead * eta * mu * x[:, 2:]
            p = sampling.GradientNorm().probabilities(problem, q)
            mean, covariance = covariance_by_terms(problem, p, q)
            close(sde.drift(0.0, x), np.hstack([-x[:, 2:], (mean - (1 - mu) * x[:, 2:]) / eta]))
            close(sde.covariance(0.0, x)[:, 2:, 2:], covariance / 2 / eta)
            assert (sde.diffusion(0.0, x)[:, :2] == 0).all()


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize("rows", [5, 2])
def test_rmsprop_and_adam_have_the_fields_of_malladi_et_al(elementwise, rows):
    problem, eta, eps, t = model(rows), 0.3, 0.1, 0.9
    rng = np.random.default_rng(5)
    m, v = rng.normal(size=(6, 2)), rng.uniform(0.5, 2.0, size=(6, 2 if elementwise else 1))
    mean, covariance = covariance_by_terms(problem, np.full((6, rows), 1 / rows), THETA)
    covariance = covariance / 2 + np.diag([0.25, 4.0])
    second = np.einsum("pjj->pj", covariance) + mean**2
    second = second if elementwise else second.sum(axis=1, keepdims=True)
    options = {"batch_size": 2, "noise": ds.noise.Gaussian((0.5, 2.0)), "eps": eps, "elementwise": elementwise}

    sde = ds.sde_limit(problem, ds.RMSProp(eta, alpha=0.8, **options))
    x, scale = np.hstack([THETA, v]), 1 / (eps + np.sqrt(v))
    close(sde.drift(t, x), np.hstack([-mean * scale, 0.2 / eta * (second - v)]))
    scale = np.broadcast_to(scale, (6, 2))
    close(sde.covariance(t, x)[:, :2, :2], eta * covariance * scale[:, :, None] * scale[:, None, :])
    assert (sde.diffusion(t, x)[:, 2:] == 0).all()

    sde = ds.sde_limit(problem, ds.Adam(eta, beta1=0.7, beta2=0.8, **options))
    x, scale = np.hstack([THETA, m, v]), 1 / (eps + np.sqrt(v / (1 - np.exp(-0.2 * 3))))
    drift = [-m / (1 - np.exp(-0.3 * 3)) * scale, 0.3 / eta * (mean - m), 0.2 / eta * (second - v)]
    close(sde.drift(t, x), np.hstack(drift))
    close(sde.covariance(t, x)[:, 2:4, 2:4], 0.3**2 / eta * covariance)
    assert (sde.diffusion(t, x)[:, :2] == 0).all()
    assert (sde.diffusion(t, x)[:, 4:] == 0).all()


VALLEYS = ds.problems.two_valleys()
SMOOTH = model()


@pytest.mark.parametrize(
    ("problem", "method", "order", "error", "message"),
    [
        (SMOOTH, ds.SGD(0.1), 3, ArgumentError, "order must be 1 or 2, got 3"),
        (SMOOTH, ds.SGD(0.1), True, ArgumentError, "order must be 1 or 2, got True"),
        (SMOOTH, ds.SGD(0.1), "2", ArgumentError, "order must be 1 or 2, got '2'"),
        (SMOOTH, ds.HeavyBall(0.1), 2, NotApplicable, "the limit of HeavyBall is known to order=1 only"),
        (SMOOTH, ds.Adam(0.1), 2, NotApplicable, "the limit of Adam is known to order=1 only"),
        (SMOOTH, ds.GClip(0.1, threshold=1.0), 2, NotApplicable, "the limit of GClip is known to order=1 only"),
        (
            VALLEYS,
            ds.SGD(0.1),
            2,
            NotApplicable,
            "order=2 is for smooth losses, and the gradient of two_valleys.* jumps",
        ),
        (
            SMOOTH,
            ds.SGD(ds.schedules.Geometric(0.1, 0.9)),
            1,
            NotApplicable,
            "needs a constant step size, got Geometric",
        ),
        (
            SMOOTH,
            ds.Nesterov(0.1, momentum=lambda k: (k + 1) / (k + 4)),
            1,
            NotApplicable,
            "Nesterov needs a constant momentum",
        ),
        (SMOOTH, ds.GClip(0.1, threshold=lambda k: k + 1.0), 1, NotApplicable, "GClip needs a constant threshold"),
        (
            SMOOTH,
            ds.SGD(0.1, sampling.Reshuffled()),
            1,
            NotApplicable,
            "not depend on the draws before, got Reshuffled",
        ),
        (SMOOTH, ds.Adam(0.1, sampling.Stale(3)), 1, NotApplicable, r"got Stale\(refresh=3.* for Adam"),
        (SMOOTH, ds.SGD(0.1, sampling.Presample(3, threshold=0)), 1, NotApplicable, "draws before, got Presample"),
        (
            SMOOTH,
            ds.HeavyBall(0.1, noise=ds.noise.StudentT(df=2.0)),
            1,
            NotApplicable,
            "no limit .* HeavyBall with noise StudentT.*: its variance is infinite",
        ),
        (SMOOTH, ds.SGD(0.1, noise=ds.noise.Gaussian((1.0, 1.0, 1.0))), 1, ArgumentError, "scale has 3 numbers"),
        (
            SMOOTH,
            ds.SGD(0.1, sampling.WithoutReplacement(), batch_size=6),
            1,
            ArgumentError,
            "batch_size must be at most",
        ),
        (SMOOTH, ds.Clipped(0.1, gamma=1.0, batch_size=2), 1, NotApplicable, "the limit of Clipped is a sum over"),
        (
            SMOOTH,
            ds.Normalized(0.1, noise=ds.noise.Gaussian()),
            1,
            NotApplicable,
            "the limit of Normalized is a sum over",
        ),
        (
            SMOOTH,
            ds.CClip(0.1, sampling.GroupNorm([0] * 5), threshold=1.0),
            1,
            NotApplicable,
            "the limit of CClip.* is a sum",
        ),
        (SMOOTH, ds.ACClip(0.1), 1, NotApplicable, "sde_limit is for SGD .*, got ACClip"),
        (
            SMOOTH,
            ds.ProjectedGClip(0.1, threshold=1.0, radius=1.0),
            1,
            NotApplicable,
            "is for SGD .*, got ProjectedGClip",
        ),
    ],
)
def test_what_has_no_limit_is_refused_by_name(problem, method, order, error, message):
    with pytest.raises(error, match=message):
        ds.sde_limit(problem, method, order=order)


def test_a_term_that_is_never_drawn_though_it_has_a_gradient_gives_no_number():
    never = sampling.Custom(lambda theta, n: 0.0 if n == 1 else 1.0)
    assert np.isnan(ds.sde_limit(SMOOTH, ds.SGD(0.1, never)).covariance(0.0, THETA)).all()


def test_limits_of_different_methods_are_told_apart_by_their_fingerprints():
    methods = [ds.SGD(0.1), ds.RR(0.1), ds.SGD(0.2), ds.SGD(0.1, batch_size=2), ds.HeavyBall(0.1), ds.Nesterov(0.1)]
    own = [ds.SGD(0.1, sampling.Custom(f)) for f in (lambda theta, n: 1.0, lambda theta, n: 2.0 + n)]
    prints = {ds.sde_limit(SMOOTH, m).fingerprint() for m in methods + own}
    assert len(prints) == len(methods + own)
    assert ds.sde_limit(SMOOTH, ds.SGD(0.1)).fingerprint() in prints


def test_paths_of_a_limit_with_a_column_for_each_term_have_its_mean_and_covariance():
    problem, theta, eta, n = model(2), np.array([0.5, -1.0]), 0.05, 40_000
    sde = ds.sde_limit(problem, ds.HeavyBall(eta, sampling.GradientNorm(), momentum=0.8))
    paths = ds.integrate(sde, [*theta, 0.0, 0.0], eta, dt=eta, n_paths=n, rng=1).x[:, -1, 2:]
    expected = sampling.GradientNorm().covariance(problem, theta)
    centered = paths - problem.gradient(theta)  # one step from v = 0
    assert (np.abs(centered.mean(axis=0)) < 5 * np.sqrt(np.diag(expected) / n) + 1e-12).all()
    products = centered[:, :, None] * centered[:, None, :]
    stderr = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - expected) < 5 * stderr).all()
    assert not (np.abs(products.mean(axis=0) - 0.5 * expected) < 5 * stderr).all()
