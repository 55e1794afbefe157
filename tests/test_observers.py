"""Observers against the stored paths: to the bit where the kernels see them again, to rounding where NumPy does."""

import dataclasses
import math

import numba
import numpy as np
import pytest
from scipy import stats

import dynsim as ds
from dynsim import observers
from dynsim.errors import ArgumentError, NotApplicable

EDGES = np.linspace(-1.5, 1.5, 31)


def left(x):
    return x[..., 0] < -0.6


def right(x):
    return x[..., 0] > 0.6


def counts_right(t, x, tally):
    if x[0] > 0.6 and t > 1.0:
        tally[0] += 1.0
    tally[1] = max(tally[1], x[0] * x[0])


OBSERVERS = {
    "moments": observers.Moments(burn_in=3),
    "extremes": observers.Extremes(every=7),
    "histogram": observers.Histogram(EDGES),
    "uneven": observers.Histogram([-3.0, -0.5, -0.45, 0.1, 2.0], burn_in=10, every=3),
    "average": observers.Average(right),
    "powers": observers.Average(lambda x: (x[..., 0], x[..., 0] ** 2, np.abs(x[..., 0]))),
    "batches": observers.BatchMeans(lambda x: x[..., 0]),
    "passage": observers.FirstPassage(right),
    "visits": observers.Visits({"left": left, "right": right}),
    "own": observers.Custom(counts_right, [0.0, 0.0]),
}


@pytest.fixture(scope="module")
def well():
    return ds.SDE(lambda t, x: 2.0 * (x[0] - x[0] ** 3), lambda t, x: 0.8)


@pytest.fixture(scope="module")
def run(well):
    return ds.integrate(well, 0.0, 60.0, dt=0.05, n_paths=50, rng=4, observe=OBSERVERS)


def arrays(found):
    """All arrays in a result."""
    if isinstance(found, np.ndarray):
        return [found]
    return [np.asarray(getattr(found, f.name)) for f in dataclasses.fields(found) if f.name not in {"names", "edges"}]


def same(one, other):
    return one.keys() == other.keys() and all(
        all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays(one[k]), arrays(other[k]), strict=True))
        for k in one
    )


def test_streamed_and_stored_statistics_are_the_same_to_the_bit(run):
    assert same(run.observed, run.observe(OBSERVERS))
    assert not same(run.observed, dataclasses.replace(run, x=run.x + 1e-12).observe(OBSERVERS))  # negative control


@pytest.mark.parametrize(("threads", "width", "chunk"), [(1, 50, None), (2, 8, 1), (2, 16, 13), (3, 7, 100)])
def test_observers_do_not_depend_on_threads_blocks_and_chunks(well, run, threads, width, chunk):
    layout = {"threads": threads, "block_width": width, "chunk_steps": chunk}
    again = ds.integrate(
        well, 0.0, 60.0, dt=0.05, n_paths=50, rng=4, save_every=None, observe=OBSERVERS, progress=False, **layout
    )
    assert same(run.observed, again.observed)


def test_moments_are_those_of_the_paths(run):
    x, found = run.x[:, 3:, 0], run.observed["moments"]
    assert found.n == x.shape[1] == 1198
    np.testing.assert_allclose(found.means[:, 0], x.mean(axis=1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.covs[:, 0, 0], x.var(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.mean, x.mean(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.cov, x.var(), rtol=1e-12)
    np.testing.assert_allclose(found.mean_stderr, x.mean(axis=1).std(ddof=1) / math.sqrt(50), rtol=1e-10)


def test_covariances_in_several_dimensions(data_run):
    x, found = data_run.x, data_run.observed["moments"]
    for i in range(3):
        np.testing.assert_allclose(found.covs[i], np.cov(x[i].T, bias=True), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found.cov, np.cov(x.reshape(-1, x.shape[2]).T, bias=True), rtol=1e-9, atol=1e-14)


def test_histograms_are_numpy_s(run):
    np.testing.assert_array_equal(run.observed["histogram"].counts, np.histogram(run.x[..., 0], EDGES)[0])
    uneven = run.observed["uneven"]
    np.testing.assert_array_equal(uneven.counts, np.histogram(run.x[:, 10::3, 0], uneven.edges[0])[0])
    assert run.observed["histogram"].outside == pytest.approx(1 - run.observed["histogram"].probability.sum())


def test_histograms_put_edges_where_numpy_does():
    """Values on edges, and on those next to them, in bins that floating point does not divide evenly."""
    edges = np.arange(-3, 8) * 0.1
    values = np.concatenate([edges, np.nextafter(edges, 9), np.nextafter(edges, -9), [np.nan, np.inf, -np.inf, 5.0]])
    stored = ds.Trajectories(values[None, :, None], np.arange(values.size), np.array([np.inf]), {})
    found = stored.observe(observers.Histogram(edges))["histogram"]
    np.testing.assert_array_equal(found.counts, np.histogram(values[np.isfinite(values)], edges)[0])
    assert found.counts.sum() + round(found.outside * values.size) == values.size


def test_averages_passages_and_own_tallies_are_numpy_s(run):
    x, found = run.x[..., 0], run.observed
    np.testing.assert_array_equal(found["average"].per_path[:, 0], (x > 0.6).mean(axis=1))
    np.testing.assert_allclose(
        found["powers"].value, [x.mean(), (x**2).mean(), np.abs(x).mean()], rtol=1e-12, atol=1e-14
    )
    inside = x > 0.6
    first = np.where(inside.any(axis=1), run.t[inside.argmax(axis=1)], np.inf)
    np.testing.assert_array_equal(found["passage"].time, first)
    np.testing.assert_array_equal(found["own"][:, 0], (inside & (run.t > 1.0)).sum(axis=1))
    np.testing.assert_array_equal(found["own"][:, 1], (x**2).max(axis=1))
    np.testing.assert_array_equal(found["extremes"].highs[:, 0], x[:, ::7].max(axis=1))
    assert found["extremes"].min == x[:, ::7].min()


@pytest.mark.parametrize("n_steps", [1, 127, 255, 256, 257, 511, 512, 1000, 1023, 1024, 3000])
def test_batch_means_are_means_of_batches(well, n_steps):
    run = ds.integrate(
        well, 0.0, 0.05 * n_steps, dt=0.05, n_paths=3, rng=1, observe=observers.BatchMeans(lambda x: x[0])
    )
    found = run.observed["batch_means"]
    n_batches = found.means.shape[1]
    assert n_batches == (n_steps + 1) // found.batch_size
    assert n_batches <= 256
    assert n_batches >= min(n_steps + 1, 128)
    x = run.x[:, : n_batches * found.batch_size, 0].reshape(3, n_batches, -1)
    np.testing.assert_allclose(found.means[..., 0], x.mean(axis=2), rtol=0, atol=1e-13)


def test_visits_count_transitions_between_basins_and_not_recrossings(run):
    labels = np.where(run.x[..., 0] < -0.6, 0, np.where(run.x[..., 0] > 0.6, 1, -1))
    found = run.observed["visits"]
    for i in range(50):
        visited = labels[i][labels[i] >= 0]
        moves = np.zeros((2, 2))
        np.add.at(moves, (visited[:-1], visited[1:]), 1.0)
        np.testing.assert_array_equal(found.moves[i], moves * (1 - np.eye(2)))
        np.testing.assert_array_equal(found.seen[i], [(labels[i] == 0).sum(), (labels[i] == 1).sum()])
        since = np.argmax(labels[i] >= 0)
        assert found.after[i].sum() == labels.shape[1] - since
    assert found.names == ("left", "right")
    np.testing.assert_allclose(found.rates * (0.05 * found.after.sum(axis=0))[:, None], found.transitions)


@pytest.mark.parametrize("n_paths", [500, 4])
def test_stderr_of_a_histogram_covers_the_stationary_law(n_paths):
    """OU from its own law: within standard errors whose size is right to a quarter, and outside for another σ."""
    dt, steps = 0.1, 200_000 // n_paths
    variance = 0.5 / (1 - dt / 2)  # of Euler–Maruyama for dX = −X dt + dW
    law = stats.norm(scale=math.sqrt(variance))
    edges = law.ppf(np.linspace(0.02, 0.98, 17))
    x0 = law.rvs(n_paths, random_state=1)[:, None]

    def scores(sigma, rng):
        ou = ds.SDE(lambda t, x: -x[0], lambda t, x, p: p[0], params=(sigma,))
        run = ds.integrate(
            ou, x0, dt * steps, dt=dt, n_paths=n_paths, rng=rng, save_every=None, observe=observers.Histogram(edges)
        )
        found = run.observed["histogram"]
        return (found.probability - 0.06) / found.stderr

    z = np.array([scores(1.0, rng) for rng in range(12)])
    assert np.abs(z).max() < 6  # of t with 31 degrees of freedom, 192 times
    assert abs(z.std() - 1) < 0.25
    assert np.abs(scores(1.1, 0)).max() > 6


def test_rates_are_those_of_a_known_jump_process(valleys):
    """Mean first-passage time of the chain, simulated, against the exact one."""
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)
    exact = chain.mean_hitting_time(lambda x: x[..., 0] < 0)
    passage = observers.FirstPassage(lambda x: x[..., 0] < 0)
    options = {"n_paths": 5000, "rng": 0, "save_every": None, "observe": passage}
    found = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=3000, **options).observed["first_passage"]
    assert found.fraction == 1
    assert abs(found.mean - exact) < 5 * found.stderr
    assert abs(
        ds.iterate(valleys, ds.SGD(0.042), 0.25, n_steps=3000, **options).observed["first_passage"].mean - exact
    ) > (5 * found.stderr)  # negative control: another step size


def test_passages_that_have_not_happened_are_censored():
    ou = ds.SDE(lambda t, x: 0.0, lambda t, x: 1.0)
    exponential = observers.FirstPassage(lambda x: x[..., 0] > 1e9)
    found = ds.integrate(ou, 0.0, 1.0, dt=0.1, n_paths=8, rng=0, observe=exponential).observed["first_passage"]
    assert found.fraction == 0
    with pytest.raises(NotApplicable, match="no path has arrived by 1"):
        _ = found.mean


@pytest.fixture
def data_run(data):
    return ds.iterate(
        ds.problems.linear_model(*data), ds.RR(0.05), 0.0, n_steps=200, n_paths=3, rng=1, observe=observers.Moments()
    )


def test_the_same_observers_serve_the_chain(data_run):
    assert same(data_run.observed, data_run.observe(observers.Moments()))
    edges = np.linspace(-2, 2, 9)
    found = data_run.observe(observers.Histogram2D((edges, edges), coordinates=(1, 0)))["histogram2d"]
    x = data_run.x.reshape(-1, data_run.dim)
    np.testing.assert_array_equal(found.counts, np.histogram2d(x[:, 1], x[:, 0], (edges, edges))[0])
    assert (found.density * 0.25).sum() == pytest.approx(1 - found.outside)


def test_paths_that_blow_up_are_left_out():
    sde = ds.SDE(lambda t, x: x[0] ** 3, lambda t, x: 0.1)
    x0 = np.array([[0.0], [9.0], [0.0], [0.0]])
    observe = [observers.Moments(), observers.Average(lambda x: x[..., 0]), observers.Extremes()]
    run = ds.integrate(sde, x0, 1.0, dt=0.01, n_paths=4, rng=0, observe=observe)
    assert run.n_diverged == 1
    x = np.delete(run.x[..., 0], 1, axis=0)
    assert run.observed["moments"].mean == pytest.approx(x.mean())
    assert run.observed["average"].value == pytest.approx(x.mean())
    assert run.observed["extremes"].max == x.max()


def test_refined_runs_are_observed_at_the_same_times(well):
    run = ds.integrate(well, 0.0, 5.0, dt=0.05, refine=4, n_paths=5, rng=4, observe=OBSERVERS)
    assert same(run.observed, run.observe(OBSERVERS))


def test_a_single_path_has_no_scatter_between_paths_but_batches_do(well):
    phi = [observers.Average(lambda x: x[0]), observers.BatchMeans(lambda x: x[0])]
    found = ds.integrate(well, 0.0, 500.0, dt=0.05, n_paths=1, rng=4, observe=phi).observed
    assert np.isnan(found["average"].stderr).all()
    assert 0.01 < found["batch_means"].stderr[0] < 1


def test_observers_before_their_burn_in_have_seen_nothing(well):
    found = ds.integrate(
        well, 0.0, 0.5, dt=0.05, n_paths=2, rng=4, observe=observers.Average(right, burn_in=100)
    ).observed
    assert found["average"].n == 0
    assert np.isnan(found["average"].value).all()


def test_a_stored_run_is_observed_at_the_steps_that_it_kept(well):
    run = ds.integrate(well, 0.0, 10.0, dt=0.05, n_paths=5, rng=4, save_every=10)
    kept = {"moments": observers.Moments(every=20, burn_in=10)}
    streamed = ds.integrate(well, 0.0, 10.0, dt=0.05, n_paths=5, rng=4, save_every=None, observe=kept)
    assert same(run.observe(kept), streamed.observed)
    with pytest.raises(ArgumentError, match=r"observe\['moments'\] wants to see step 1, which this run has not kept"):
        run.observe(observers.Moments())


def test_passages_count_though_the_path_blows_up_later():
    sde = ds.SDE(lambda t, x: x[0] ** 2 - x[0], lambda t, x: 0.5)
    observe = observers.FirstPassage(lambda x: x[..., 0] > 1.5)
    run = ds.integrate(sde, 0.0, 40.0, dt=0.01, n_paths=200, rng=0, observe=observe)
    arrived = (run.x[..., 0] > 1.5).any(axis=1)
    assert run.n_diverged > 50
    assert run.observed["first_passage"].fraction == arrived.mean()


def test_an_observer_sees_the_present_value_of_a_global(well):
    def share():
        run = ds.integrate(well, 0.0, 20.0, dt=0.05, n_paths=20, rng=1, observe=observers.Average(above))
        return run.observed["average"].value[0]

    space = {}
    exec("def above(x):\n    return x[..., 0] > level", space)
    above = space["above"]
    shares = []
    for space["level"] in (-9.0, 9.0):
        shares.append(share())
    assert shares == [1.0, 0.0]


def test_a_function_that_writes_to_the_state_is_refused(well):
    def spoil(x):
        if x[0] > 1e9:
            x[0] = 0.0
        return 1.0

    with pytest.raises(ArgumentError, match=r"function cannot be compiled: .*readonly"):
        ds.integrate(well, 0.0, 1.0, dt=0.1, observe=observers.Average(spoil))
    with pytest.raises(ArgumentError, match=r"drift cannot be compiled: .*readonly"):
        ds.SDE(lambda t, x: spoil_number(x), lambda t, x: 1.0)


@numba.njit
def spoil_number(x):
    if x[0] > 1e9:
        x[0] = 0.0
    return 1.0


def test_plots_are_drawn(run, data_run):
    edges = np.linspace(-2, 2, 9)
    assert run.observed["histogram"].plot().get_ylabel() == "density"
    assert data_run.observe(observers.Histogram2D((edges, edges)))["histogram2d"].plot().get_ylabel() == "θ[1]"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: observers.Histogram([1.0, 0.0]), "edges must be increasing"),
        (lambda: observers.Histogram(EDGES, coordinate=1), "coordinate must be between 0 and 0 for dim = 1, got 1"),
        (lambda: observers.Histogram2D((EDGES,)), "edges and coordinates must be pairs"),
        (lambda: observers.Moments(burn_in=-1), "burn_in must be a whole number, at least 0, got -1"),
        (lambda: observers.Moments(every=0), "every must be a whole number, at least 1, got 0"),
        (lambda: observers.Average(3), "function must be a function of x"),
        (lambda: observers.Average(lambda x: x[..., 5]), "function fails at x = 0.5: IndexError"),
        (lambda: observers.Average(lambda x: "a"), "function must return a number or a tuple of numbers"),
        (lambda: observers.Average(lambda x: 1 / 0), "function fails at x = .*: ZeroDivisionError"),
        (lambda: observers.Average(lambda x: float(str(x[0]))), "function cannot be compiled"),
        (lambda: observers.FirstPassage(lambda x: x < 0), "region must return a boolean for each point"),
        (lambda: observers.Visits([]), "basins must name at least one region"),
        (lambda: observers.Visits({"a": lambda x: 1.0}), r"basins\['a'\] must return a boolean"),
        (lambda: observers.Custom(lambda t, x: 1.0, [0.0]), "function fails at x = 0.5: TypeError"),
        (lambda: observers.Custom(counts_right, []), "start must be a sequence of numbers"),
        (lambda: [observers.Moments(), observers.Moments()], "two observers named 'moments'"),
        (lambda: 3, "observe must be an observer"),
        (lambda: {"a": 3}, r"observe\['a'\] must be an observer"),
    ],
)
def test_what_cannot_be_observed_is_refused_before_the_run(well, make, message):
    with pytest.raises(ArgumentError, match=message):
        ds.integrate(well, 0.0, 1.0, dt=0.1, observe=make())
