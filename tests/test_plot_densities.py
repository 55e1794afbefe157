"""What drawings of densities, functions and spectra show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import LogNorm

import dynsim as ds
from dynsim.errors import NotApplicable
from dynsim.grid import Grid
from dynsim.observed import Counts
from dynsim.results import Density, GridFunction, Spectrum

_LINE = Grid.make((0.0, 1.0), 8, dim=1)
_PLANE = Grid.make(((0.0, 1.0), (0.0, 2.0)), (4, 6), dim=2)


def law(grid, mass, label="a law"):
    mass = np.asarray(mass, dtype=float)
    return Density(grid.x, np.log(mass / mass.sum()), grid, 0.0, 0.0, 0.0, label, {})


def states(x):
    return Density(np.asarray(x), np.full(len(x), -np.log(len(x))), None, 0.0, 0.0, 0.0, "states", {})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_density_is_drawn_as_mass_over_width():
    ax = law(_LINE, np.arange(1, 9)).plot(log=True)
    assert ax.patches[0].get_data().values == pytest.approx(np.arange(1, 9) / 36 * 8)
    assert ax.get_yscale() == "log"
    assert law(_LINE, np.ones(8)).plot().get_yscale() == "linear"


def test_a_density_of_two_dimensions_is_an_image_of_mass_over_area():
    mass = np.arange(1, 25.0)
    ax = law(_PLANE, mass).plot(log=True)
    image = ax.collections[0]
    assert np.asarray(image.get_array()).ravel() == pytest.approx(mass / 300 / _PLANE.volumes)
    assert isinstance(image.norm, LogNorm)
    corners = np.asarray(image.get_coordinates())
    assert corners[0, 0].tolist() == [0.0, 0.0]
    assert corners[-1, 0] == pytest.approx([1.0, 0.0])  # the first axis of the grid runs to the right
    assert corners[-1, -1] == pytest.approx([1.0, 2.0])


def test_cells_of_a_turned_grid_are_drawn_where_they_are():
    turned = Grid.make((0.0, 1.0), 4, dim=2, axes=[[1.0, -1.0], [1.0, 1.0]])
    corners = np.asarray(law(turned, np.ones(16)).plot().collections[0].get_coordinates())
    assert corners[-1, -1] == pytest.approx([0.0, 2.0])
    assert corners[-1, 0] == pytest.approx([1.0, 1.0])


def test_states_are_stems_on_a_line_and_dots_in_the_plane():
    ax = states([[0.0], [1.0]]).plot()
    assert len(ax.collections[0].get_segments()) == 2
    dots = states([[0.0, 1.0], [2.0, 3.0]]).plot().collections[0]
    assert dots.get_offsets().tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_a_function_is_a_curve_or_an_image_and_infinite_values_are_left_out():
    values = np.arange(8.0)
    values[3] = np.inf
    line = GridFunction(_LINE.x, values, _LINE, "times").plot().lines[0]
    assert np.isnan(line.get_ydata()[3])
    assert line.get_ydata()[4] == 4.0
    image = GridFunction(_PLANE.x, np.arange(24.0), _PLANE, "times").plot().collections[0]
    assert image.get_array().ravel().tolist() == list(range(24))


@pytest.mark.parametrize(("first", "aspect"), [(1.0, 1.0), (0.0, "auto")], ids=["chain", "generator"])
def test_a_spectrum_is_drawn_with_its_boundary(first, aspect):
    values = np.array([first, first - 0.1, first - 0.5 + 0.2j])
    spectrum = Spectrum(values, -values.real, np.ones((3, 8)), np.zeros(3), _LINE.x, _LINE, "a process")
    ax = spectrum.plot()
    assert ax.lines[-1].get_xdata() == pytest.approx(values.real)
    assert ax.lines[-1].get_ydata() == pytest.approx(values.imag)
    assert ax.get_aspect() == aspect


def test_more_than_two_dimensions_are_refused():
    cube = Grid.make((0.0, 1.0), 4, dim=3)
    with pytest.raises(NotApplicable, match="has 3"):
        law(cube, np.ones(64)).plot()
    with pytest.raises(NotApplicable, match="has 3"):
        GridFunction(cube.x, np.ones(64), cube, "f").plot()
    with pytest.raises(NotApplicable, match="compare their marginals"):
        ds.compare_densities(law(cube, np.ones(64)), law(cube, np.arange(1, 65))).draw()


def compared(steep):
    edges = np.linspace(0.0, 1.0, 5)
    groups = np.tile([4.0, 3.0, 2.0, 1.0, 0.0], (32, 1)) + np.random.default_rng(0).poisson(2.0, (32, 5))
    return ds.compare_densities(
        {
            "SDE": law(_LINE, np.exp(-steep * np.arange(8))),
            "chain": states(np.linspace(0, 1, 40)[:, None]),
            "run": Counts(10, (edges,), groups, 0),
        }
    )


def test_the_picture_of_a_comparison_has_a_curve_for_each_and_a_band_for_runs():
    comparison = compared(0.1)
    ax = comparison.plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SDE", "chain", "run"]
    assert len(ax.patches) == 4
    assert ax.get_yscale() == "linear"
    assert compared(2.0).plot().get_yscale() == "log"


def test_the_picture_of_a_comparison_shows_the_distances():
    comparison = compared(0.1)
    fig = comparison.draw()
    cells = fig.axes[1].tables[0].get_celld()
    assert cells[1, 0].get_text().get_text() == "SDE, chain"
    value = comparison["SDE", "chain"].wasserstein.value
    assert cells[1, 4].get_text().get_text().startswith(f"{value:.3g}")
    differs = [d.differs for d in (comparison["SDE", "run"].wasserstein, comparison["SDE", "run"].total_variation)]
    assert [cells[2, j].get_text().get_weight() == "bold" for j in (4, 1)] == differs


def test_panels_of_two_dimensions_share_their_colors():
    laws = {"a": law(_PLANE, np.ones(24)), "b": law(_PLANE, np.exp(-np.arange(24.0))), "c": states(_PLANE.x)}
    fig = ds.compare_densities(laws).draw()
    images = [ax.collections[0] for ax in fig.axes[:3]]
    assert len({(image.norm.vmin, image.norm.vmax) for image in images}) == 1
    assert [ax.get_title() for ax in fig.axes[:3]] == ["a", "b", "c"]
    with pytest.raises(NotApplicable, match="side by side"):
        ds.compare_densities(laws).plot()
