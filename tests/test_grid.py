import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.errors import ArgumentError, TooLarge
from dynsim.grid import Grid

TURNED = np.array([[1.0, 0.4], [-0.3, 0.8]])


def grids():
    yield Grid.make((-2.0, 3.0), 10, dim=1)
    yield Grid.make((-2.0, 3.0), 20, dim=1, breaks=(0.3, 1.7))
    yield Grid.make(((-2.0, 3.0), (0.0, 1.0)), (8, 12), dim=2, stretch=((0.5, 0.2), None))
    yield Grid.make((-1.0, 1.0), 8, dim=2, axes=TURNED)
    yield Grid.make((-1.0, 1.0), (4, 6, 8), dim=3, periodic=(False, True, False))


@pytest.mark.parametrize("grid", list(grids()), ids=range(5))
def test_centers_lie_in_their_cells_and_volumes_add_up_to_the_box(grid):
    assert np.array_equal(grid.find(grid.x), np.arange(grid.size))
    lengths = [e[-1] - e[0] for e in grid.edges]
    box = np.prod(lengths) * (1 if grid.axes is None else abs(np.linalg.det(grid.axes)))
    assert grid.volumes.sum() == pytest.approx(box, rel=1e-12)
    np.testing.assert_allclose(grid.point(grid.coordinates(grid.x)), grid.x, atol=1e-12)


@pytest.mark.parametrize("grid", list(grids()), ids=range(5))
def test_linear_functions_of_the_grid_coordinates_are_interpolated_exactly_between_centers(grid):
    u = grid.coordinates(grid.x)
    values = u @ np.arange(1.0, grid.dim + 1)
    inner = np.random.default_rng(0).uniform(0.3, 0.7, (50, grid.dim))
    points = np.stack([f[0] + inner[:, j] * (f[-1] - f[0]) for j, f in enumerate(grid.faces)], axis=1)
    np.testing.assert_allclose(
        grid.interpolate(values, grid.point(points)), points @ np.arange(1.0, grid.dim + 1), atol=1e-12
    )
    for point in points[:5]:
        cells, shares = grid.around(grid.point(point))
        assert shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(shares @ u[cells], point, atol=1e-12)


@pytest.mark.parametrize("grid", list(grids()), ids=range(5))
def test_masses_on_the_coarser_grid_are_sums(grid):
    coarse = grid.coarsened()
    mass = np.random.default_rng(1).random(grid.size)
    sums = np.zeros(coarse.size)
    np.add.at(sums, coarse.find(grid.x), mass)
    np.testing.assert_allclose(np.exp(grid.merged(np.log(mass))), sums, rtol=1e-13)
    for fine, faces, breaks in zip(grid.faces, coarse.faces, grid.breaks, strict=True):
        assert np.isin(faces, fine).all()
        assert np.isin(breaks, faces).all()


def test_the_way_across_a_periodic_seam_is_the_short_one():
    grid = Grid.make((0.0, 1.0), 10, dim=1, periodic=(True,))
    np.testing.assert_allclose(grid.displacements(np.array([9, 0, 3]), np.array([0, 9, 4])), [[0.1], [-0.1], [0.1]])
    assert grid.find([[1.25]]) == grid.find([[0.25]])
    values = np.cos(2 * np.pi * grid.x[:, 0])
    assert grid.interpolate(values, [0.0]) == pytest.approx(values[0])  # between equal neighbors across the seam


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-2, 1e3),
    st.integers(4, 60),
    st.lists(st.floats(0.01, 0.99), max_size=4),
)
def test_breaks_are_faces_of_about_as_many_cells_as_were_asked_for(low, length, n, shares):
    breaks = [low + share * length for share in shares]
    grid = Grid.make((low, low + length), n, dim=1, breaks=breaks)
    assert np.isin([b for b in breaks if low < b < low + length], grid.faces[0]).all()
    assert abs(grid.size - n) <= 2 * len(breaks) + 2
    assert (np.diff(grid.faces[0]) > 0).all()


def test_points_outside_have_no_cell():
    grid = Grid.make(((0.0, 1.0), (0.0, 1.0)), 4, dim=2)
    assert grid.find([[1.5, 0.5], [0.5, -0.1], [1.0, 1.0]]).tolist() == [-1, -1, 15]
    assert np.isnan(grid.interpolate(np.zeros(16), [2.0, 0.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_cells": (4, 4, 4)}, "n_cells must be one number or one for each of 2 axes"),
        ({"n_cells": 3}, "n_cells must be a whole number, at least 4"),
        ({"stretch": ((0.0, -1.0), None)}, "stretch must be a positive finite number"),
        ({"stretch": (1.0, 2.0)}, r"stretch must be a pair \(center, width\) or None for each axis"),
        ({"axes": np.ones((2, 2))}, "axes must be an invertible matrix"),
        ({"breaks": (0.5, 0.7, 0.9)}, "breaks must be one sequence of numbers for each of 2 axes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_grids_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Grid.make((0.0, 1.0), **{"n_cells": 8, "dim": 2, **options})


def test_grids_that_do_not_fit_in_memory_are_refused_with_their_size():
    with pytest.raises(TooLarge, match="GiB"):
        Grid.make((0.0, 1.0), 4096, dim=3)
