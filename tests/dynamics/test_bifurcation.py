"""Bifurcation diagrams and basins of attraction, against closed forms, symmetry and brute force."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import dynsim as ds
from dynsim.dynamics import Map, basins, bifurcation, descent
from dynsim.errors import ArgumentError, NotApplicable


def logistic(r):
    return Map(lambda x: r * x * (1 - x), 1)


def egg(eta, modulo=np.inf):
    return descent(ds.problems.egg_carton(), ds.SGD(eta, batch_size="full"), modulo=modulo)


def newton(x):
    z = x[..., 0] + 1j * x[..., 1]
    with np.errstate(all="ignore"):
        z = z - (z**3 - 1) / (3 * z**2)
    return np.stack([z.real, z.imag], axis=-1)


def double_well(eta):
    return Map(lambda x: x - eta * (x**3 - x), 1)


def test_the_diagram_of_the_logistic_map_has_its_known_branches():
    r = np.array([0.5, 2.0, 2.9, 3.2, 3.4, 3.5, 3.835, 4.0])
    found = bifurcation(logistic, r, x0=0.3, parameter="r")
    assert found.period[:, 0].tolist() == [1, 1, 1, 2, 2, 4, 3, 0]
    for k in (1, 2):
        assert np.abs(found.points[k] - (1 - 1 / r[k])).max() < 1e-9
    for k in (3, 4):  # x² − x (r + 1)/r + (r + 1)/r² = 0
        roots = (r[k] + 1 + np.array([-1, 1]) * math.sqrt((r[k] + 1) * (r[k] - 3))) / (2 * r[k])
        assert np.abs(np.sort(found.points[k, 0, -2:]) - roots).max() < 1e-9
    assert found.points[-1].min() < 0.01
    assert found.points[-1].max() > 0.99
    assert (found.parameter, found.observable) == ("r", "x[0]")


def test_shapes_do_not_depend_on_what_is_found():
    found = bifurcation(logistic, [3.2, 5.0], x0=[[0.3], [0.4], [0.0]], n_kept=300)
    assert found.points.shape == (2, 3, 300)
    assert found.period.tolist() == [[2, 2, 1], [0, 0, 1]]
    assert found.diverged.tolist() == [[False] * 3, [True, True, False]]
    assert np.isnan(found.points).all(axis=2).tolist() == found.diverged.tolist()


def test_the_diagram_of_egg_carton_has_the_losses_of_the_cycles():
    etas = np.array([0.01, 0.015, 0.022, 0.025, 0.03, 0.0313, 0.04])
    found = bifurcation(egg, etas, x0=[1.0, -0.5])
    x = np.array([brentq(lambda x, a=a: 2 * x - a * math.sin(x), 0.1, math.pi) for a in 100 * etas[2:-1]])
    expected = np.concatenate([[-100.0, -100.0], -100 * np.cos(x)])
    assert found.period[:, 0].tolist() == [1, 1, 2, 2, 2, 2, 0]
    assert np.abs(found.points[:-1, 0] - expected[:, None]).max() < 1e-8
    assert np.ptp(found.points[-1]) > 90
    assert found.observable == "loss"


def test_any_observable_will_do():
    def sharpness(theta):
        return np.linalg.eigvalsh(ds.problems.egg_carton().hessian(theta))[..., -1]

    found = bifurcation(egg, [0.015], x0=[1.0, -0.5], observable=sharpness)
    assert np.abs(found.points - 100).max() < 1e-9
    assert found.observable == "sharpness"


def test_momentum_as_the_parameter_moves_the_edge_to_2_times_1_plus_mu():
    # heavy ball at curvature λ is stable for ηλ < 2 (1 + μ): here λ = 100, η = 0.03, hence for μ > 1/2
    def family(mu):
        return descent(ds.problems.egg_carton(), ds.HeavyBall(0.03, batch_size="full", momentum=mu))

    found = bifurcation(family, [0.3, 0.48, 0.52, 0.7], x0=[1.5, -1.4], parameter="momentum")
    assert (found.period[:, 0] == 1).tolist() == [False, False, True, True]


def test_starts_on_both_sides_find_both_attractors():
    found = bifurcation(double_well, [0.5], x0=[[0.2], [-0.2]], burn_in=200)
    assert found.points[0, :, -1].round(9).tolist() == [1.0, -1.0]


def test_steady_growth_is_divergence_and_a_start_near_a_repelling_point_is_not():
    etas = [1.99, 2.0008, 2.02, 2.05, 2.09]
    found = bifurcation(lambda eta: Map(lambda x: x - eta * x, 1), etas, x0=0.3)
    assert found.diverged[:, 0].tolist() == [False, True, True, True, True]
    assert np.isnan(found.points[1:]).all()
    leaves = bifurcation(logistic, [1.02], x0=1e-9, burn_in=0)  # it grows from 0 at first, to 1 − 1/1.02 in the end
    assert leaves.diverged.tolist() == [[False]]


def test_the_observable_of_a_map_gives_its_own_name():
    def height(x):
        return x[..., 0]

    def family(r):
        return Map(lambda x: r * x * (1 - x), 1, observable=height)

    assert bifurcation(family, [3.2], x0=0.3, burn_in=100).observable == "height"


BAD_DIAGRAMS = {
    "family": ({"family": 3.0}, "family must be a function"),
    "no map": ({"family": lambda r: r}, r"family\(3\) must be a map"),
    "values": ({"values": []}, "values must have at least one"),
    "nan": ({"values": [np.nan]}, "values must be finite"),
    "n_kept": ({"n_kept": 10}, "n_kept must be at least 4 times most"),
    "observable": ({"observable": lambda x: x}, "observable must return a number for each point"),
    "no observable": ({"observable": 1.0}, "observable must be a function"),
    "x0": ({"x0": [0.1, 0.2]}, "x0 must be a scalar"),
    "tolerance": ({"tolerance": 0.0}, "tolerance must be a positive"),
}


@pytest.mark.parametrize("case", list(BAD_DIAGRAMS))
def test_bad_arguments_of_a_diagram_are_refused(case):
    bad, reason = BAD_DIAGRAMS[case]
    arguments = {"family": logistic, "values": [3.0], "x0": 0.3} | bad
    with pytest.raises(ArgumentError, match=reason):
        bifurcation(arguments.pop("family"), arguments.pop("values"), **arguments)


def test_basins_of_descent_in_a_double_well_part_at_0():
    found = basins(double_well(0.3), (-1.5, 1.5), 60)
    assert np.array_equal(found.labels, (found.centers[0] > 0).astype(int))
    assert found.share.tolist() == [0.5, 0.5]
    assert found.period.tolist() == [1, 1]
    assert np.abs(np.concatenate(found.points).ravel() - [-1, 1]).max() < 1e-9
    assert found([[-1.5], [-0.01], [0.01], [1.5]]).tolist() == [0, 0, 1, 1]


def test_a_start_on_the_boundary_is_undecided_and_runaways_are_diverged():
    # x − 0.3 (x³ − x) runs away from |x| > √(2/0.3 + 1)
    found = basins(double_well(0.3), (-3.03, 3.03), 101)
    edge = math.sqrt(2 / 0.3 + 1)
    assert found.labels[50] == -1
    assert np.array_equal(found.labels == -2, np.abs(found.centers[0]) > edge)
    assert found.undecided == 1 / 101
    assert found.share.sum() + found.undecided + found.diverged == pytest.approx(1)


ROOTS = np.exp(2j * np.pi / 3 * np.arange(3))


@pytest.fixture(scope="module")
def of_newton():
    return basins(Map(newton, 2), (-2, 2), 60, n_steps=200)


def test_basins_of_newtons_method_have_the_symmetry_of_the_roots_and_are_those_of_brute_force(of_newton):
    found, roots = of_newton, ROOTS
    order = [int(np.abs(roots - complex(*p[0])).argmin()) for p in found.points]
    assert sorted(order) == [0, 1, 2]
    x, y = np.meshgrid(*found.centers, indexing="ij")
    z = x + 1j * y
    for _ in range(100):
        z = z - (z**3 - 1) / (3 * z**2)
    nearest = np.abs(z[..., None] - roots).argmin(axis=-1)
    assert np.array_equal(np.array(order)[found.labels], nearest)
    conjugate = np.array([0, 2, 1])
    assert np.array_equal(nearest[:, ::-1], conjugate[nearest])
    assert found.share[order.index(1)] == found.share[order.index(2)]


def test_third_of_a_disc_goes_to_each_root(of_newton):
    """Up to 5 standard errors of the cells at boundaries, as if each went to either side by chance."""
    labels = of_newton.labels
    x, y = np.meshgrid(*of_newton.centers, indexing="ij")
    changes = [labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]]

    def shares(inside):
        return np.array([(labels[inside] == k).mean() for k in range(3)])

    disc = np.hypot(x, y) < 2
    bound = 5 * 0.5 * math.sqrt(sum(change.sum() for change in changes)) / disc.sum()
    assert np.abs(shares(disc) - 1 / 3).max() < bound
    assert np.abs(shares(disc & (x > -0.5)) - 1 / 3).max() > bound  # negative control: a part without symmetry


def test_descent_in_two_valleys_stays_in_the_valley_where_it_began():
    problem = ds.problems.two_valleys()
    found = basins(descent(problem, ds.SGD(0.01, batch_size="full")), (-2, 1), 150)
    assert np.array_equal(found.labels, (found.centers[0] > 0).astype(int))
    assert [abs(p.mean() - m) < 0.05 for p, m in zip(found.points, (-1.0, 1 / problem.K), strict=True)] == [True, True]


def test_basins_of_the_four_2_cycles_of_egg_carton_are_alike():
    # two minima in a period, and for each the cycles of u and w in phase or not
    found = basins(egg(0.03, modulo=2 * np.pi), (-np.pi, np.pi), 40, n_steps=1000)
    assert found.period.tolist() == [2, 2, 2, 2]
    assert np.abs(found.share - 0.25).max() < 0.03
    assert all((np.abs(p) <= np.pi + 1e-9).all() for p in found.points)
    assert len(basins(egg(0.03), (-np.pi, np.pi), 40, n_steps=1000).points) > 4  # those a period away are others


def test_chaotic_attractors_are_told_apart():
    # x − a sin x keeps each interval of length 2π about a multiple of 2π to itself; at a = 4.1 it is one attractor, at
    # a = 3.6 there are two, each the mirror image of the other
    def sines(a):
        return Map(lambda x: x - a * np.sin(x), 1)

    whole = basins(sines(4.1), (-np.pi, 3 * np.pi), 124, n_steps=300)
    assert whole.period.tolist() == [0, 0]
    assert np.array_equal(whole.labels, (whole.centers[0] > np.pi).astype(int))
    halves = basins(sines(3.6), (-3.1, 3.1), 62, n_steps=300)
    assert halves.share.tolist() == [0.5, 0.5]
    assert np.array_equal(halves.labels, 1 - halves.labels[::-1])


def test_a_continuum_of_attractors_is_refused_and_a_larger_distance_helps():
    halves = Map(lambda x: np.stack([x[..., 0], x[..., 1] / 2], axis=-1), 2)  # a line of fixed points
    with pytest.raises(NotApplicable, match="more than 256 attractors"):
        basins(halves, (-1, 1), (300, 2), n_steps=150, same=1e-4)
    found = basins(halves, (-1, 1), 30, n_steps=150, same=3.0)
    assert found.share.tolist() == [1.0]


def test_the_memory_of_a_method_starts_as_in_a_run():
    problem = ds.problems.two_valleys()
    method = ds.HeavyBall(0.02, batch_size="full", momentum=0.9)
    found = basins(descent(problem, method), (-2, 1), 30, n_steps=500, same=0.5)
    ends = [ds.iterate(problem, method, x, n_steps=500).x[0, -1, 0] for x in found.centers[0]]
    side = np.array([int(p.mean() > 0) for p in found.points])
    assert side[found.labels].tolist() == [int(end > 0) for end in ends]


def plateau(speed):
    """A slow drift to the right below −1.5, and the double well."""
    return Map(lambda x: np.where(x < -1.5, x + speed, x - 0.1 * (x**3 - x)), 1)


def test_many_orbits_that_drift_do_not_hide_attractors():
    found = basins(plateau(2e-4), (-4, 2), 150, n_steps=400)
    assert found.period.tolist() == [1, 1]
    assert np.array_equal(found.labels == 0, found.centers[0] > 0)
    assert (found.labels[found.centers[0] < -1.6] == -1).all()
    assert (found.labels[(found.centers[0] > -1.5) & (found.centers[0] < 0)] == 1).all()


def test_a_slow_drift_is_no_attractor():
    found = basins(plateau(1e-6), (-4, 2), 24, n_steps=400)
    assert found.period.tolist() == [1, 1]
    assert np.array_equal(found.labels == -1, found.centers[0] < -1.5)


def test_slow_growth_is_divergence_in_basins_too():
    found = basins(Map(lambda x: np.where(x > 0, 1.005 * x, x / 2), 1), (-1, 1), 10, n_steps=500)
    assert found.labels.tolist() == [0] * 5 + [-2] * 5


BAD_BASINS = {
    "bounds": ({"bounds": (1, -1)}, "bounds must have low < high"),
    "n_cells": ({"n_cells": 0}, "n_cells must be a whole number"),
    "pair": ({"n_cells": (3, 4)}, "n_cells must be a number or 1 of them"),
    "n_steps": ({"n_steps": 10}, "n_steps must be at least 4 times most"),
    "same": ({"same": -1.0}, "same must be a positive"),
    "system": ({"system": np.sin}, "system must be a map"),
}


@pytest.mark.parametrize("case", list(BAD_BASINS))
def test_bad_arguments_of_basins_are_refused(case):
    bad, reason = BAD_BASINS[case]
    arguments = {"system": double_well(0.3), "bounds": (-1, 1), "n_cells": 10} | bad
    with pytest.raises(ArgumentError, match=reason):
        basins(arguments.pop("system"), arguments.pop("bounds"), arguments.pop("n_cells"), **arguments)


def test_basins_in_three_dimensions_and_points_outside_the_box_are_refused():
    with pytest.raises(NotApplicable, match="one or two coordinates"):
        basins(Map(lambda x: x / 2, 3), (-1, 1), 10)
    found = basins(Map(lambda x: x / 2, 1), (-1, 1), 10, n_steps=200)
    with pytest.raises(ArgumentError, match="theta must lie in the box"):
        found([[2.0]])


def test_pictures_and_tables(of_newton):
    pytest.importorskip("matplotlib").use("Agg")
    diagram = bifurcation(logistic, [3.2, 3.5, 3.7, 5.0], x0=0.3)
    ax = diagram.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["no period found", "period 2", "period 4", "diverged"]
    assert ax.get_xlabel() == "step size"
    one, two = basins(double_well(0.3), (-3, 3), 30, n_steps=200), of_newton
    assert (one.plot().get_xlabel(), two.plot().get_ylabel()) == ("θ", "θ[1]")
    pytest.importorskip("xarray")
    assert diagram.to_xarray().points.dims == ("step size", "start", "step")
    assert two.to_xarray().shape == (60, 60)
