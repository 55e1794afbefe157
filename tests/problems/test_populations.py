"""AY §4.1 and Remark 2.2: the samples, their populations' losses by quadrature, and their minima in 40 digits."""

import mpmath
import numpy as np
import oracles
import pytest

import dynsim as ds

SHARES = ((mpmath.mpf(1) / 6, 20, 1), (mpmath.mpf(5) / 6, mpmath.mpf(1) / 2, mpmath.mpf(1) / 2))


@pytest.fixture(scope="module")
def classification():
    return ds.problems.robust_classification(rng=0)


@pytest.fixture(scope="module")
def regression():
    return ds.problems.robust_regression(rng=0)


def welsch(r):
    return 1 - mpmath.exp(-(r**2) / 2)


def gaussian_mean(function, mean, deviation):
    """E f(N(mean, deviation²)) by quadrature over twelve deviations to either side."""
    density = lambda z: mpmath.npdf(z) * function(mean + deviation * z)  # noqa: E731
    return mpmath.quad(density, mpmath.linspace(-12, 12, 9))


def classification_by_quadrature(theta):
    return mpmath.fsum(
        share / 2 * gaussian_mean(lambda x, y=y: welsch(theta * x - y), center, spread)
        for share, center, spread in SHARES
        for y in (0, 1)
    )


def test_the_classification_samples_are_the_papers(classification):
    x, y = classification.X[:, 0], classification.y
    assert np.bincount(classification.groups).tolist() == [800, 4000]
    for group, center, variance in ((0, 20, 1), (1, 0.5, 0.25)):
        part = x[classification.groups == group]
        assert abs(part.mean() - center) < 5 * np.sqrt(variance / part.size)
        assert abs(part.var() - variance) < 5 * variance * np.sqrt(2 / part.size)
        assert abs(part.var() - np.sqrt(variance)) > 5 * variance * np.sqrt(2 / part.size) or group == 0
        assert abs(y[classification.groups == group].mean() - 0.5) < 5 * 0.5 / np.sqrt(part.size)
    assert set(y) == {0.0, 1.0}


def test_the_classification_populations_loss_is_that_of_quadrature(classification):
    for theta in (-0.5, 0.0277, 0.2, 1.7):
        expected = float(classification_by_quadrature(mpmath.mpf(theta)))
        assert classification.population_loss([theta]) == pytest.approx(expected, rel=1e-12)
        slope = oracles.central_difference(classification.population_loss, [theta])
        assert classification.population_gradient([theta]) == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_the_samples_loss_estimates_the_populations(classification):
    for theta in ([-0.5], [0.03], [0.3], [0.9]):
        losses = classification.term_losses(theta)
        error = losses.std() / np.sqrt(losses.size)
        assert abs(classification.loss(theta) - classification.population_loss(theta)) < 5 * error
        assert abs(classification.loss(theta) - classification.population_loss(theta)) > 0
        assert abs(losses[:800].mean() - classification.population_loss(theta)) > 5 * error  # one group alone


def test_the_minima_of_classification_are_right_in_40_digits(classification):
    rows = [(mpmath.mpf(x), mpmath.mpf(y)) for x, y in zip(classification.X[:, 0], classification.y, strict=True)]

    def kept(t, m, s, y):
        w = 1 + t**2 * s**2
        return mpmath.exp(-((t * m - y) ** 2) / (2 * w)) / mpmath.sqrt(w)

    def population(t):
        return -mpmath.fsum(share * kept(t, m, s, y) for share, m, s in SHARES for y in (0, 1)) / 2

    def sample_slope(t):
        return mpmath.fsum((t * x - y) * mpmath.exp(-((t * x - y) ** 2) / 2) * x for x, y in rows)

    with mpmath.workdps(40):
        for minima, slope in (
            (classification.population_minima, lambda t: mpmath.diff(population, t)),
            (classification.minima, sample_slope),
        ):
            for found in minima[:, 0]:
                exact = mpmath.findroot(slope, (found - 1e-4, found + 1e-4), solver="anderson", tol=1e-25)
                assert abs(float(exact) - found) < 1e-12


def test_the_sharp_minimum_of_classification_is_the_global_one(classification):
    theta = np.linspace(-3, 3, 1501)[:, None]
    for loss, minima in (
        (classification.loss, classification.minima),
        (classification.population_loss, classification.population_minima),
    ):
        values = loss(theta[500:1251])
        valleys = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])) + 501
        assert np.abs(np.sort(theta[valleys, 0]) - np.sort(minima[:, 0])).max() < 0.004
        assert (loss(theta) > loss(minima[0])).all()
    assert (
        classification.hessian(classification.minima[0])[0, 0]
        > 10 * classification.hessian(classification.minima[1])[0, 0]
    )


def test_regressions_responses_are_the_papers(regression):
    pure = regression.X @ regression.beta
    assert regression.corruption == 3 * np.abs(pure).max()
    corruption = regression.y - pure
    assert np.abs(corruption).max() < regression.corruption + 0.6
    deviation = regression.corruption / np.sqrt(3)
    assert abs(corruption.mean()) < 5 * deviation / np.sqrt(2800)
    assert abs(corruption.var() - deviation**2) < 5 * deviation**2 * np.sqrt(0.8 / 2800)  # kurtosis 9/5
    for group, center, variance in ((0, 20.0, 1.0), (1, 0.25, 0.25)):
        part = regression.X[regression.groups == group]
        assert abs(part.mean() - center) < 5 * np.sqrt(variance / part.size)
        assert abs(part.var() - variance) < 5 * variance * np.sqrt(2 / part.size)


def regression_by_quadrature(problem, theta):
    """The residual is N(μ, v) less a uniform number: the bell is integrated over the latter, in closed form by erf."""
    delta, reach = [mpmath.mpf(float(t)) for t in theta - problem.beta], mpmath.mpf(problem.corruption)
    total = mpmath.mpf(0)
    for share, m, s in ((mpmath.mpf(5) / 7, 20, 1), (mpmath.mpf(2) / 7, 0.25, 0.5)):
        mu, v = m * mpmath.fsum(delta), s**2 * mpmath.fsum(d * d for d in delta) + mpmath.mpf("0.01")
        kept = lambda u, mu=mu, v=v: mpmath.exp(-((mu - u) ** 2) / (2 * (1 + v))) / mpmath.sqrt(1 + v)  # noqa: E731
        cuts = sorted({-reach, *[c for c in (mu - 30, mu - 10, mu, mu + 10, mu + 30) if abs(c) < reach], reach})
        total += share * (1 - mpmath.quad(kept, cuts) / (2 * reach))
    return total


def test_the_regression_populations_loss_and_gradient_are_those_of_quadrature(regression):
    edge = regression.corruption / 200  # here group 0's mean residual is at the edge of the corruption
    for shift in (0.0, 0.1, edge, 1.05 * edge, 2.0):
        theta = regression.beta + shift
        expected = float(regression_by_quadrature(regression, theta))
        assert regression.population_loss(theta) == pytest.approx(expected, rel=1e-13)
    theta = regression.beta + edge + 0.01 * (np.arange(10.0) - 4.5)
    expected = oracles.central_difference(regression.population_loss, theta, h=1e-5)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(regression.population_gradient(theta), expected, rtol=1e-6, atol=1e-10)


def test_the_regression_population_grows_along_rays_from_beta(regression):
    rng = np.random.default_rng(3)
    for direction in rng.normal(size=(20, 10)):
        values = regression.population_loss(regression.beta + np.linspace(0, 30, 300)[:, None] * direction)
        assert (np.diff(values) > -1e-15).all()
        assert values[-1] > values[0] + 1e-3
    assert (regression.population_gradient(regression.beta) == 0).all()
    assert (regression.population_minima == regression.beta).all()


def test_the_minimum_of_regression_is_a_minimum_below_the_loss_at_beta(regression):
    theta = regression.minima[0]
    assert np.linalg.eigvalsh(regression.hessian(theta))[0] > 1e-4
    assert regression.loss(theta) < regression.loss(regression.beta)
    with mpmath.workdps(40):  # one Newton step in 40 digits leads from there to the exact minimum
        gradient = [mpmath.mpf(0)] * 10
        for x, y in zip(regression.X, regression.y, strict=True):
            row = [mpmath.mpf(float(v)) for v in x]
            r = mpmath.fdot(row, [mpmath.mpf(float(t)) for t in theta]) - mpmath.mpf(float(y))
            factor = r * mpmath.exp(-(r**2) / 2)
            if abs(factor) > 1e-35:
                gradient = [g + factor * v for g, v in zip(gradient, row, strict=True)]
    step = np.linalg.solve(regression.hessian(theta), np.array([float(g) for g in gradient]) / 2800)
    assert np.abs(step).max() < 1e-10


def test_the_same_seed_draws_the_same_sample():
    make = [ds.problems.robust_classification, ds.problems.robust_regression, ds.problems.disparate_groups]
    for function, sizes in zip(make, [(20, 30), (20, 30), 50], strict=True):
        first, again, other = (function(sizes, rng=seed) for seed in (5, 5, 6))
        assert (first.X == again.X).all()
        assert (first.y == again.y).all()
        assert not (first.X == other.X).all()
        drawn = function(sizes, rng=np.random.default_rng(1))
        assert (function(sizes, rng=drawn.seed).X == drawn.X).all()


def test_disparate_groups_have_the_sizes_and_norms_asked_for():
    problem = ds.problems.disparate_groups(50, 4, disparity=7.0, fraction=0.3, rng=2)
    assert np.bincount(problem.groups).tolist() == [35, 15]
    norms = np.linalg.norm(problem.X, axis=1)
    np.testing.assert_allclose(norms, np.where(problem.groups == 1, 7.0, 1.0), rtol=1e-14)
    assert problem.loss(problem.minima[0]) < 1e-25
    np.testing.assert_allclose(problem.minima[0], problem.least_squares(), rtol=1e-10)


def test_groups_that_disagree_have_their_own_coefficients():
    beta = np.array([[1.0, -1.0], [-2.0, 0.5]])
    problem = ds.problems.disparate_groups(40, 2, beta=beta, loss="barron", alpha=-2.0, rng=2)
    assert problem.minima is None
    for group in (0, 1):
        rows = problem.groups == group
        np.testing.assert_allclose(problem.X[rows] @ beta[group], problem.y[rows], rtol=1e-12)
    assert problem.loss_parameters == {"alpha": -2.0, "scale": 1.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.robust_classification(5), "sizes must be the rows of two groups"),
        (lambda p: p.robust_classification((5, 0)), r"sizes\[1\] must be a whole number, at least 1, got 0"),
        (lambda p: p.robust_classification(rng="x"), "rng must be an int"),
        (lambda p: p.robust_regression((3, 3), 7), "dim must be at most the number of rows, 6, got 7"),
        (lambda p: p.disparate_groups(disparity=0.5), "disparity must be at least 1, got 0.5"),
        (lambda p: p.disparate_groups(fraction=1.0), "fraction must lie strictly between 0 and 1"),
        (lambda p: p.disparate_groups(loss="poisson"), "loss is not known: got 'poisson'"),
        (lambda p: p.disparate_groups(beta=[1.0]), r"beta must have shape \(2,\) or \(2, 2\), got \(1, 1\)"),
        (lambda p: p.disparate_groups(noise=-1), "noise must be at least 0, got -1"),
        (lambda p: p.disparate_groups(delta=1.0), "delta does not belong to the loss 'square'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        call(ds.problems)


def test_a_sample_too_small_for_any_row_to_fit_has_no_known_minimum():
    few = ds.problems.robust_regression((20, 30), rng=6)
    assert few.loss(few.beta) > 1 - 1e-12
    assert few.minima is None


@pytest.mark.parametrize("fraction", [0.5, 0.05])
def test_the_box_of_disparate_groups_holds_the_fits_to_either(fraction):
    beta = np.array([[1.0, 2.0], [-1.0, 0.0]])
    problem = ds.problems.disparate_groups(200, beta=beta, fraction=fraction, loss="welsch", rng=0)
    assert problem.minima is None
    low, high = problem.bounds.T
    assert ((low < beta) & (beta < high)).all()
    found = ds.minima(problem).minima
    assert np.linalg.norm(found[:, None] - beta, axis=-1).min(axis=0).max() < 0.1


def test_disparate_groups_that_disagree_have_the_least_squares_fit_for_a_minimum():
    problem = ds.problems.disparate_groups(50, beta=[[1.0, 2.0], [-1.0, 0.0]], rng=1)
    np.testing.assert_allclose(problem.gradient(problem.minima[0]), 0, atol=1e-12)
    same = ds.problems.disparate_groups(50, beta=[1.0, 2.0], loss="welsch", rng=1)
    assert same.minima.tolist() == [[1.0, 2.0]]
    assert ((same.bounds[:, 0] < [1.0, 2.0]) & (same.bounds[:, 1] > [1.0, 2.0])).all()
