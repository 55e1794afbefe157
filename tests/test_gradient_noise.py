"""The noise of a stochastic gradient at a point, against enumerations and covariances in closed form."""

import numpy as np
import pytest

import dynsim as ds
from dynsim import sampling
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.landscape import gradient_noise

THETA = np.array([0.3, -0.2, 1.0])


def model(n=7, seed=7):
    rng = np.random.default_rng(seed)
    weights = rng.random(n) + 0.3
    problem = ds.problems.linear_model(rng.normal(size=(n, 3)), rng.normal(size=n), "welsch", weights=weights)
    problem.groups = np.arange(n) * 3 // n
    return problem


SINGLE = {
    "uniform": sampling.Uniform(),
    "by norm": sampling.GradientNorm(),
    "mixture": sampling.Mixture(0.5),
    "proportions": sampling.Proportions(np.arange(1, 8) / 28),
}


@pytest.mark.parametrize("name", SINGLE)
def test_all_values_of_single_draws_are_the_terms_less_the_gradient(name):
    problem, scheme = model(), SINGLE[name]
    noise = gradient_noise(problem, THETA, method=scheme)
    p = scheme.probabilities(problem, THETA)
    expected = [
        problem.weights[n] / p[n] * g - problem.gradient(THETA) for n, g in enumerate(problem.term_gradients(THETA))
    ]
    assert noise.exact
    assert noise.vectors == pytest.approx(np.array(expected), abs=1e-14)
    assert noise.probabilities == pytest.approx(p)
    assert noise.norms == pytest.approx([np.sqrt((v**2).sum()) for v in expected])
    assert np.abs(noise.mean).max() < 1e-14
    assert noise.covariance == pytest.approx(problem.gradient_covariance(THETA, scheme), abs=1e-13)


DRAWN = {
    "uniform, one": (sampling.Uniform(), 1),
    "by norm, three": (sampling.GradientNorm(), 3),
    "proportions, three": (sampling.Proportions(np.arange(1, 8) / 28), 3),
    "groups": (sampling.GroupNorm(), 2),
    "without replacement": (sampling.WithoutReplacement(), 3),
    "reshuffled": (sampling.Reshuffled(), 3),
    "stale": (sampling.Stale(5), 2),
    "rejection": (sampling.Rejection(np.linalg.norm(model().X, axis=1) * np.exp(-0.5)), 2),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_unbiased_and_have_the_covariance_in_closed_form(name):
    problem, (scheme, batch_size) = model(), DRAWN[name]
    noise = gradient_noise(problem, THETA, method=ds.SGD(0.1, scheme, batch_size=batch_size), n_draws=20_000, rng=1)
    assert not noise.exact
    assert noise.vectors.shape == (20_000, 3)
    assert (np.abs(noise.mean) < 5 * noise.vectors.std(axis=0) / np.sqrt(20_000)).all()
    products = noise.vectors[:, :, None] * noise.vectors[:, None, :]
    bound = 5 * products.std(axis=0) / np.sqrt(20_000)
    assert (np.abs(noise.covariance - problem.gradient_covariance(THETA, scheme, batch_size)) < bound).all()
    wrong = problem.gradient_covariance(THETA, scheme, batch_size + 1)  # negative control
    assert (np.abs(noise.covariance - wrong) > bound).any()


def test_draws_are_those_values():
    problem = model()
    values = gradient_noise(problem, THETA, method=sampling.GradientNorm())
    draws = gradient_noise(problem, THETA, method=sampling.GradientNorm(), n_draws=5000, rng=2)
    distance = np.linalg.norm(draws.vectors[:, None] - values.vectors, axis=-1)
    assert distance.min(axis=1).max() < 1e-13
    counts = np.bincount(distance.argmin(axis=1), minlength=7)
    p = values.probabilities
    assert (np.abs(counts / 5000 - p) < 5 * np.sqrt(p * (1 - p) / 5000)).all()


def test_the_noise_of_the_method_is_added():
    problem = model()
    method = ds.SGD(0.1, batch_size="full", noise=ds.noise.Gaussian((1.0, 2.0, 3.0)))
    noise = gradient_noise(problem, THETA, method=method, rng=3)
    assert len(noise.vectors) == 10_000
    spread = noise.vectors.std(axis=0)
    assert (np.abs(spread - [1, 2, 3]) < 5 * np.array([1, 2, 3]) / np.sqrt(2 * 10_000)).all()
    both = gradient_noise(problem, THETA, method=ds.SGD(0.1, noise=ds.noise.Gaussian(0.1)), n_draws=20_000, rng=4)
    products = both.vectors[:, :, None] * both.vectors[:, None, :]
    expected = problem.gradient_covariance(THETA) + 0.01 * np.eye(3)
    assert (np.abs(both.covariance - expected) < 5 * products.std(axis=0) / np.sqrt(20_000)).all()


def test_a_full_batch_has_no_noise():
    noise = gradient_noise(model(), THETA, method=ds.SGD(0.1, batch_size="full"))
    assert noise.vectors.tolist() == [[0.0, 0.0, 0.0]]
    assert noise.exact
    drawn = gradient_noise(model(), THETA, method=ds.SGD(0.1, batch_size="full"), n_draws=5)
    assert np.abs(drawn.vectors).max() < 1e-15


def test_the_draws_repeat_with_the_seed():
    first, again, other = (gradient_noise(model(), THETA, n_draws=700, rng=seed) for seed in (1, 1, 2))
    assert (first.vectors == again.vectors).all()
    assert (first.vectors != other.vectors).any()
    assert first.settings["seed"] == 1


def heavy_model(df, n=20_000):
    """½(x·θ − y)² with normal x and residuals by Student's t: the gradient at the truth is −x times the residual."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 2))
    return ds.problems.linear_model(X, rng.standard_t(df, size=n), "square")


def test_heavy_residuals_give_the_noise_their_tail_index():
    heavy, light = (gradient_noise(heavy_model(df), [0.0, 0.0]) for df in (1.5, 30.0))
    index = heavy.tail_index()
    assert abs(index.value - 1.5) < 5 * index.stderr
    assert index.infinite_variance
    assert not light.tail_index().infinite_variance
    slope = heavy.variance_growth()
    assert abs(slope.slope - 1 / 3) < 5 * slope.slope_stderr
    assert light.variance_growth().slope < 0.05


def test_gaussian_vectors_have_the_same_covariance():
    noise = gradient_noise(model(), THETA)
    z = noise.gaussian(20_000)
    products = z[:, :, None] * z[:, None, :]
    assert (np.abs(products.mean(axis=0) - noise.covariance) < 5 * products.std(axis=0) / np.sqrt(20_000)).all()


def test_norms_do_not_overflow():
    problem = ds.problems.linear_model([[1.0, 1.0], [1.0, -1.0]], [1e200, -1e200], "square")
    noise = gradient_noise(problem, [0.0, 0.0])
    assert noise.norms == pytest.approx([1e200, 1e200])  # (∓1, 0)·1e200
    assert repr(noise).endswith("root mean square 1e+200)")
    assert np.isfinite(noise.gaussian()).all()
    assert (noise.gaussian() / 1e200).std(axis=0) == pytest.approx([1.0, 0.0], abs=0.05)
    with pytest.raises(NotApplicable, match="covariance of noise of size 1e"):
        _ = noise.covariance


REFUSED = {
    "problem": (lambda: gradient_noise("two_valleys", [0.0]), ArgumentError, "problem must be a problem"),
    "theta": (lambda: gradient_noise(model(), [0.0, 1.0]), ArgumentError, "theta must"),
    "nan": (lambda: gradient_noise(model(), [0.0, np.nan, 1.0]), ArgumentError, "finite"),
    "method": (lambda: gradient_noise(model(), THETA, method="SGD"), ArgumentError, "method must be a method"),
    "n_draws": (lambda: gradient_noise(model(), THETA, n_draws=0), ArgumentError, "n_draws must"),
    "batch": (
        lambda: gradient_noise(model(), THETA, method=ds.SGD(1.0, sampling.WithoutReplacement(), batch_size=8)),
        ArgumentError,
        "batch_size must be at most",
    ),
    "unequal": (
        lambda: gradient_noise(model(200), THETA, method=sampling.GradientNorm()).tail_index(),
        NotApplicable,
        "make draws",
    ),
    "few": (lambda: gradient_noise(model(), THETA, n_draws=50).tail_index(), ArgumentError, "at least 100"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_sentence(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_it_draws_itself():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    assert gradient_noise(heavy_model(1.5), [0.0, 0.0]).plot().get_xscale() == "log"
    assert gradient_noise(heavy_model(30.0), [0.0, 0.0]).plot().get_xscale() == "linear"
    gradient_noise(model(), THETA, method=ds.SGD(0.1, batch_size="full")).plot()
    matplotlib.pyplot.close("all")
