"""First passages, averages and extremes of L and ‖∇L‖ along a run, against the saved trajectories."""

import copy

import numpy as np
import pytest

import dynsim as ds
from dynsim.averages import Batches
from dynsim.errors import ArgumentError
from dynsim.observers import AverageOf, BatchMeans, ExtremesOf, FirstBelow


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


# L and ‖∇L‖ as what a run averages


def left(x):
    return x[..., 0] < 1


def norm(problem):
    return lambda x: np.linalg.norm(problem.gradient(x), axis=-1)


def close(streamed, stored):
    for name in ("value", "stderr", "cov", "tau", "r_hat"):
        expected = getattr(stored, name)
        np.testing.assert_allclose(getattr(streamed, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(streamed.value, stored.value, rtol=1e-12)


@pytest.fixture(scope="module")
def averaged(problem):
    return ds.iterate(problem, ds.SGD(0.05), 0.1, n_steps=2000, n_paths=16, rng=1, average=problem.loss)


def test_the_average_loss_of_a_run_is_that_of_the_stored_run(problem, averaged):
    close(averaged.average, ds.time_average(averaged, problem.loss))
    both = {"loss": AverageOf(problem), "norm": AverageOf(problem, "gradient-norm")}
    plain = {"loss": lambda x: problem.loss(x), "norm": norm(problem)}
    np.testing.assert_array_equal(ds.time_average(averaged, both).value, ds.time_average(averaged, plain).value)
    assert averaged.average.value.shape == ()
    np.testing.assert_allclose(averaged.averaged.value[0], problem.loss(averaged.x).mean(), rtol=1e-12)
    assert same_batches(averaged.observe(BatchMeans(problem.loss))["batch_means"], averaged.averaged)


def same_batches(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("means", "variances", "rest"))


def test_losses_gradient_norms_and_functions_are_averaged_together(problem):
    """Of two problems, whose parameters are of different lengths, with batches that begin late."""
    other = ds.problems.linear_model(problem.X[:5] + 1.0, problem.y[:5])
    phi = {"loss": problem.loss, "left": left, "norm": AverageOf(other, "gradient-norm"), "other": other.loss}
    observe = BatchMeans(phi, burn_in=4, every=3)
    run = ds.iterate(problem, ds.RR(0.05), 0.1, n_steps=2000, n_paths=5, rng=2, average=observe)
    x = run.x[:, 4::3]
    expected = np.stack([problem.loss(x), left(x), norm(other)(x), other.loss(x)], axis=-1)
    found, batches = run.averaged.batches(), Batches.of_series(expected)
    for name in ("means", "variances", "rest"):
        np.testing.assert_allclose(getattr(found, name), getattr(batches, name), rtol=1e-10, atol=1e-13, err_msg=name)
    np.testing.assert_allclose(run.averaged.value, expected.mean(axis=(0, 1)), rtol=1e-12)
    assert run.averaged.names == ("loss", "left", "norm", "other")
    assert np.diff(np.sort(run.averaged.value)).min() > 0.01  # so that none is taken for another


@pytest.mark.parametrize(
    "layout", [{"threads": 1}, {"threads": 2, "block_width": 3, "chunk_steps": 77}], ids=["1", "2"]
)
def test_average_losses_do_not_depend_on_the_layout(problem, averaged, layout):
    x0 = averaged.x[:, 0]
    again = ds.iterate(problem, ds.SGD(0.05), x0, n_steps=2000, n_paths=16, rng=1, average=problem.loss, **layout)
    assert same_batches(again.averaged, averaged.averaged)


def test_the_average_loss_of_an_sde_limit_is_that_of_its_stored_paths(problem):
    sde = ds.sde_limit(problem, ds.SGD(0.05))
    run = ds.integrate(sde, 0.1, 100.0, dt=0.05, n_paths=16, rng=0, average=problem.loss)
    close(run.average, ds.time_average(run, problem.loss))


def test_a_checkpoint_is_of_the_problem_whose_loss_is_averaged(problem, averaged, tmp_path):
    arguments = {"n_steps": 2000, "n_paths": 16, "rng": 1, "checkpoint": tmp_path / "run.npz"}
    first_run = ds.iterate(problem, ds.SGD(0.05), 0.1, average=problem.loss, **arguments)
    equal = ds.problems.linear_model(problem.X, problem.y, weights=np.arange(1.0, 13.0))
    again = ds.iterate(problem, ds.SGD(0.05), 0.1, average=equal.loss, **arguments)
    for run in (first_run, again):
        assert same_batches(run.averaged, averaged.averaged)
    other = ds.problems.linear_model(problem.X, problem.y + 1.0)
    for average in (other.loss, AverageOf(problem, "gradient-norm")):
        with pytest.raises(ArgumentError, match="another average"):
            ds.iterate(problem, ds.SGD(0.05), 0.1, average=average, **arguments)


def test_what_a_run_cannot_average_of_a_problem_is_refused(problem, valleys, averaged):
    class Doubled(type(problem)):
        def loss(self, theta):
            return 2.0 * super().loss(theta)

    doubled = copy.copy(problem)
    doubled.__class__ = Doubled
    calls = "function cannot be compiled, as it calls a problem: give problem.loss itself"
    of_its_own = "an AverageOf that stands for φ must leave burn_in and every to the average, .* got burn_in=0, every=3"
    for average, message in (
        (valleys.loss, "average must have the dim of the run, 3, but two_valleys.* has dim 1"),
        ({"a": valleys.loss}, r"average\['a'\] must have the dim of the run, 3, but"),
        (BatchMeans(AverageOf(valleys)), "function must have the dim of the run, 3, but"),
        (lambda x: problem.loss(x), calls),
        (problem.gradient, calls),
        (doubled.loss, calls),  # whose field is that of the loss it replaces
        (AverageOf(problem, every=3), of_its_own),
        (ExtremesOf(problem), "average must be a function of x .*, such as problem.loss, .* got ExtremesOf"),
    ):
        with pytest.raises(ArgumentError, match=message):
            ds.iterate(problem, ds.SGD(0.05), 0.1, n_steps=3, average=average)
    with pytest.raises(ArgumentError, match=of_its_own):
        ds.time_average(averaged, {"loss": AverageOf(problem, every=3)})
    with pytest.raises(ArgumentError, match=r"phi fails for x of shape \(16, 2001, 3\): .* must have shape \(..., 1\)"):
        ds.time_average(averaged, AverageOf(valleys))
