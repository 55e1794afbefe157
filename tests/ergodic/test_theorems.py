"""Z §6.4 in exact arithmetic and along orbits that are known."""

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp

import dynsim as ds
from dynsim.theory import invariance_defect, lemma_6_4_2, theorem_6_4_3, theorem_6_4_4, theorem_6_4_6


def logistic(x):
    return 4 * x * (1 - x)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 99])
def test_the_printed_cycle_has_period_n_plus_1_and_increments_of_order_n_to_minus_2(n):
    found = lemma_6_4_2(n)
    assert found.period == n + 1
    assert found.orbit == tuple(-1 + (k + Fraction(1, 5)) / (n + 1) for k in range(1, n + 2))
    assert found.limsup == (Fraction(4, 5) * n - Fraction(1, 5)) / (n * (n + 1) ** 2)
    assert not found.printed_holds
    assert found.printed == Fraction(1, 2 * n)


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("example", ["printed", "half-turn"])
def test_increments_are_those_of_averages_added_up_along_the_cycle(n, example):
    found = lemma_6_4_2(n, example=example)
    slopes = [Fraction(float(s)).limit_denominator(1000) for s in found.problem.params.reshape(-1, 2)[:, 0]]
    path = [theta for _ in range(n + 3) for theta in found.orbit]
    f = [max(s * theta for s in slopes) for theta in path]
    m = [sum(f[t : t + n]) / Fraction(n) for t in range(found.period + 1)]
    assert tuple(np.diff(m)) == found.increments


@pytest.mark.parametrize("n", [1, 4, 9, 30, 101])
def test_half_a_turn_makes_the_lemma_true(n):
    found = lemma_6_4_2(n, example="half-turn")
    assert found.limsup >= Fraction(1, 8 * n)
    assert found.period == (2 if n % 2 else 2 * n)


def test_gradient_descent_runs_through_the_cycle():
    found = lemma_6_4_2(6)
    run = ds.iterate(found.problem, ds.SGD(1.0), float(found.orbit[-1]), n_steps=21)
    np.testing.assert_allclose(run.x[0, 1:, 0], [float(x) for x in found.orbit] * 3, atol=1e-12)


def test_the_average_of_theorem_6_4_3_comes_back_to_both_limits():
    run = theorem_6_4_3(2**17)
    ends = 2 ** np.arange(8, 18) - 3  # the ends of blocks
    half, zero = run.average[ends[::2]], run.average[ends[1::2]]
    np.testing.assert_allclose(half, 0.5, atol=20 / ends[0])
    np.testing.assert_allclose(zero, 0.0, atol=20 / ends[0])
    assert (np.abs(half - 0.5)[-1], np.abs(zero)[-1]) < (1e-3, 1e-3)
    assert run.average[2**12 :].min() > -0.01
    assert run.average[2**12 :].max() < 0.51


def test_its_orbit_is_that_of_the_doubling_map_on_the_digits_written_out():
    digits = "00" + "0101" + "0" * 8 + "01" * 8 + "0" * 40
    theta, total, expected = Fraction(int(digits, 2), 2 ** len(digits)), 0.0, []
    for _ in range(12):
        total += np.cos(2 * np.pi * float(theta))
        expected.append(total / (len(expected) + 1))
        theta = 2 * theta % 1
    np.testing.assert_allclose(theorem_6_4_3(12).average, expected, atol=1e-4)


def test_the_defect_of_an_orbit_is_the_distance_of_its_ends_over_n():
    run = theorem_6_4_4(logistic, [0.3], n_steps=2048)
    gaps = np.abs(run.orbit[run.n, 0] - run.orbit[0, 0]) / run.n
    np.testing.assert_allclose(run.defect, gaps, rtol=1e-6, atol=1e-13)
    assert (run.defect <= run.bound).all()
    assert invariance_defect(logistic, run.orbit[:500]) == pytest.approx(abs(run.orbit[500, 0] - 0.3) / 500, rel=1e-9)


def test_a_measure_that_is_not_invariant_has_a_defect():
    """Uniform points under x/2: W1 is 1/4. Those of the arcsine law do not change under the logistic map."""
    u = (np.arange(4000) + 0.5)[:, None] / 4000
    assert invariance_defect(lambda x: x / 2, u) == pytest.approx(0.25, rel=1e-6)
    assert invariance_defect(logistic, u) > 0.1
    assert invariance_defect(logistic, np.sin(np.pi * u / 2) ** 2) < 1e-3


def test_empirical_measures_of_the_logistic_map_converge_to_the_arcsine_law():
    run = theorem_6_4_4(logistic, [0.3], n_steps=2**14)
    x = np.sort(run.orbit[: 2**14, 0])
    exact = np.sin(np.pi * (np.arange(2**14) + 0.5) / 2**15) ** 2
    assert np.abs(x - exact).mean() < 0.01
    assert run.change[-3:].max() < 0.25 * run.change[:3].max()


def test_on_the_torus_the_chaotic_orbit_of_the_egg_carton_becomes_invariant():
    gradient = ds.problems.egg_carton().gradient
    run = theorem_6_4_4(lambda x: np.mod(x - 0.04 * gradient(x), 2 * np.pi), [1.0, -0.4], n_steps=4096)
    assert (run.defect <= run.bound).all()
    assert run.change[-1] < 0.5 * run.change[0]


def test_sgd_with_weight_decay_stays_in_the_ball_of_theorem_6_4_6_and_dies_out():
    ball = theorem_6_4_6(0.01, 4, n_classes=10)
    assert 2**0.5 * ball.largest**3 == pytest.approx(0.01 * ball.largest, rel=1e-12)
    assert ball.norm_after(10_000, ball.largest, 1.0) == pytest.approx(ball.largest, rel=1e-9)
    assert ball.norm_after(3000, 0.99 * ball.largest, 1.0) < 1e-6 * ball.largest
    r = 0.5 * ball.largest
    by_hand = (1 - 0.3 * 0.01) * r + 0.3 * 2**0.5 * r**3
    assert ball.norm_after(1, r, 0.3) == pytest.approx(by_hand, rel=1e-12)
    assert ball.loss_bound - np.log(10) == pytest.approx(2**0.5 * (ball.printed_loss_bound - np.log(10)), rel=1e-6)


def test_the_ball_of_a_very_deep_network_is_that_of_exact_arithmetic():
    for slope in (0.5, 2.0):
        ball = theorem_6_4_6(1e-4, 2000, n_classes=10, activation_slope=slope)
        with mp.workdps(30):
            w = (mp.mpf(1e-4) / (mp.sqrt(2) * mp.mpf(slope) ** 2000)) ** (mp.mpf(1) / 1998)
            loss = mp.log(10) + mp.sqrt(2) * (slope * w) ** 2000
        assert ball.largest == pytest.approx(float(w), rel=1e-12)
        assert ball.loss_bound == pytest.approx(float(loss), rel=1e-12)


def test_what_would_take_hours_is_refused():
    with pytest.raises(ds.errors.TooLarge, match="n must be at most"):
        lemma_6_4_2(10**8)
    ball = theorem_6_4_6(0.01, 3, n_classes=10)
    with pytest.raises(ds.errors.TooLarge, match="n_steps must be at most"):
        ball.norm_after(10**9, 0.5 * ball.largest, 0.1)


def test_an_orbit_may_start_at_a_number():
    run = theorem_6_4_4(logistic, 0.3, n_steps=64)
    np.testing.assert_array_equal(run.orbit, theorem_6_4_4(logistic, [0.3], n_steps=64).orbit)


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ds.errors.NotApplicable, match="at least 3 layers"):
        theorem_6_4_6(0.01, 2, n_classes=10)
    ball = theorem_6_4_6(0.01, 3, n_classes=10)
    for call, reason in [
        (lambda: ball.norm_after(1, 2 * ball.largest, 0.1), "norm must be at most"),
        (lambda: ball.norm_after(1, ball.largest, 101.0), "step_size must be at most"),
        (lambda: lemma_6_4_2(0), "at least 1"),
        (lambda: lemma_6_4_2(3, example="other"), "example is not known"),
        (lambda: invariance_defect(3, [[0.0]]), "must be a function"),
        (lambda: invariance_defect(lambda x: x[:, 0], [[0.0]]), "values of the shape"),
        (lambda: invariance_defect(logistic, [0.0]), "2 axes"),
        (lambda: theorem_6_4_4(logistic, [0.3], n_steps=10), "at least 2 first"),
        (lambda: theorem_6_4_4(lambda x: x / 0 * np.nan, [0.3]), "finite values"),
        (lambda: theorem_6_4_4(lambda x: x**2, [3.0]), "finite values, but step 10 leads from"),
        (lambda: invariance_defect(np.log, [[1.0], [0.0]]), "first that of point number 1"),
        (lambda: invariance_defect(lambda x: x[9], [[1.0]]), "function fails for x of shape"),
        (lambda: theorem_6_4_6(0.01, 3, n_classes=10, activation_slope=1e-200), "which no float holds"),
    ]:
        with pytest.raises(ds.errors.ArgumentError, match=reason), np.errstate(all="ignore"):
            call()


def test_weak_convergence_draws_itself():
    import matplotlib as mpl

    mpl.use("Agg")
    assert len(theorem_6_4_4(logistic, [0.3], n_steps=64).plot().get_lines()) == 3
