"""First passages, averages and extremes of L and ‖∇L‖ along a run, against the saved trajectories."""

import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import ArgumentError
from dynsim.observers import AverageOf, ExtremesOf, FirstBelow


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(12, 3))
    y = X @ np.array([1.0, -0.5, 2.0]) + 0.3 * rng.normal(size=12)
    return ds.problems.linear_model(X, y, weights=np.arange(1.0, 13.0))


def values(problem, x, quantity):
    return problem.loss(x) if quantity == "loss" else np.linalg.norm(problem.gradient(x), axis=-1)


def first(below, steps):
    return np.where(below.any(axis=1), steps[below.argmax(axis=1)], np.inf)


@pytest.mark.parametrize("quantity", ["loss", "gradient-norm"])
def test_the_first_step_below_a_level_is_that_of_the_saved_path(problem, quantity):
    runs = {"n_steps": 120, "n_paths": 37, "rng": 1}
    x = ds.iterate(problem, ds.SGD(0.05), 0.0, **runs).x
    path = values(problem, x, quantity)
    level = float(np.quantile(path.min(axis=1), 0.6))  # not all get there
    observe = {
        "all": FirstBelow(problem, quantity, level),
        "some": FirstBelow(problem, quantity, level, burn_in=7, every=5),
        "never": FirstBelow(problem, quantity, -1.0),
        "at once": FirstBelow(problem, quantity, float(path.max())),
    }
    found = ds.iterate(problem, ds.SGD(0.05), 0.0, **runs, save_every=None, observe=observe).observed
    time = found["all"].time
    np.testing.assert_array_equal(time, first(path <= level, np.arange(121.0)))
    assert 0 < np.isfinite(time).sum() < 37
    assert np.unique(time).size > 10
    np.testing.assert_array_equal(found["some"].time, first(path[:, 7::5] <= level, np.arange(7.0, 121.0, 5)))
    assert np.isinf(found["never"].time).all()
    assert (found["at once"].time == 0).all()
    assert (found["never"].until == 120).all()


@pytest.mark.parametrize("quantity", ["loss", "gradient-norm"])
def test_averages_and_extremes_are_those_of_the_saved_path(problem, quantity):
    observe = {
        "mean": AverageOf(problem, quantity, burn_in=10, every=3),
        "ends": ExtremesOf(problem, quantity, burn_in=10, every=3),
    }
    run = ds.iterate(problem, ds.RR(0.05), 0.5, n_steps=100, n_paths=21, rng=2, observe=observe)
    path = values(problem, run.x[:, 10::3], quantity)
    np.testing.assert_allclose(run.observed["mean"].per_path[:, 0], path.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(run.observed["ends"].lows[:, 0], path.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(run.observed["ends"].highs[:, 0], path.max(axis=1), rtol=1e-12)
    again = run.observe(observe)
    np.testing.assert_array_equal(again["mean"].per_path, run.observed["mean"].per_path)


def test_gradient_descent_on_a_parabola_takes_as_many_steps_as_it_should():
    parabola = ds.problems.linear_model([[1.0]], [0.0])
    for eta in (0.1, 0.5, 0.9):
        observe = FirstBelow(parabola, "gradient-norm", 1e-6)
        run = ds.iterate(parabola, ds.SGD(eta), 1.0, n_steps=400, save_every=None, observe=observe)
        assert run.observed["first_below"].time[0] == np.ceil(np.log(1e-6) / np.log(1 - eta))  # (1 − η)^k ≤ ε


def test_two_problems_in_one_run_are_not_confused(problem):
    other = ds.problems.linear_model(problem.X + 1.0, problem.y)
    observe = {"own": AverageOf(problem), "other": AverageOf(other)}
    run = ds.iterate(problem, ds.SGD(0.01), 0.0, n_steps=30, n_paths=5, rng=0, observe=observe)
    for name, which in (("own", problem), ("other", other)):
        expected = which.loss(run.x).mean(axis=1)
        np.testing.assert_allclose(run.observed[name].per_path[:, 0], expected, rtol=1e-13)
    assert np.abs(run.observed["own"].value - run.observed["other"].value) > 0.1


def test_layout_and_threads_change_nothing(problem):
    observe = FirstBelow(problem, "loss", 1.0)
    times = [
        ds.iterate(problem, ds.SGD(0.05), 0.0, n_steps=50, n_paths=40, rng=0, observe=observe, **layout)
        .observed["first_below"]
        .time
        for layout in ({"threads": 1}, {"threads": 3, "block_width": 8}, {"chunk_steps": 7})
    ]
    np.testing.assert_array_equal(times[0], times[1])
    np.testing.assert_array_equal(times[0], times[2])


def test_a_path_that_blows_up_has_not_arrived(problem):
    run = ds.iterate(problem, ds.SGD(50.0), 1.0, n_steps=400, rng=0, observe=FirstBelow(problem, "loss", 1e-9))
    passage = run.observed["first_below"]
    assert run.n_diverged == 1
    assert np.isinf(passage.time).all()
    assert passage.until[0] == run.diverged[0]


def test_the_integral_of_an_sde_is_observed_at_its_times():
    parabola = ds.problems.linear_model([[1.0]], [0.0])
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 0.0)
    run = ds.integrate(sde, 1.0, 5.0, dt=0.01, observe=FirstBelow(parabola, "gradient-norm", 0.1))
    assert run.observed["first_below"].time[0] == pytest.approx(np.log(10), abs=0.03)  # e^{−t} = 0.1, Euler's error


def test_a_checkpoint_of_another_problem_is_not_continued(problem, tmp_path):
    other = ds.problems.linear_model(problem.X, problem.y + 1.0)
    arguments = {"n_steps": 20, "n_paths": 4, "rng": 0, "checkpoint": tmp_path / "run.npz"}
    ds.iterate(problem, ds.SGD(0.05), 0.0, observe=AverageOf(problem), **arguments)
    with pytest.raises(ArgumentError, match="observe"):
        ds.iterate(problem, ds.SGD(0.05), 0.0, observe=AverageOf(other), **arguments)


def test_what_cannot_be_observed_is_refused(problem, valleys):
    with pytest.raises(ArgumentError, match="problem must be a problem, got str"):
        AverageOf("loss")
    with pytest.raises(ArgumentError, match="quantity is not known: got 'gradient'; did you mean 'gradient-norm'"):
        AverageOf(problem, "gradient")
    with pytest.raises(ArgumentError, match="level must be a finite number, got nan"):
        FirstBelow(problem, "loss")
    with pytest.raises(ArgumentError, match="burn_in must be a whole number"):
        FirstBelow(problem, "loss", 0.1, burn_in=-1)
    with pytest.raises(ArgumentError, match="problem must have the dim of the run, 1, but"):
        ds.iterate(valleys, ds.SGD(0.04), 0.0, n_steps=3, observe=AverageOf(problem))
