import numpy as np
import oracles
import pytest

import dynsim as ds

sampling = ds.sampling
SCHEMES = (sampling.Uniform(), sampling.GradientNorm(), sampling.Proportions([0.3, 0.7]), sampling.Balanced())
REGIONS = np.array([[-1.5], [-0.5], [0.1], [0.5]])


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
def test_the_expected_reweighted_gradient_is_the_full_gradient(valleys, scheme):
    p = scheme.probabilities(valleys, REGIONS)
    assert np.abs(p.sum(axis=-1) - 1).max() < 1e-15
    step = (p * scheme.reweighting(valleys, REGIONS))[..., None] * valleys.term_gradients(REGIONS)
    np.testing.assert_allclose(step.sum(axis=-2), valleys.gradient(REGIONS), rtol=0, atol=1e-15)


@pytest.mark.parametrize("a1", [0.4, 0.25])
def test_covariances_are_section_2_1_s(a1):
    problem = ds.problems.two_valleys(a1=a1, eps=0.1, K=5.0)
    for scheme in (sampling.Uniform(), sampling.Proportions([0.3, 0.7]), sampling.Balanced()):
        f1 = scheme.proportions(problem)[0]
        expected = oracles.two_valleys_variances(a1, 0.1, 5.0, f1)
        np.testing.assert_allclose(problem.gradient_covariance(REGIONS, scheme).ravel(), expected, rtol=1e-13)


def test_balanced_is_section_2_1_s(valleys):
    assert sampling.Balanced().proportions(valleys) == pytest.approx([0.4 / 3.4, 3.0 / 3.4], rel=1e-15)
    weights = sampling.Balanced().reweighting(valleys, [0.1])
    assert weights == pytest.approx([3.4, 3.4 / 5], rel=1e-15)


def test_gradient_norm_has_no_variance_in_the_outer_regions_of_the_valleys(valleys):
    variance = valleys.gradient_covariance(REGIONS, sampling.GradientNorm()).ravel()
    C = np.array([0.46, 0.46, 3.04, 3.04])  # Σ a_n |V_n'|
    np.testing.assert_allclose(variance, C**2 - valleys.gradient(REGIONS).ravel() ** 2, rtol=0, atol=1e-14)
    assert variance[[0, 3]].max() < 1e-30


def test_covariances_are_equations_3_4_and_3_6(data):
    problem = ds.problems.linear_model(*data, loss="welsch")
    theta = np.random.default_rng(1).normal(size=(4, 3))
    g, m, n = problem.term_gradients(theta), problem.gradient(theta), problem.n_terms
    norms = np.linalg.norm(g, axis=-1)
    mm = m[..., :, None] * m[..., None, :]
    sigma1 = np.einsum("kni,knj->kij", g, g) / n - mm
    sigma2 = norms.sum(-1)[:, None, None] / n**2 * np.einsum("kni,knj,kn->kij", g, g, 1 / norms) - mm
    np.testing.assert_allclose(problem.gradient_covariance(theta), sigma1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(problem.gradient_covariance(theta, sampling.GradientNorm()), sigma2, rtol=0, atol=1e-15)
    assert (np.trace(sigma2, axis1=1, axis2=2) < np.trace(sigma1, axis1=1, axis2=2)).all()  # (3.45)


def test_a_term_without_gradient_is_never_drawn_and_none_at_all_makes_no_step():
    problem = ds.problems.linear_model([[1.0], [1.0], [2.0]], [0.0, 1.0, 0.0])
    scheme = sampling.GradientNorm()
    np.testing.assert_array_equal(scheme.probabilities(problem, [0.0]), [0, 1, 0])
    np.testing.assert_array_equal(scheme.reweighting(problem, [0.0]), [0, 1 / 3, 0])
    fitted = ds.problems.linear_model([[1.0], [2.0]], [1.0, 2.0])
    np.testing.assert_array_equal(scheme.probabilities(fitted, [1.0]), [0.5, 0.5])
    assert (ds.iterate(fitted, ds.RR(0.3), 1.0, n_steps=5, rng=0).x == 1).all()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        ([0.5, 0.6], "f must sum to 1, got 1.1"),
        ([1.0, 0.0], "f must be positive, got 0"),
        ([0.5, np.nan], "f must be finite"),
        (0.5, "f must have 1 axes"),
    ],
)
def test_proportions_refuse_what_is_not_a_distribution(f, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        sampling.Proportions(f)


def test_schemes_refuse_problems_they_do_not_fit(data):
    problem = ds.problems.linear_model(*data)
    with pytest.raises(ds.errors.ArgumentError, match="f has 2 proportions, but linear_model"):
        ds.iterate(problem, ds.SGD(0.1, sampling.Proportions([0.5, 0.5])), 0.0, n_steps=1)
    with pytest.raises(ds.errors.NotApplicable, match="Balanced needs the slope of each term"):
        ds.iterate(problem, ds.SGD(0.1, sampling.Balanced()), 0.0, n_steps=1)
