import itertools
import math

import matplotlib
import numpy as np
import pytest

import dynsim as ds
from dynsim.stability.escape import escape_times

METHODS = {"SGD": ds.SGD, "RR": ds.RR, "Balanced": lambda eta: ds.SGD(eta, ds.sampling.Balanced())}
SHARP, FLAT = 0.2, -1.0


def one_step(problem, method, x):
    """Where a step from x leads, and with what probabilities, term by term."""
    theta = np.array([x])
    scale = method.sampling.reweighting(problem, theta)
    p = method.sampling.probabilities(problem, theta)
    return x - method.step_size * scale * problem.term_gradients(theta)[:, 0], p


def staying_by_enumeration(problem, method, x, n_steps, low, high):
    """Probability of no state beyond the barriers, over all sequences of draws."""
    total = 0.0
    for drawn in itertools.product(range(problem.n_terms), repeat=n_steps):
        state, chance = x, 1.0
        for n in drawn:
            targets, p = one_step(problem, method, state)
            state, chance = round(targets[n], 12), chance * p[n]  # on the lattice, not beside it
            if not low <= state <= high:
                break
        else:
            total += chance
    return total


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("at", [SHARP, FLAT])
def test_survival_is_that_of_all_sequences_of_draws(valleys, name, at):
    barriers = (0.0, math.inf) if at > 0 else (-math.inf, 0.0)
    critical = ds.step_size_range(valleys, METHODS[name](1.0), at=[at]).max
    etas = critical * np.array([0.93, 1.07])
    x0 = at + math.copysign(0.01, at)  # beyond the minimum, from where a step to the barrier is long
    found = escape_times(valleys, METHODS[name](1.0), [at], step_sizes=etas, x0=x0)
    assert found.critical == pytest.approx(critical, rel=1e-12)
    for n_steps in (0, 1, 8):
        exact = [staying_by_enumeration(valleys, METHODS[name](e), x0, n_steps, *barriers) for e in etas]
        np.testing.assert_allclose(found.survival(n_steps), exact, rtol=1e-12)
    assert found.survival(8).min() < 1


@pytest.mark.parametrize(("name", "at", "share"), [("SGD", SHARP, 1.2), ("Balanced", SHARP, 1.2), ("SGD", FLAT, 0.8)])
def test_mean_times_are_those_of_simulated_chains(valleys, name, at, share):
    x0 = at - math.copysign(0.0037, at)
    eta = share * ds.step_size_range(valleys, METHODS[name](1.0), at=[at]).max
    found = escape_times(valleys, METHODS[name](1.0), [at], step_sizes=[eta], x0=x0)
    assert found.mean[0] < 300

    left = (lambda x: x[..., 0] < 0) if at > 0 else (lambda x: x[..., 0] > 0)
    method, n_steps = METHODS[name](eta), 20_000
    observe = ds.observers.FirstPassage(left)
    run = ds.iterate(
        valleys, method, x0, n_steps=n_steps, n_paths=5000, rng=3, save_every=None, observe={"left": observe}
    )
    times = run.observed["left"].time
    assert np.isfinite(times).all()
    error = times.std(ddof=1) / math.sqrt(times.size)
    assert abs(times.mean() - found.mean[0]) < 5 * error < 0.2 * found.mean[0]
    by = found.survival(100)[0]
    assert abs((times > 100).mean() - by) < 5 * math.sqrt(by * (1 - by) / times.size)
    # other step sizes are told from it
    other = escape_times(valleys, METHODS[name](1.0), [at], step_sizes=[1.5 * eta], x0=x0)
    assert abs(times.mean() - other.mean[0]) > 5 * error


def test_sgd_leaves_the_sharp_minimum_a_little_sooner_beyond_one_over_k_squared_but_never_holds_it(valleys):
    found = escape_times(valleys, ds.SGD(1.0), [SHARP], step_sizes=[0.02, 0.0396, 0.0404])
    below, near, beyond = found.log_mean / math.log(10)
    assert 22 < below < 23
    assert near - beyond == pytest.approx(0.4, abs=0.01)
    assert (np.diff(found.survival(10**5)) < 0).all()


def test_rr_loses_the_sharp_minimum_in_a_jump(valleys):
    """Its steps on both sides of 0.2 are of one length: how many lead to the barrier is all that matters."""
    critical = 1 / 15.2
    shares = np.array([0.6, 0.75, 0.99, 1.01, 1.5])
    found = escape_times(valleys, ds.RR(1.0), [SHARP], step_sizes=critical * shares)
    np.testing.assert_allclose(found.mean[:3], found.mean[0], rtol=1e-9)
    np.testing.assert_allclose(found.mean[3:], found.mean[3], rtol=1e-9)
    assert found.mean[0] / found.mean[3] > 50


def test_the_flat_minimum_is_left_at_once_by_rr_beyond_its_critical_step_size(valleys):
    found = escape_times(valleys, ds.RR(1.0), [FLAT], step_sizes=[1.01 / 0.46])
    assert found.mean[0] == pytest.approx(1.0, rel=1e-12)
    assert found.survival(1)[0] == 0.0


def test_times_above_all_floats_have_their_logarithm():
    problem = ds.problems.two_valleys(0.1, 0.02, 5.0)
    found = escape_times(problem, ds.SGD(1.0), [SHARP], step_sizes=[0.015])
    assert found.mean[0] == math.inf
    assert 308 < found.log_mean[0] / math.log(10) < 1e4


def hats():
    """Three valleys of one term, |x| bent: minima at −2, 0 and 2, barriers at −1 and 1."""

    def loss(theta, n, params):
        sign = 1.0 if n == 0 else -0.5
        x = abs(theta[0])
        return sign * x if x < 1.0 else sign + abs(x - 2.0) - 1.0

    def gradient(theta, n, params, out):
        sign = 1.0 if n == 0 else -0.5
        x = abs(theta[0])
        side = 1.0 if theta[0] > 0 else -1.0
        slope = sign if x < 1.0 else (1.0 if x >= 2.0 else -1.0)
        out[0] = side * slope

    return ds.Problem.from_terms(
        loss,
        gradient,
        n_terms=2,
        dim=1,
        minima=[[0.0], [-2.0], [2.0]],
        kinks=[-2.0, -1.0, 0.0, 1.0, 2.0],
        bounds=[[-3.0, 3.0]],
        check=False,
    )


def test_another_problem_has_the_barriers_of_its_landscape():
    problem = hats()
    found = escape_times(problem, ds.SGD(1.0), [0.0], step_sizes=[0.3, 0.7], x0=0.05)
    assert found.basin == (-1.0, 1.0)
    for n_steps in (1, 6):
        exact = [staying_by_enumeration(problem, ds.SGD(e), 0.05, n_steps, -1.0, 1.0) for e in (0.3, 0.7)]
        np.testing.assert_allclose(found.survival(n_steps), exact, rtol=1e-12)
    assert found.survival(6).min() < 1
    left = escape_times(problem, ds.SGD(1.0), [-2.0], step_sizes=[0.3])
    assert left.basin == (-math.inf, -1.0)


def test_the_picture_marks_the_critical_step_size(valleys):
    matplotlib.use("Agg")
    ax = escape_times(valleys, ds.SGD(1.0), [SHARP], step_sizes=[0.03, 0.04, 0.05]).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SGD", "SGD: one step may leave"]
    assert ax.lines[1].get_xdata()[0] == pytest.approx(0.04)


def test_what_has_no_answer_is_refused(valleys):
    wrong, refused = ds.errors.ArgumentError, ds.errors.NotApplicable
    calls = [
        (wrong, r"at must be one of the minima \[0.2, -1.0\], got 0.5", valleys, ds.SGD(1.0), {"at": [0.5]}),
        (wrong, "step_sizes must be positive and increasing", valleys, ds.SGD(1.0), {"step_sizes": [0.0]}),
        (wrong, r"x0 must lie in the basin \(0, inf\)", valleys, ds.SGD(1.0), {"x0": -0.5}),
        (wrong, "max_states must be a whole number", valleys, ds.SGD(1.0), {"max_states": 0}),
        (wrong, "method must be a method", valleys, 0.1, {}),
        (refused, "for problems of one variable", ds.problems.quadratic([1.0, 2.0]), ds.SGD(1.0), {}),
        (refused, "no barrier beside 0: no step", ds.problems.quadratic([1.0]), ds.SGD(1.0), {"at": [0.0]}),
        (refused, "methods without memory", valleys, ds.HeavyBall(1.0), {}),
        (ds.errors.NotALattice, "more than 20 states", valleys, ds.SGD(1.0), {"max_states": 20}),
    ]
    for error, message, problem, method, options in calls:
        with pytest.raises(error, match=message):
            escape_times(problem, method, **{"at": [SHARP], "step_sizes": [0.03]} | options)
