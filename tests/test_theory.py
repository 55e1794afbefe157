import numpy as np
import pytest

import dynsim as ds


def test_lemma_2_1_is_its_formula(valleys):
    rho = ds.theory.lemma_2_1(valleys, ds.SGD(0.04), bounds=(-2.0, 1.0), n_cells=300)
    x, w = np.polynomial.legendre.leggauss(12)
    a, b = rho.edges[:-1, None], rho.edges[1:, None]
    points = (a + b) / 2 + (b - a) / 2 * x
    scale = np.where(points < 0, 1.0, 25.0)
    mass = (np.exp(-2 * valleys.loss(points[..., None]) / (0.24 * 0.04 * scale)) / scale * w).sum(axis=1) * (b - a)[
        :, 0
    ]
    np.testing.assert_allclose(rho.mass, mass / mass.sum(), rtol=1e-10)


def test_lemma_2_1_for_proportions_has_the_noise_of_section_2_1(valleys):
    """For Balanced both sides have the same noise, a1 K a2, so the heights at the minima are in Gibbs' ratio."""
    rho = ds.theory.lemma_2_1(valleys, ds.SGD(0.04, ds.sampling.Balanced()), n_cells=30_000)
    heights = rho([[0.2 - 1e-6], [-1 + 1e-6]])
    expected = np.exp(2 * (0.592 - 0.34) / (0.04 * 0.4 * 0.6 * 5))
    assert heights[0] / heights[1] == pytest.approx(expected, rel=0.02)


def test_lemma_2_1_refuses_what_it_is_not_about(valleys, data):
    with pytest.raises(ds.errors.NotApplicable, match="needs fixed proportions"):
        ds.theory.lemma_2_1(valleys, ds.RR(0.04))
    with pytest.raises(ds.errors.NotApplicable, match=r"is about problems\.two_valleys"):
        ds.theory.lemma_2_1(ds.problems.linear_model(*data), ds.SGD(0.04))
