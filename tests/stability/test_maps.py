import itertools
import math

import matplotlib
import numpy as np
import pytest

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.results.maps import StabilityMap

matplotlib.use("Agg")

PROBLEM = ds.problems.disparate_groups(12, 2, disparity=4.0, fraction=0.25, rng=3)
SGD = {"SGD": ds.SGD(1.0)}
stability_map = ds.stability_map


def growth_by_kronecker(X, eta, batch):
    """ln ρ of E (I − ηA)⊗(I − ηA), A the mean of x xᵀ over ``batch`` uniform draws, as a dense matrix."""
    n, d = X.shape
    H = np.einsum("nj,nk->njk", X, X)
    mean = H.mean(axis=0)
    each = sum(np.kron(h, h) for h in H) / n
    second = each / batch + (1 - 1 / batch) * np.kron(mean, mean)
    eye = np.eye(d)
    step = np.eye(d * d) - eta * (np.kron(mean, eye) + np.kron(eye, mean)) + eta**2 * second
    return math.log(np.abs(np.linalg.eigvals(step)).max())


def test_each_cell_of_a_batch_map_is_the_spectral_radius_of_the_moment_matrix():
    etas, sizes = [0.01, 0.05, 0.2, 0.6], [1, 3, 8]
    chart = stability_map(PROBLEM, SGD, etas, batch_sizes=sizes, criteria=())
    expected = [[growth_by_kronecker(PROBLEM.X, eta, B) for eta in etas] for B in sizes]
    np.testing.assert_allclose(chart.growth[0], expected, rtol=1e-9, atol=1e-12)
    assert not chart.stderr.any()


def test_the_growth_changes_its_sign_at_the_mean_square_line():
    for B in (1, 4):
        span = ds.step_size_range(PROBLEM, ds.SGD(1.0, batch_size=B), at=PROBLEM.minima[0], criterion="mean-square")
        chart = stability_map(
            PROBLEM, SGD, [0.99 * span.max, 1.01 * span.max], batch_sizes=[B], criteria=["mean-square"]
        )
        below, above = chart.growth[0, 0]
        assert below < 0 < above
        assert chart.critical["mean-square"][0, 0] == pytest.approx([span.max, span.max], rel=1e-12)


def test_the_growth_of_RR_changes_its_sign_at_its_line_to_the_error():
    span = ds.step_size_range(PROBLEM, ds.RR(1.0), at=PROBLEM.minima[0], criterion="mean-square")
    chart = stability_map(PROBLEM, [ds.RR(1.0)], [0.97 * span.lower, 1.03 * span.upper], criteria=())
    below, above = chart.growth[0, 0]
    error = chart.stderr[0, 0]
    assert below < -5 * error[0]
    assert above > 5 * error[1]


def test_the_growth_of_RR_in_three_dimensions_is_that_of_its_longer_run_to_the_error():
    from dynsim.stability.almost_sure import growth_by_direction
    from dynsim.stability.dynamics import Dynamics

    rows = ds.stability.terms(gradients=ds.problems.disparate_groups(9, 3, disparity=4.0, fraction=0.25, rng=3).X)
    etas = np.array([0.6])
    chart = stability_map(rows, [ds.RR(1.0)], etas, criteria=(), rng=1)
    dynamics = Dynamics.of(rows, ds.RR(1.0))
    for k, eta in enumerate(etas * dynamics.unit):
        value, error = growth_by_direction(dynamics, eta)
        assert abs(chart.growth[0, 0, k] - value) < 5 * (chart.stderr[0, 0, k] + error)
        assert abs(chart.growth[0, 0, k] / value - 1) < 0.2
    again = stability_map(rows, [ds.RR(1.0)], etas, criteria=(), rng=1)
    assert (again.growth == chart.growth).all()


def test_RR_of_one_dimension_is_gradient_descent():
    rows = ds.stability.terms(gradients=[[1.0], [3.0], [0.5]])
    h = (1 + 9 + 0.25) / 3
    etas = np.array([0.1, 0.3, 0.55, 0.7])
    chart = stability_map(rows, [ds.RR(1.0)], etas, criteria=())
    np.testing.assert_allclose(chart.growth[0, 0], 2 * np.log(np.abs(1 - etas * h)), atol=1e-9)


def test_a_map_over_a_parameter_is_that_of_each_problem():
    def problem(K):
        return ds.problems.disparate_groups(12, 2, disparity=K, fraction=0.25, rng=3)

    etas, values = [0.02, 0.1], [2.0, 4.0, 8.0]
    chart = stability_map(problem, SGD, etas, parameter={"disparity": values}, criteria=["one-step"])
    assert chart.axis == "disparity"
    assert chart.values.tolist() == values
    for j, K in enumerate(values):
        alone = stability_map(problem(K), SGD, etas, criteria=["one-step"])
        assert chart.growth[0, j].tolist() == alone.growth[0, 0].tolist()
        assert chart.critical["one-step"][0, j].tolist() == alone.critical["one-step"][0, 0].tolist()
    by_at = stability_map(problem, SGD, etas, parameter=values, at=lambda K: problem(K).minima[0], criteria=())
    assert (by_at.growth == chart.growth).all()
    by_terms = stability_map(
        lambda K: ds.stability.terms(gradients=problem(K).X), SGD, etas, parameter=values, criteria=()
    )
    np.testing.assert_allclose(by_terms.growth, chart.growth, rtol=1e-9, atol=1e-12)


def test_criteria_that_a_method_does_not_have_are_nan():
    methods = {"SGD": ds.SGD(1.0), "heavy ball": ds.HeavyBall(1.0, momentum=0.5)}
    chart = stability_map(PROBLEM, methods, [0.01, 0.1], criteria=["one-step", "deterministic"])
    assert np.isfinite(chart.critical["one-step"][0]).all()
    assert np.isnan(chart.critical["one-step"][1]).all()
    sharpest = np.linalg.eigvalsh(PROBLEM.X.T @ PROBLEM.X / 12)[-1]
    assert chart.critical["deterministic"][:, 0, 0] == pytest.approx([2 / sharpest, 3 / sharpest], rel=1e-9)


def test_the_ratio_keeps_its_bounds():
    critical = {"one-step": np.array([[[1.0, 2.0]], [[4.0, 8.0]]])}
    cells = np.zeros((2, 1, 1))
    chart = StabilityMap(
        ("a", "b"), np.ones(1), None, np.array([np.nan]), cells, cells, critical["one-step"], critical, {}
    )
    assert chart.ratio("b", "a", "one-step").tolist() == [[2.0, 8.0]]
    with pytest.raises(ArgumentError, match="a is not known: got 'c'; it may be 'a', 'b'"):
        chart.ratio("c", "a", "one-step")
    assert chart.ratio("b", "a").tolist() == [[2.0, 8.0]]
    with pytest.raises(ArgumentError, match=r"'mean-square' was not computed .* there are: 'one-step'"):
        chart.ratio("a", "b", "mean-square")


def test_xarray_has_the_same_numbers():
    chart = stability_map(PROBLEM, SGD, [0.01, 0.1], batch_sizes=[1, 2], criteria=["one-step", "deterministic"])
    data = chart.to_xarray()
    assert data.growth.sel(scheme="SGD", batch_size=2, step_size=0.1).item() == chart.growth[0, 1, 1]
    bound = data.critical.sel(criterion="one-step", scheme="SGD", batch_size=2, bound="upper").item()
    assert bound == chart.critical["one-step"][0, 1, 1]
    alone = stability_map(PROBLEM, SGD, [0.01, 0.1], criteria=()).to_xarray()
    assert alone.growth.shape == (1, 1, 2)
    assert alone.critical.shape == (0, 1, 1, 2)


def test_a_map_is_drawn_as_one_image_for_each_method_with_its_lines():
    methods = {"SGD": ds.SGD(1.0), "drawn by size": ds.SGD(1.0, ds.sampling.Lipschitz())}
    etas = np.geomspace(0.01, 1.0, 12)
    chart = stability_map(PROBLEM, methods, etas, batch_sizes=[1, 2, 4], criteria=["one-step", "mean-square"])
    axes = chart.plot()
    assert [ax.get_title() for ax in axes] == ["SGD", "drawn by size"]
    for i, ax in enumerate(axes):
        (image,) = ax.collections
        assert (image.get_array() == chart.growth[i]).all()
        assert image.norm.vcenter == 0
        lines = {tuple(line.get_xdata()) for line in ax.lines}
        assert lines == {tuple(chart.critical[c][i, :, 0]) for c in chart.critical}
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()] == ["one-step", "mean-square"]


def test_the_zeros_of_fixed_proportions_are_the_exact_thresholds_where_in_view():
    etas = np.geomspace(0.01, 1.0, 5)
    chart = stability_map(PROBLEM, SGD, etas, batch_sizes=[1, 4], criteria=())
    for j, B in enumerate([1, 4]):
        span = ds.step_size_range(PROBLEM, ds.SGD(1.0, batch_size=B), at=PROBLEM.minima[0], criterion="mean-square")
        assert chart.zeros[0, j] == pytest.approx([span.max, span.max], rel=1e-12)
    assert np.isnan(stability_map(PROBLEM, SGD, etas[:2], criteria=()).zeros).all()


def test_the_zeros_of_RR_contain_its_threshold():
    span = ds.step_size_range(PROBLEM, ds.RR(1.0), at=PROBLEM.minima[0], criterion="mean-square")
    chart = stability_map(PROBLEM, [ds.RR(1.0)], [0.5 * span.lower, 1.4 * span.upper], criteria=())
    low, high = chart.zeros[0, 0]
    assert low <= span.upper
    assert high >= span.lower
    assert high / low < 1.1


def test_over_a_parameter_lines_are_steps():
    def problem(K):
        return ds.problems.disparate_groups(12, 2, disparity=K, fraction=0.25, rng=3)

    chart = stability_map(problem, SGD, np.geomspace(0.01, 1, 6), parameter=[2.0, 4.0], criteria=["one-step"])
    (ax,) = chart.plot()
    critical = chart.critical["one-step"][0, :, 0]
    drawn = [line.get_xdata().tolist() for line in ax.lines]
    assert np.repeat(critical, 2).tolist() in drawn
    assert critical.tolist() in drawn


def test_without_a_second_axis_growth_is_a_curve():
    import matplotlib.pyplot as plt

    chart = stability_map(PROBLEM, SGD, np.geomspace(0.01, 0.3, 8), criteria=["one-step", "mean-square"])
    figure, ax = plt.subplots()
    (drawn,) = chart.plot(ax)
    assert drawn is ax
    curves = [line.get_ydata() for line in ax.lines]
    assert any(np.array_equal(y, chart.growth[0, 0]) for y in curves)
    assert sorted(text.get_text() for text in ax.get_legend().get_texts()) == [
        f"{c} {chart.critical[c][0, 0, 0]:.4g}" for c in ("mean-square", "one-step")
    ]
    plt.close("all")
    with pytest.raises(ArgumentError, match="ax must be 1 Axes, one for each method, got 2"):
        chart.plot(figure.subplots(1, 2))


@pytest.mark.parametrize("combination", list(itertools.product([1, 3], [1, 5], [False, True])), ids=str)
def test_any_number_of_cells_can_be_drawn(combination):
    import matplotlib.pyplot as plt

    n_values, n_steps, stable = combination
    etas = np.geomspace(0.01, 0.03, n_steps) if stable else np.geomspace(10.0, 20.0, n_steps)
    chart = stability_map(PROBLEM, SGD, etas, batch_sizes=list(range(1, n_values + 1)), criteria=["one-step"])
    axes = chart.plot()
    axes[0].figure.canvas.draw()
    assert len(axes) == 1
    plt.close("all")


two_valleys = ds.problems.two_valleys()


def noisy():
    return ds.problems.disparate_groups(12, 2, disparity=4.0, noise=1.0, rng=3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stability_map(PROBLEM, [], [0.1]), ArgumentError, "methods must have at least one method"),
        (lambda: stability_map(PROBLEM, ds.SGD(1.0), [0.1]), ArgumentError, "methods must be a dict or a list"),
        (lambda: stability_map(PROBLEM, [1.0], [0.1]), ArgumentError, "methods must be a list of methods"),
        (lambda: stability_map(PROBLEM, {"a": 1}, [0.1]), ArgumentError, "methods must be a dict of methods"),
        (lambda: stability_map(PROBLEM, [ds.SGD(1.0), ds.SGD(2.0)], [0.1]), ArgumentError, "same name more than once"),
        (lambda: stability_map(PROBLEM, [ds.Adam(1.0)], [0.1]), NotApplicable, "stability is for SGD"),
        (
            lambda: stability_map(PROBLEM, SGD, [0.2, 0.1]),
            ArgumentError,
            "step_sizes must be at least one",
        ),
        (lambda: stability_map(PROBLEM, SGD, []), ArgumentError, "step_sizes must be at least one number"),
        (lambda: stability_map(PROBLEM, SGD, [0.0, 0.1]), ArgumentError, "step_sizes must be positive, got 0"),
        (lambda: stability_map(PROBLEM, SGD, [1e200]), ArgumentError, r"step_sizes must lie within a factor 1e\+12 of"),
        (lambda: stability_map(PROBLEM, SGD, [1e-300, 0.1]), ArgumentError, "got 1e-300"),
        (lambda: stability_map(two_valleys, SGD, [0.1]), NotApplicable, "kink at its minima .*escape_times"),
        (lambda: stability_map(two_valleys, SGD, [0.1], at=[0.2]), NotApplicable, r"kink at \[0.2\] .*escape_times"),
        (lambda: stability_map(PROBLEM, SGD, [math.nan]), ArgumentError, "step_sizes must be finite"),
        (lambda: stability_map(PROBLEM, SGD, 0.1), ArgumentError, "step_sizes must have 1 axes"),
        (lambda: stability_map(PROBLEM, SGD, [0.1], batch_sizes=[0]), ArgumentError, "batch_sizes must be a whole"),
        (lambda: stability_map(PROBLEM, SGD, [0.1], batch_sizes=[2, 1]), ArgumentError, "in ascending order"),
        (lambda: stability_map(PROBLEM, SGD, [0.1], batch_sizes=4), ArgumentError, "batch_sizes must be a sequence"),
        (lambda: stability_map(PROBLEM, SGD, [0.1], parameter=[1.0]), ArgumentError, "problem must be a function of"),
        (
            lambda: stability_map(PROBLEM, SGD, [0.1], parameter=[1.0], batch_sizes=[1]),
            ArgumentError,
            "give batch_sizes or parameter, not both",
        ),
        (
            lambda: stability_map(lambda K: PROBLEM, SGD, [0.1], parameter=[1.0], at=[0.0, 0.0]),
            ArgumentError,
            "at must be a function of the parameter",
        ),
        (
            lambda: stability_map(lambda K: 3, SGD, [0.1], parameter=[1.0]),
            ArgumentError,
            "problem must be a problem or Terms",
        ),
        (lambda: stability_map(PROBLEM, SGD, [0.1], criteria="one-step"), ArgumentError, "criteria must be a sequence"),
        (
            lambda: stability_map(PROBLEM, SGD, [0.1], criteria=["one"]),
            ArgumentError,
            "criteria is not known: got 'one'",
        ),
        (lambda: stability_map(PROBLEM, SGD, [0.1], rng=-1), ArgumentError, "rng must be"),
        (lambda: stability_map(PROBLEM, SGD, [0.1], at=[0.0]), ArgumentError, "at must be"),
        (lambda: stability_map(noisy(), SGD, [0.1]), NotApplicable, "one of their gradients has norm"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_empty_range_can_be_drawn():
    import matplotlib.pyplot as plt

    vacuous = ds.step_size_range(PROBLEM, ds.RR(1.0), at=PROBLEM.minima[0], criterion="lemma")
    assert vacuous.upper == 0
    assert vacuous.plot().get_xlim() == (0.0, 1.0)
    plt.close("all")
