import numpy as np
import pytest
from conftest import left_for_good
from scipy import stats

import dynsim as ds
from dynsim._ensemble import DIVERGED


@pytest.mark.parametrize(("scheme", "step_size"), [("SGD", 0.04), ("RR", 0.043), ("Balanced", 0.055)])
def test_leaving_the_global_minimum_agrees_with_the_exact_chain(valleys, schemes, scheme, step_size):
    """At these step sizes the event is not rare: 0.95, 0.86 and 0.26."""
    method = next(m for m in schemes(step_size) if m.name == scheme)
    run = ds.iterate(valleys, method, 0.25, n_steps=1000, n_paths=20_000, rng=1, save_every=None)
    p = ds.markov_chain(valleys, method, x0=0.25).distribution(1000).probability(left_for_good)
    assert 0.02 < p < 0.98
    fraction = left_for_good(run.x[:, -1]).mean()
    assert abs(fraction - p) < 4 * np.sqrt(p * (1 - p) / 20_000)
    wrong = ds.iterate(  # negative control: a step size wrong by 5 % is noticed
        valleys,
        type(method)(1.05 * step_size, method.sampling),
        0.25,
        n_steps=1000,
        n_paths=20_000,
        rng=1,
        save_every=None,
    )
    assert abs(left_for_good(wrong.x[:, -1]).mean() - p) > 5 * np.sqrt(p * (1 - p) / 20_000)


@pytest.mark.parametrize("n_terms", [5, 16, 17, 300])
@pytest.mark.parametrize("kind", ["equal", "uniform", "fixed", "by norm"])
def test_terms_are_drawn_with_their_probabilities(n_terms, kind):
    """One step from θ = 0 goes along x_n, all of which differ: a χ² test of the counts."""
    rng = np.random.default_rng(n_terms)
    angle = np.linspace(0, 3, n_terms)
    y = rng.random(n_terms) + 0.5
    problem = ds.problems.linear_model(
        np.column_stack([np.cos(angle), np.sin(angle)]),
        y,
        weights=None if kind == "equal" else rng.random(n_terms) + 0.2,
    )
    f = rng.random(n_terms) + 0.1
    scheme = {
        "equal": ds.sampling.Uniform(),
        "uniform": ds.sampling.Uniform(),
        "fixed": ds.sampling.Proportions(f / f.sum()),
        "by norm": ds.sampling.GradientNorm(),
    }[kind]
    n_paths = 100 * n_terms
    run = ds.iterate(problem, ds.SGD(0.01, scheme), 0.0, n_steps=1, n_paths=n_paths, rng=3)
    outcomes = -0.01 * scheme.reweighting(problem, [0.0, 0.0])[:, None] * problem.term_gradients([0.0, 0.0])
    distance = np.linalg.norm(run.x[:, -1, None] - outcomes, axis=-1)
    assert distance.min(axis=1).max() < 1e-15
    expected = scheme.probabilities(problem, [0.0, 0.0]) * n_paths
    counts = np.bincount(distance.argmin(axis=1), minlength=n_terms)
    assert stats.chisquare(counts, expected).pvalue > 1e-5
    wrong = expected * np.where(np.arange(n_terms) < n_terms // 2, 0.7, 1.3)  # negative control
    assert stats.chisquare(counts, wrong * n_paths / wrong.sum()).pvalue < 1e-5


@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_rr_draws_by_gradient_norm(data, loss):
    """In several dimensions a step tells its term by its direction."""
    problem = ds.problems.linear_model(*data, loss=loss)
    theta, n_paths = np.array([0.3, -0.2, 1.0]), 20_000
    run = ds.iterate(problem, ds.RR(0.1), theta, n_steps=1, n_paths=n_paths, rng=5)
    scheme = ds.sampling.GradientNorm()
    outcomes = theta - 0.1 * scheme.reweighting(problem, theta)[:, None] * problem.term_gradients(theta)
    distance = np.linalg.norm(run.x[:, -1, None] - outcomes, axis=-1)
    assert distance.min(axis=1).max() < 1e-14
    counts = np.bincount(distance.argmin(axis=1), minlength=problem.n_terms)
    p = scheme.probabilities(problem, theta)
    assert stats.chisquare(counts, n_paths * p).pvalue > 1e-5
    assert stats.chisquare(counts, np.full(problem.n_terms, n_paths / problem.n_terms)).pvalue < 1e-5


def test_gradient_descent_follows_from_one_term():
    problem = ds.problems.linear_model([[2.0]], [1.0])
    run = ds.iterate(problem, ds.SGD(0.1), 3.0, n_steps=20, rng=0)
    np.testing.assert_allclose(run.x[0, :, 0], 0.5 + 2.5 * 0.6 ** np.arange(21), rtol=1e-14)


@pytest.mark.parametrize("method", [ds.SGD(0.05), ds.RR(0.05)], ids=["SGD", "RR"])
def test_threads_blocks_and_chunks_change_no_bit(data, method):
    problem = ds.problems.linear_model(*data, loss="welsch")
    start = np.random.default_rng(0).normal(size=(300, 3))
    reference = ds.iterate(problem, method, start, n_steps=103, n_paths=300, rng=9, save_every=7)
    for threads in (1, 2, 3):
        for width in (8, 64, 256, 1):
            for chunk in (1, 2, 13, 1000):
                run = ds.iterate(
                    problem, method, start, n_steps=103, n_paths=300, rng=9, save_every=7,
                    threads=threads, block_width=width, chunk_steps=chunk,
                )  # fmt: skip
                assert (run.x == reference.x).all()


def test_a_path_does_not_depend_on_how_many_run_beside_it(valleys):
    many = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=100, rng=2).x
    few = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=3, rng=2).x
    assert (many[:3] == few).all()


def test_what_is_saved_is_every_so_many_th_state_and_both_ends(valleys):
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=20, n_paths=4, rng=2)
    assert run.x.shape == (4, 21, 1)
    for every, steps in ((7, [0, 7, 14, 20]), (5, [0, 5, 10, 15, 20]), (50, [0, 20]), (None, [0, 20])):
        thinned = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=20, n_paths=4, rng=2, save_every=every)
        assert thinned.t.tolist() == steps
        assert (thinned.x == run.x[:, steps]).all()


def test_rng_follows_spec_7(valleys):
    def last(rng):
        return ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=8, rng=rng).x[:, -1]

    assert (last(3) == last(np.random.SeedSequence(3))).all()
    assert (last(3) != last(4)).any()
    assert (last(None) != last(None)).any()
    generator = np.random.default_rng(3)
    first, second = last(generator), last(generator)
    assert (first != second).any()
    assert (first == last(np.random.default_rng(3))).all()


@pytest.mark.parametrize("rng", [None, 5, np.random.default_rng(5), np.random.SeedSequence(5).spawn(2)[1]])
def test_the_recorded_seed_repeats_the_run(valleys, rng):
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=8, rng=rng)
    again = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=50, n_paths=8, rng=run.settings["seed"])
    assert (run.x == again.x).all()


def test_divergence_is_reported_to_the_step_whatever_the_chunks():
    problem = ds.problems.linear_model([[1.0], [3.0]], [0.0, 0.0])
    runs = [
        ds.iterate(problem, ds.SGD(2.0), 1.0, n_steps=2000, n_paths=20, rng=0, chunk_steps=chunk)
        for chunk in (None, 1, 77)
    ]
    full = np.abs(runs[0].x[..., 0])
    expected = np.where(
        (full > DIVERGED).any(axis=1) | ~np.isfinite(full).all(axis=1), np.argmax(~(full <= DIVERGED), axis=1), np.inf
    )
    assert runs[0].n_diverged == 20
    for run in runs:
        np.testing.assert_array_equal(run.diverged, expected)
    fraction, stderr = runs[0].fraction(lambda theta: np.ones(theta.shape[:-1], dtype=bool))
    assert fraction[0] == 1
    assert fraction[-1] == 0
    assert np.isfinite(stderr).all()


def test_starts_broadcast(data):
    problem = ds.problems.linear_model(*data)
    for x0, expected in ((0.5, [0.5, 0.5, 0.5]), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])):
        run = ds.iterate(problem, ds.SGD(0.01), x0, n_steps=1, n_paths=2)
        assert (run.x[:, 0] == expected).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": np.nan}, "x0 must be finite"),
        ({"x0": [1.0, 2.0]}, r"x0 must be a scalar or have shape \(1,\) or \(3, 1\), got \(2,\)"),
        ({"x0": "left"}, "x0 must be an array of numbers"),
        ({"n_steps": 0}, "n_steps must be a whole number, at least 1, got 0"),
        ({"n_steps": 10.0}, "n_steps must be a whole number"),
        ({"n_paths": -1}, "n_paths must be a whole number"),
        ({"save_every": 0}, "save_every must be a whole number"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"rng": -1}, "rng must be a nonnegative int"),
        ({"rng": "seed"}, "rng must be an int, a SeedSequence, a Generator or None, got str"),
        ({"method": 0.04}, "method must be a method"),
        ({"problem": "two_valleys"}, "problem must be a problem"),
    ],
)
def test_iterate_refuses_bad_arguments(valleys, change, message):
    arguments = {"problem": valleys, "method": ds.SGD(0.04), "x0": 0.25, "n_steps": 10, "n_paths": 3, **change}
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.iterate(**arguments)


@pytest.mark.parametrize("step_size", [0.0, -0.1, np.nan, np.inf, "0.1", None, True])
def test_methods_refuse_step_sizes_that_are_not_positive(step_size):
    for make in (ds.SGD, ds.RR):
        with pytest.raises(ds.errors.ArgumentError, match="step_size must be a positive finite number, got"):
            make(step_size)


@pytest.mark.parametrize(
    "change",
    [{"n_steps": 10**11}, {"n_paths": 10**12}, {"n_steps": 10**30}, {"n_paths": 10**30}, {"save_every": 10**30}],
)
def test_numbers_beyond_all_bounds_are_refused_at_once(valleys, change):
    arguments = {"x0": 0.25, "n_steps": 10, "n_paths": 2, **change}
    with pytest.raises((ds.errors.TooLarge, ds.errors.ArgumentError), match=r"would take|must be at most"):
        ds.iterate(valleys, ds.SGD(0.04), **arguments)


def test_a_block_is_never_wider_than_the_paths(valleys):
    assert ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=3, block_width=10**9).x.shape == (1, 4, 1)


def test_a_result_too_large_for_memory_is_refused_with_its_size(valleys):
    with pytest.raises(ds.errors.TooLarge, match=r"would take 7450\.6 GiB .* save fewer of them with save_every"):
        ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=10**6, n_paths=10**6)
