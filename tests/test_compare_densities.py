"""compare_densities: closed forms, errors of grids, and floors of runs that hold for the true law and only for it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.grid import Grid
from dynsim.observed import Counts
from dynsim.results import Density, Trajectories

_DISTANCES = ("total_variation", "kullback_leibler", "reverse_kullback_leibler", "wasserstein")
_EDGES = np.linspace(-3.0, 3.0, 61)


def gaussian(sigma=1.0, n_cells=600, bound=7.0, *, mean=0.0, coarser=True):
    grid = Grid.make((-bound, bound), n_cells, dim=1)
    mass = np.diff(norm.cdf(grid.edges[0], mean, sigma))
    below = gaussian(sigma, n_cells // 2, bound, mean=mean, coarser=False) if coarser else None
    return Density(
        grid.x, np.log(mass / mass.sum()), grid, 0.0, 0.0, 1e-6, f"N({mean:g}, {sigma:g}²)", {}, coarser=below
    )


def gaussian_2d(mean, n_cells=60):
    grid = Grid.make((-6.0, 6.0), n_cells, dim=2)
    parts = [np.diff(norm.cdf(e, m)) for e, m in zip(grid.edges, mean, strict=True)]
    return Density(grid.x, np.log(np.outer(*parts).ravel()), grid, 0.0, 0.0, 0.0, f"around {mean}", {})


def counts_of(samples, edges=_EDGES, n_groups=32):
    """A histogram as an observer makes it of independent samples (n,) or (n, 2)."""
    samples = samples.reshape(n_groups, -1) if samples.ndim == 1 else samples.reshape(n_groups, -1, samples.shape[1])
    edges = (edges,) if samples.ndim == 2 else (edges, edges)
    tally = [np.histogramdd(part, bins=edges)[0].ravel() for part in samples]
    groups = np.stack([np.append(t, samples.shape[1] - t.sum()) for t in tally])
    return Counts(samples.shape[1], edges, groups, 0)


def distances(pair):
    return [getattr(pair, name) for name in _DISTANCES]


def test_two_normals_have_the_distances_of_the_closed_forms():
    pair = ds.compare_densities(gaussian(), gaussian(mean=0.5)).pairs["N(0, 1²)", "N(0.5, 1²)"]
    exact = [2 * norm.cdf(0.25) - 1, 0.125, 0.125, 0.5]
    assert [d.value for d in distances(pair)] == pytest.approx(exact, rel=1e-4)
    assert pair.where == "on 600 cells, 0.0233 wide"
    for d, value in zip(distances(pair), exact, strict=True):
        assert abs(d.value - value) <= d.error + 1e-9  # the error bounds the error; 1e-9 is beyond the box
        assert d.error < 1e-3
        assert d.floor == d.floor_spread == 0.0


def test_the_error_is_the_change_from_half_as_many_cells():
    a, b = gaussian(n_cells=40), gaussian(mean=0.5, n_cells=40)
    fine, coarse = ds.compare_densities({"a": a, "b": b}), ds.compare_densities({"a": a.coarser, "b": b.coarser})
    for d, e in zip(distances(fine["a", "b"]), distances(coarse["a", "b"]), strict=True):
        assert d.error == pytest.approx(abs(d.value - e.value), abs=1e-14)
    assert np.isnan(distances(coarse["a", "b"])[0].error)
    assert "not known" in coarse.notes[-1]


@pytest.fixture(scope="module")
def repetitions():
    """Pairs of a law with 60 independent histograms of it."""
    rng = np.random.default_rng(0)
    runs = {f"run {k}": counts_of(rng.normal(size=32 * 400)) for k in range(60)}
    return ds.compare_densities({"law": gaussian(), **runs}, reference="law")


def test_a_histogram_of_the_law_itself_never_differs(repetitions):
    assert len(repetitions.pairs) == 60
    assert not any(d.differs for pair in repetitions.pairs.values() for d in distances(pair))


def test_the_floor_is_the_mean_distance_of_runs_from_their_own_law(repetitions):
    for name in _DISTANCES:
        found = [getattr(pair, name) for pair in repetitions.pairs.values()]
        values, floors = np.array([d.value for d in found]), np.array([d.floor for d in found])
        # the groups know standard errors to 1/√62 each, which is in the scatter of the floors
        stderr = np.sqrt((values.var(ddof=1) + floors.var(ddof=1)) / 60)
        assert abs(values.mean() - floors.mean()) < 5 * stderr + 0.03 * values.mean(), (
            name
        )  # 0.8 %: normal for binomial


def test_the_spread_is_the_scatter_of_these_distances(repetitions):
    for name in _DISTANCES:
        found = [getattr(pair, name) for pair in repetitions.pairs.values()]
        ratio = np.std([d.value for d in found], ddof=1) / np.mean([d.floor_spread for d in found])
        assert 1 - 5 / np.sqrt(118) < ratio < 1 + 5 / np.sqrt(118), name


def test_the_floor_of_the_total_variation_is_half_the_sum_of_the_mean_moduli():
    counts = counts_of(np.random.default_rng(1).uniform(-1.0, 1.0, 32 * 2000), np.linspace(-1, 1, 21))
    law = gaussian(5.0, 1000, 30.0)
    floor = ds.compare_densities({"run": counts, "law": law})["run", "law"].total_variation.floor
    exact = 0.5 * np.sqrt(2 / np.pi) * counts.stderr.sum()
    # 200 draws of 20 bins: each |z| has standard deviation 0.76 of its mean
    assert floor == pytest.approx(exact, rel=5 * 0.76 / np.sqrt(200 * 20) * 1.1)


def test_a_law_with_a_deviation_five_percent_off_differs():
    counts = counts_of(np.random.default_rng(2).normal(size=32 * 6000))
    found = ds.compare_densities({"right": gaussian(), "wrong": gaussian(1.05), "run": counts}, reference="run")
    assert all(d.differs for d in distances(found["wrong", "run"]))
    assert not any(d.differs for d in distances(found["right", "run"]))


def test_two_runs_have_a_floor_that_is_root_two_higher():
    rng = np.random.default_rng(3)
    one, other = counts_of(rng.normal(size=32 * 2000)), counts_of(rng.normal(size=32 * 2000))
    found = ds.compare_densities({"law": gaussian(), "one": one, "other": other})
    both, alone = found["one", "other"].total_variation, found["law", "one"].total_variation
    assert both.floor == pytest.approx(np.sqrt(2) * alone.floor, rel=0.1)
    assert not both.differs


@pytest.mark.parametrize("shape", [(6400,), (6400, 1), (64, 100, 1), (4, 1600, 1)])
def test_samples_of_every_shape_agree_with_their_law_and_with_no_other(shape):
    x = np.random.default_rng(4).normal(size=shape)
    found = ds.compare_densities({"x": x, "law": gaussian(), "other": gaussian(1.3)}, reference="x")
    assert not any(d.differs for d in distances(found["x", "law"]))
    assert all(d.differs for d in distances(found["x", "other"]))


def test_paths_that_stand_still_count_as_one_sample_each():
    x = np.repeat(np.random.default_rng(5).normal(size=(320, 1, 1)), 50, axis=1)
    still = ds.compare_densities({"x": x, "law": gaussian()})["x", "law"]
    independent = ds.compare_densities({"x": x.reshape(-1, 1)[::50], "law": gaussian()})["x", "law"]
    assert not still.wasserstein.differs
    assert still.wasserstein.floor == pytest.approx(independent.wasserstein.floor, rel=0.1)


def test_two_dimensions():
    x = np.random.default_rng(6).normal(size=(32 * 400, 2))
    found = ds.compare_densities(
        {
            "law": gaussian_2d((0, 0)),
            "moved": gaussian_2d((0.5, 0)),
            "x": x,
            "counts": counts_of(x, np.linspace(-4, 4, 33)),
        }
    )
    # the histogram's bins go to 4: 1e-4 of the mass is beyond
    assert found["law", "moved"].wasserstein.value == pytest.approx(0.5 * 2 / np.pi, rel=1e-3)
    for run in ("x", "counts"):
        assert not any(d.differs for d in distances(found["law", run])), run
        assert all(d.differs for d in distances(found["moved", run])), run


def test_the_states_of_a_chain_are_matched_with_the_samples_of_its_runs():
    problem, method = ds.problems.two_valleys(), ds.SGD(step_size=0.04)
    law = ds.markov_chain(problem, method, x0=0.25).distribution(30)
    run = ds.iterate(problem, method, 0.25, n_steps=30, n_paths=4000, rng=0, save_every=None)
    wrong = ds.iterate(problem, ds.RR(step_size=0.04), 0.25, n_steps=30, n_paths=4000, rng=0, save_every=None)
    found = ds.compare_densities({"law": law, "run": run, "RR": wrong}, reference="law", burn_in=30)
    pair = found["law", "run"]
    assert "states" in pair.where
    assert pair.widths == ()
    assert not any(d.differs for d in distances(pair))
    assert found["law", "RR"].total_variation.differs


def test_a_measure_on_states_is_compared_with_a_density_on_stated_bins():
    x = np.linspace(-3.0, 3.0, 201)
    mass = norm.pdf(x) / norm.pdf(x).sum()
    lattice = Density(x[:, None], np.log(mass), None, 0.0, 0.0, 0.0, "lattice", {})
    found = ds.compare_densities({"lattice": lattice, "law": gaussian()})
    pair = found["law", "lattice"]
    assert pair.widths[0] == pytest.approx(14 / 600 * 8)  # 8 cells, the fewest ≥ 4 states of 0.03
    assert pair.total_variation.value < 0.2
    assert pair.kullback_leibler.value == np.inf
    assert any("at the scale of the bins" in note for note in found.notes)
    assert any("inf where" in note for note in found.notes)
    on_fine = ds.compare_densities({"lattice": lattice, "law": gaussian()}, bins=np.linspace(-4, 4, 4001))
    assert on_fine["law", "lattice"].total_variation.value > 0.9


def test_a_pair_can_be_read_in_either_order():
    found = ds.compare_densities({"a": gaussian(), "b": gaussian(1.3)})
    there, back = found["a", "b"], found["b", "a"]
    assert there.kullback_leibler == back.reverse_kullback_leibler != back.kullback_leibler
    assert there.wasserstein == back.wasserstein
    with pytest.raises(KeyError, match="no pair"):
        _ = found["a", "c"]


def test_an_array_of_all_distances():
    arrays = ds.compare_densities({"a": gaussian(), "b": gaussian(1.3), "c": gaussian(mean=1.0)}).to_xarray()
    assert arrays.wasserstein.sel(a="c", b="a") == pytest.approx(1.0, abs=1e-6)
    kl = arrays.kullback_leibler.sel(a="a", b="b")
    assert kl == pytest.approx(np.log(1.3) + 1 / (2 * 1.69) - 0.5, rel=1e-4)
    assert float(arrays.total_variation.sel(a="b", b="b")) == 0.0


def test_equal_measures_agree_and_the_table_says_so():
    found = ds.compare_densities(gaussian(), gaussian())
    assert found.names == ("N(0, 1²)", "N(0, 1²) (2)")
    assert "agree" in found.table()
    assert "differ" not in found.table().split("\n\n")[0]


def test_paths_that_diverged_are_left_out_and_counted():
    x = np.random.default_rng(7).normal(size=(500, 2, 1))
    diverged = np.full(500, np.inf)
    x[:3, 1], diverged[:3] = np.nan, 1
    run = Trajectories(x, np.array([0, 1]), diverged, {})
    found = ds.compare_densities({"run": run, "law": gaussian()})
    assert found.notes == ("run: 3 paths of 500 diverged and were left out",)
    assert not found["run", "law"].wasserstein.differs
    with pytest.raises(ArgumentError, match="all 500 paths have"):
        ds.compare_densities(gaussian(), Trajectories(x * np.nan, run.t, np.zeros(500), {}))


def test_samples_that_are_all_at_one_point_have_no_noise():
    pair = ds.compare_densities({"a": np.zeros(5), "b": np.ones(4)})["a", "b"]
    assert pair.wasserstein.value == pytest.approx(1.0)
    assert pair.wasserstein.floor == 0.0
    assert pair.total_variation.value == 1.0


def test_one_sample_has_an_unknown_floor():
    pair = ds.compare_densities({"a": np.zeros(1), "law": gaussian()})["a", "law"]
    assert pair.wasserstein.value == pytest.approx(np.sqrt(2 / np.pi), rel=1e-4)
    assert np.isnan(pair.wasserstein.floor)


def test_what_lies_in_no_bin_is_one_bin_more():
    counts = counts_of(np.random.default_rng(8).normal(size=32 * 2000), np.linspace(-1.0, 1.0, 21))
    found = ds.compare_densities({"run": counts, "law": gaussian()})
    assert not any(d.differs for d in distances(found["run", "law"]))
    assert "lies in no bin" in found.notes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((gaussian(),), "two or more"),
        ((gaussian(), gaussian_2d((0, 0))), r"same dimension, got .*: 1, .*: 2"),
        ((gaussian(), [1.0, np.nan]), "samples must be finite, but 1 entries are not"),
        ((gaussian(), Counts(0, (_EDGES,), np.zeros((32, 61)), 0)), "this histogram is empty"),
        ((gaussian(), "run"), "must be a Density, a histogram"),
        ((gaussian(), np.zeros((2, 2, 2, 2))), r"got shape \(2, 2, 2, 2\)"),
        ((gaussian(), ds.markov_chain(ds.problems.two_valleys(), ds.SGD(0.04), x0=0.25)), r"pass its .stationary\(\)"),
    ],
    ids=["one", "dimensions", "nan", "empty", "text", "shape", "chain"],
)
def test_refusals_say_what_they_got(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ds.compare_densities(*arguments)


def test_refusals_of_other_arguments():
    pair = {"a": gaussian(), "b": gaussian(1.3)}
    with pytest.raises(ArgumentError, match="reference is not known"):
        ds.compare_densities(pair, reference="d")
    with pytest.raises(ArgumentError, match="bins must be increasing"):
        ds.compare_densities(pair, bins=[1.0, 0.0])
    with pytest.raises(ArgumentError, match="no mass in the bins"):
        ds.compare_densities(gaussian(), counts_of(np.full(64, 99.5), np.linspace(99, 100, 5)))
    turned = Grid.make((-6, 6), 60, dim=2, axes=[[1.0, 0.5], [0.0, 1.0]])
    law = Density(turned.x, gaussian_2d((0, 0)).log_mass, turned, 0.0, 0.0, 0.0, "a turned law", {})
    with pytest.raises(NotApplicable, match="a turned law is on a grid turned by axes"):
        ds.compare_densities(gaussian_2d((0, 0)), law)
    with pytest.raises(NotApplicable, match="at most 3"):
        ds.compare_densities(np.zeros((5, 4)), np.zeros((5, 4)))


def test_bins_that_hold_almost_nothing_are_refused_and_those_that_cut_are_noted():
    """N(0, 1) and N(1/2, 1) in two bins from −1 to 1, and outside of them: three masses each."""
    pair = {"a": gaussian(), "b": gaussian(mean=0.5)}
    with pytest.raises(ArgumentError, match=r"where the densities are, a has no mass in the bins"):
        ds.compare_densities(pair, bins=[50, 51])
    with pytest.raises(ArgumentError, match=r"x has no mass in the bins"):
        ds.compare_densities({"x": np.linspace(-1, 1, 50), "law": gaussian()}, bins=[2.0, 3.0])
    with pytest.raises(ArgumentError, match=r"a has only 3.1e-05 of its mass in the bins"):
        ds.compare_densities(pair, bins=[4.0, 5.0])
    found = ds.compare_densities(pair, bins=[-1.0, 0.0, 1.0])
    p, q = (np.diff(norm.cdf([-1.0, 0.0, 1.0], mean)) for mean in (0.0, 0.5))
    outside = 1 - np.array([p.sum(), q.sum()])
    exact = 0.5 * (np.abs(p - q).sum() + abs(outside[0] - outside[1]))
    assert found["a", "b"].total_variation.value == pytest.approx(exact, abs=1e-4)
    assert found["b", "a"].outside == pytest.approx(outside[::-1], abs=1e-4)
    assert found.notes == tuple(
        f"{name}: {share:.2g} of it lies outside the bins, one bin more for TV and KL"
        for name, share in zip("ab", outside, strict=True)
    )
    assert ds.compare_densities(pair, bins=np.linspace(-7, 7, 21)).notes == ()


def test_a_law_outside_the_bins_of_a_run_is_noted():
    counts = counts_of(np.random.default_rng(8).uniform(-1, 1, 32 * 100), np.linspace(-1.0, 1.0, 21))
    found = ds.compare_densities({"run": counts, "law": gaussian()})
    assert found.notes[0] == (
        "law: 0.32 of it lies outside the bins, one bin more for TV and KL; "
        "W1 from a histogram is for what lies in its bins"
    )


def test_a_number_of_bins_is_that_of_equal_ones_over_all_that_is_covered():
    narrow, wide = gaussian(bound=7.0), gaussian(mean=0.5, bound=8.0)
    by_number = ds.compare_densities({"a": narrow, "b": wide}, bins=20)["a", "b"]
    by_edges = ds.compare_densities({"a": narrow, "b": wide}, bins=np.linspace(-8, 8, 21))["a", "b"]
    assert by_number == by_edges
    assert by_number.where == "on 20 bins given, 0.8 wide"
    x = np.random.default_rng(0).normal(size=(640, 2))
    both = ds.compare_densities({"x": x, "y": x + 0.1, "law": gaussian_2d((0, 0))}, bins=np.int64(7))
    assert all(pair.where.startswith("on 7×7 bins") for pair in both.pairs.values())
    assert all(pair.outside == (0.0, 0.0) for pair in both.pairs.values())


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        (1, "bins must be a whole number, at least 2"),
        (True, "bins must be a whole number"),
        (2.5, "bins must be a number of bins or sequences of their edges, got 2.5"),
        ("20", "bins must be a number of bins or sequences"),
        ([], "bins must be one sequence of edges for each of 1"),
        ([[0, 1], [0]], "bins must be one sequence of edges for each of 1"),
    ],
    ids=["one", "bool", "float", "text", "empty", "two axes"],
)
def test_bins_that_are_none_are_refused(bins, message):
    with pytest.raises(ArgumentError, match=message):
        ds.compare_densities(gaussian(), gaussian(1.3), bins=bins)


def test_names_are_refused_that_are_the_same_as_text_and_found_with_those_there_are():
    with pytest.raises(ArgumentError, match=r"names that differ as text, got \[1, '1'\]"):
        ds.compare_densities({1: gaussian(), "1": gaussian(1.3)})
    found = ds.compare_densities({"a": gaussian(), "b": gaussian(1.3)})
    for key in ("x", "ab", ("a",), ("a", "b", "c"), 0):
        with pytest.raises(KeyError, match=r"there are \('a', 'b'\)"):
            _ = found[key]


def test_labels_that_look_numbered_already_stay_apart():
    laws = [gaussian(), gaussian(1.3), gaussian(1.5)]
    names = ("N (2)", "N", "N")
    found = ds.compare_densities(*(replace(law, label=name) for law, name in zip(laws, names, strict=True)))
    assert found.names == ("N (2)", "N", "N (3)")


@pytest.mark.parametrize("samples", [[[1, 2], [3]], ["a", "b"], [{}, 1]], ids=["ragged", "text", "objects"])
def test_samples_that_are_no_array_of_numbers_are_refused_in_one_sentence(samples):
    with pytest.raises(ArgumentError, match=r"samples must be numbers, as many in each row$"):
        ds.compare_densities(gaussian(), samples)
