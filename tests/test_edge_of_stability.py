"""The study of Z Fig 6-5: its one-variable computations against closed forms, and that its verdicts can fail."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
import edge_of_stability as study

STEPS = dict(zip((0.025, 0.03, 0.033), (2.5, 3.0, 3.3), strict=True))


@pytest.fixture(scope="module")
def chaotic():
    return {claim.statement: claim for claim in study.chaos(n_steps=1800, n_cells=400)}


@pytest.mark.parametrize("eta", STEPS)
def test_cycles_are_cycles_of_the_reduced_map(eta):
    a = STEPS[eta]
    x, other = study.cycle(a)
    assert x - a * math.sin(x) == pytest.approx(other, abs=1e-12)
    assert other - a * math.sin(other) == pytest.approx(x, abs=1e-12)
    assert x != pytest.approx(other)


@pytest.mark.parametrize("eta", STEPS)
def test_every_attractor_has_the_losses_and_gradient_norms_that_it_should(eta):
    claims = study.cycles(eta, n_steps=400)
    assert len(claims) == 5 * (2 if eta < 0.0314 else 4)
    assert [claim.statement for claim in claims if not claim.holds] == []


def test_the_minimum_is_superstable_at_a_hundredth():
    assert all(claim.holds for claim in study.fixed_point())


def test_runs_and_the_measure_of_one_variable_agree_at_four_hundredths(chaotic):
    ours = [claim for claim in chaotic.values() if not claim.by_paper]
    assert len(ours) == 10
    assert [claim.statement for claim in ours if not claim.holds] == []
    assert all(claim.error < 0.02 * abs(claim.expected) for claim in ours)


def test_the_averages_are_those_found_once_with_a_long_run(chaotic):
    """5e7 steps of x → x − 4 sin x: E cos x = 0.182143, λ = 0.08245(2)."""
    loss = chaotic["η = 0.04, w 0 bands ahead: average loss"]
    assert abs(loss.measured + 18.2143) < 5 * loss.error < 0.1
    exponent = chaotic["η = 0.04: Lyapunov exponents"]
    assert abs(exponent.measured - 0.08245) < 5 * exponent.error < 0.01


def test_the_average_gradient_norm_depends_on_where_the_run_starts(chaotic):
    norms = [chaotic[f"η = 0.04, w {shift} bands ahead: average gradient norm"] for shift in range(4)]
    for i, one in enumerate(norms):
        assert all(abs(one.measured - other.measured) > 5 * math.hypot(one.error, other.error) for other in norms[:i])


def test_the_paper_is_wrong_about_periodic_iterates(chaotic):
    claims = [claim for claim in chaotic.values() if claim.by_paper]
    assert [claim.verdict for claim in claims] == ["FALSE, as printed"] * 2
    assert claims[0].measured > 20 * claims[0].error


def test_bands_are_disjoint_and_mapped_onto_one_another():
    intervals = study.bands()
    order = np.argsort(intervals[:, 0])
    assert (intervals[order][1:, 0] > intervals[order][:-1, 1]).all()
    for k, (low, high) in enumerate(intervals):
        x = np.linspace(low, high, 20_001)
        image = np.abs(x - 4 * np.sin(x))
        after = intervals[(k + 1) % len(intervals)]
        np.testing.assert_allclose([image.min(), image.max()], after, atol=1e-8)


def test_the_measure_of_the_bands_is_invariant():
    x, mass = study.band_measure(400)
    np.testing.assert_allclose(mass.sum(axis=1), 1)
    means = (mass * x).sum(axis=1)
    images = (mass * np.abs(x - 4 * np.sin(x))).sum(axis=1)
    widths = np.diff(study.bands(), axis=1)[:, 0]
    assert (np.abs(images - np.roll(means, -1)) < 0.01 * np.roll(widths, -1)).all()


@pytest.mark.parametrize(("measured", "verdict"), [(1.04, "agrees"), (1.06, "DISAGREES")])
def test_a_claim_holds_within_five_errors(measured, verdict):
    assert study.Claim("", 1.0, measured, 0.01).verdict == verdict


def test_the_study_is_drawn(tmp_path):
    study.draw(tmp_path / "figure.png", quick=True)
    assert (tmp_path / "figure.png").stat().st_size > 50_000
