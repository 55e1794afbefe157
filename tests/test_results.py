import dataclasses

import matplotlib as mpl
import numpy as np
import pytest

import dynsim as ds

mpl.use("agg")


@pytest.fixture
def results(valleys):
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=5, rng=0)
    rho = ds.stationary_density(ds.sde_limit(valleys, ds.SGD(0.04)), (-2, 1), 300)
    law = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25).stationary()
    span = ds.step_size_range(valleys, ds.SGD(0.04), at=[0.2])
    return run, rho, law, span


def test_results_plot_themselves_and_into_given_axes(results):
    import matplotlib.pyplot as plt

    for result in results:
        ax = plt.subplots()[1]
        assert result.plot(ax) is ax
        assert result.plot().get_xlabel()
    plt.close("all")


def test_results_become_labeled_arrays(results):
    run, rho, law, span = results
    assert run.to_xarray().sizes == {"path": 5, "t": 51, "coordinate": 1}
    assert float(rho.to_xarray().sum()) == pytest.approx(1)
    assert law.to_xarray().theta.size == 360
    assert span.to_xarray().sel(bound="lower") == 0.04


def test_results_are_frozen_and_speak_for_themselves(results):
    for result in results:
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.settings = {}
    assert repr(results[0]) == "Trajectories(5 paths, 51 saved, dim 1, t to 50)"
    assert "300 cells, residual" in repr(results[1])
    assert "360 states" in repr(results[2])


def test_moments_of_a_density_are_those_of_its_masses(results):
    _, rho, law, _ = results
    for density in (rho, law):
        assert density.mass.sum() == pytest.approx(1, rel=1e-13)
        samples = np.random.default_rng(0).choice(density.x[:, 0], p=density.mass / density.mass.sum(), size=100_000)
        stderr = samples.std() / np.sqrt(samples.size)
        assert abs(samples.mean() - density.mean[0]) < 5 * stderr
        assert density.cov[0, 0] == pytest.approx(samples.var(), rel=0.05)


def test_log_probability_of_an_empty_region_is_minus_infinity(results):
    nowhere = lambda theta: theta[..., 0] > 50  # noqa: E731
    for density in results[1:3]:
        assert density.log_probability(nowhere) == -np.inf
        assert density.probability(nowhere) == 0


def test_bins_share_out_all_mass(results):
    _, rho, law, _ = results
    edges = np.linspace(-2, 1, 38)
    assert rho.on_bins(edges).sum() == pytest.approx(1)
    assert law.on_bins(edges).sum() == pytest.approx(1)
    half = rho.on_bins([-1.0, -0.995, -0.99])
    assert half[0] == pytest.approx(half[1], rel=1e-12)  # one cell, cut in the middle
    with pytest.raises(ds.errors.ArgumentError, match="edges must be increasing"):
        rho.on_bins([1.0, 0.0])


def test_a_measure_on_states_has_no_density(results):
    with pytest.raises(ds.errors.NotApplicable, match="is a measure on states, it has no density"):
        results[2]([0.0])


def test_fraction_has_an_honest_standard_error(valleys):
    """Coverage of ± 2 standard errors over 400 small ensembles, where the probability is 0.5 and where it is 0.02."""
    p = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25).occupation(lambda t: t[..., 0] > 0, 400)
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=400, n_paths=400 * 60, rng=3)
    for step in (24, 200, 22):
        inside = (run.x[:, step, 0] > 0).reshape(400, 60)
        covered = 0
        for group in inside:
            part = ds.Trajectories(np.where(group, 1.0, -1.0)[:, None, None], np.array([0]), np.full(60, np.inf), {})
            fraction, stderr = part.fraction(lambda t: t[..., 0] > 0)
            covered += abs(fraction[0] - p[step]) < 2 * stderr[0]
        assert covered / 400 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)
