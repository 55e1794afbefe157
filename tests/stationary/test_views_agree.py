"""Where a chain ends up: exactly, on a grid, and simulated, agree where they must; and the SDE is another process."""

import sys
from pathlib import Path

import numpy as np
import pytest

import dynsim as ds
from dynsim.compare.densities import verdict

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import densities

LN_10 = np.log(10.0)
NAMES = ("SGD", "RR", "Balanced")


def of(name, eta):
    """A scheme and its chain."""
    method = densities.schemes(eta)[name]
    return method, densities.on_lattice(eta, method)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_drawn_from_the_exact_law_visits_every_state_as_often_as_that_says(name):
    method, chain = of(name, 0.16)
    exact = chain.stationary()
    counts = densities.staying(method, chain, exact, 2_000_000)
    worst, often = densities.worst_state(counts, exact)
    assert often > 20
    assert worst < 5


def test_negative_control_the_law_of_another_coset_is_not_what_the_run_visits():
    method, chain = of("SGD", 0.16)
    exact = chain.stationary()
    counts = densities.staying(method, chain, exact, 2_000_000)
    other = ds.markov_chain(densities.VALLEYS, method, x0=chain.states[chain.start] + 0.5 * densities.width(chain))
    assert (
        ds.compare_densities(counts, other.stationary(), bins=counts.edges[0])
        .pairs.popitem()[1]
        .total_variation.differs
    )


def test_an_infinite_kl_says_nothing_of_a_run_and_all_of_two_laws():
    """The run is of a law that has no mass where the other has 0.32 of it: so are bins that a run has left empty."""
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: np.sqrt(2.0))
    normal = ds.stationary_density(sde, (-6.0, 6.0), 600)
    box = ds.stationary_density(ds.SDE(lambda t, x: 0.0, lambda t, x: 1.0), (-1.0, 1.0), 100, sides="reflecting")
    run = np.random.default_rng(0).uniform(-1, 1, 3200)
    found = ds.compare_densities({"normal": normal, "box": box, "run": run}, bins=np.linspace(-4, 4, 33))
    words = {}
    for other in ("box", "run"):
        pair = found["normal", other]
        assert pair.kullback_leibler.value == np.inf > pair.reverse_kullback_leibler.value
        words[other] = [
            verdict(d) for d in (pair.total_variation, pair.kullback_leibler, pair.reverse_kullback_leibler)
        ]
    assert words == {"box": ["differ", "differ", "differ"], "run": ["differ", "unknown", "differ"]}
    rows = found.table().split("\n\n")[0].splitlines()
    assert [row.split()[-1] for row in rows if " inf " in row] == ["differ", "unknown"]


@pytest.mark.parametrize(("name", "eta"), [("SGD", 0.04), ("RR", 0.04), ("Balanced", 0.16)])
def test_paths_leave_the_sharp_valley_as_the_law_after_n_steps_says(name, eta):
    method, chain = of(name, eta)
    deviation, _, _, _, told = densities.leaving(method, chain, 5_000_000)
    assert told > 20
    assert deviation < 5


def test_negative_control_paths_of_a_longer_step_leave_sooner_than_that():
    _, chain = of("SGD", 0.04)
    run = ds.iterate(densities.VALLEYS, ds.SGD(0.042), chain.states[chain.start], n_steps=400, n_paths=1000, rng=0)
    exact, simulated = chain.occupation(densities.sharp, 400)[-1], densities.sharp(run.x[:, -1]).mean()
    assert abs(simulated - exact) > 5 * np.sqrt(exact * (1 - exact) / 1000)


@pytest.mark.parametrize("name", ["SGD", "RR"])
def test_ulam_on_cells_of_one_state_each_is_the_chain_on_its_lattice(name):
    method, chain = of(name, 0.04)
    law, _ = densities.one_state_a_cell(method, chain)
    cells = law.grid.find(chain.states)
    np.testing.assert_allclose(law.log_mass[cells], chain.stationary().log_mass, atol=1e-9)


@pytest.mark.parametrize("name", ["SGD", "Balanced"])
def test_ulam_on_any_cells_is_near_the_chain_inside_the_valley(name):
    method, chain = of(name, 0.04)
    exact = chain.stationary()
    law = ds.invariant_measure(densities.VALLEYS, method, (-1.6, 0.8), 2000)
    pair = ds.compare_densities({"exact": exact, "grid": law})["exact", "grid"]
    assert pair.wasserstein.value < densities.width(chain)  # cosets are that far from each other


@pytest.mark.parametrize(
    ("name", "chain_mass", "sde_mass"),
    [("SGD", -52.136, -24.251), ("RR", -41.349, -51.01), ("Balanced", -12.103, -0.0038)],
)
def test_the_sde_is_wrong_about_the_sharp_valley_by_orders_of_magnitude(name, chain_mass, sde_mass):
    method, chain = of(name, 0.04)
    rho = ds.stationary_density(ds.sde_limit(densities.VALLEYS, method), (-2.0, 1.0), 4000)
    found = [law.log_probability(densities.sharp) / LN_10 for law in (chain.stationary(), rho)]
    assert found == pytest.approx([chain_mass, sde_mass], abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_halving_a_small_step_changes_log_mass_by_the_exponent_over_the_step(name):
    both = ds.large_deviations(densities.VALLEYS, densities.schemes(1.0)[name])
    chain, sde = (-25 * (side.weights[1] - side.weights[0]) for side in (both.chain, both.sde))  # 25 = 1/0.02 − 1/0.04
    masses = [of(name, eta)[1].stationary().log_probability(densities.sharp) for eta in (0.04, 0.02)]
    assert masses[1] - masses[0] == pytest.approx(chain, rel=0.05)
    assert masses[1] - masses[0] != pytest.approx(sde, rel=0.15)


def test_basins_of_muller_brown_have_the_mass_that_a_run_of_sgd_finds_and_not_that_of_longer_steps():
    box = densities.BOXES["SGD"]
    edges, middles = densities.centers(box, densities.RASTER)
    points = ds.minima(densities.MULLER_BROWN)
    basin = points.basin(middles)
    law = ds.invariant_measure(densities.MULLER_BROWN, ds.SGD(0.002), box, 128)
    limit, error, _ = densities.extrapolated(law, edges, basin)
    starts = np.repeat(points.minima, 32, axis=0)

    def off(method):
        found, stderr, _ = densities.simulated_masses(method, starts, edges, basin, 500_000, 1000)
        return (np.abs(found - limit) / np.hypot(stderr, error)).max()

    assert law.details["leak"] < 1e-6
    assert off(ds.SGD(0.002)) < 5 < off(ds.SGD(0.0025))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("SGD", 10**8), ("RR", 10**9)])
def test_basins_of_muller_brown_have_the_mass_that_long_runs_from_two_kinds_of_starts_find(name, steps):
    method = densities.schemes(0.002)[name]
    _, _, deviations = densities.muller_brown_of(name, method, steps, None, 512)
    assert max(d.max() for d in deviations.values()) < 5
