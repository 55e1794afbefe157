"""The losses of a linear model against mpmath, and their fields against the formulas that they come from."""

import matplotlib
import mpmath
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import dynsim as ds
from dynsim._kernels import fields
from dynsim._kernels.problems import linear_model as kernels

matplotlib.use("Agg")

RESIDUALS = np.concatenate([-np.logspace(2, -9, 30), [0.0], np.logspace(-9, 2, 30)])
CASES = [
    *(("square", {}), ("welsch", {}), ("huber", {"delta": 0.7}), ("logistic", {}), ("poisson", {})),
    *(
        ("barron", {"alpha": alpha, "scale": 1.5})
        for alpha in (2.0, 1.0, 0.0, -2.0, -np.inf, 1.999999, 1e-9, -1e9, 3.0)
    ),
]
IDS = [" ".join([loss, *map(str, options.values())]) for loss, options in CASES]


def barron(r, alpha, c):
    """Barron (2019), equation 8, with the limits that it lists."""
    q = (r / mpmath.mpf(c)) ** 2
    if alpha == 2:
        return q / 2
    if alpha == 0:
        return mpmath.log(q / 2 + 1)
    if alpha == -np.inf:
        return 1 - mpmath.exp(-q / 2)
    alpha = mpmath.mpf(alpha)
    distance = abs(alpha - 2)
    return distance / alpha * ((q / distance + 1) ** (alpha / 2) - 1)


def reference(loss, f, y, options):
    """φ(f, y) in 60 digits."""
    f, y = mpmath.mpf(f), mpmath.mpf(y)
    r = f - y
    if loss == "square":
        return r**2 / 2
    if loss == "welsch":
        return 1 - mpmath.exp(-(r**2) / 2)
    if loss == "huber":
        delta = mpmath.mpf(options["delta"])
        return r**2 / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)
    if loss == "barron":
        return barron(r, options["alpha"], options["scale"])
    if loss == "logistic":
        return mpmath.log(1 + mpmath.exp(f)) - y * f
    return mpmath.exp(f) - y * f - y + (y * mpmath.log(y) if y > 0 else 0)


def targets(loss):
    return {"logistic": (0.0, 1.0), "poisson": (0.0, 1.0, 7.0, 1e5)}.get(loss, (0.0, 1.25))


def one_row(loss, y, options):
    return ds.problems.linear_model([[1.0]], [y], loss, **options)


def predictions(loss, y):
    center = np.log(y) if loss == "poisson" and y > 0 else y
    f = center + RESIDUALS
    return f[f < 50] if loss == "poisson" else f


@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_losses_slopes_and_curvatures_are_those_of_mpmath(loss, options):
    for y in targets(loss):
        problem, f = one_row(loss, y, options), predictions(loss, y)
        with mpmath.workdps(60):
            phi = [reference(loss, t, y, options) for t in f]
            kinked = [loss == "huber" and abs(abs(t - y) - options["delta"]) < 1e-6 for t in f]
            derivatives = [
                [mpmath.diff(lambda t, y=y: reference(loss, t, y, options), mpmath.mpf(t), k, h=1e-15) for k in (1, 2)]
                for t in f
            ]
        # what the rounding of f − y or f − ln y does to the loss, besides the formula's own error
        rounding = 4e-16 * (np.abs(f) + np.abs(y)) * np.abs(np.array(derivatives, dtype=float)[:, 0])
        error = np.abs(problem.loss(f[:, None]) - np.array(phi, dtype=float))
        assert (error <= rounding + 2e-12 * np.abs(np.array(phi, dtype=float)) + 1e-300).all()
        slope, curvature = np.array(derivatives, dtype=float).T
        scale = np.abs(slope) + np.abs(curvature) * (np.abs(f) + abs(y))
        assert (np.abs(problem.gradient(f[:, None])[:, 0] - slope) <= 1e-13 * scale + 1e-16 * y + 1e-30).all()
        found = problem.hessian(f[:, None])[:, 0, 0]
        np.testing.assert_allclose(found[~np.array(kinked)], curvature[~np.array(kinked)], rtol=1e-8, atol=1e-8)


@given(alpha=st.floats(-60, 2), r=st.floats(-100, 100), scale=st.floats(0.1, 10))
@settings(max_examples=150, deadline=None)
def test_barrons_loss_is_right_for_every_shape(alpha, r, scale):
    problem = one_row("barron", 0.0, {"alpha": alpha, "scale": scale})
    with mpmath.workdps(700):  # next to α = 0 and 2, and r = 0, the formula cancels
        expected = float(barron(mpmath.mpf(r), alpha, scale))
    assert problem.loss([r]) == pytest.approx(expected, rel=3e-12, abs=1e-300)


def test_barrons_loss_goes_through_the_named_ones():
    theta = RESIDUALS[:, None]
    for loss, alpha in (("square", 2.0), ("welsch", -np.inf)):
        general = one_row("barron", 0.0, {"alpha": alpha})
        np.testing.assert_allclose(general.loss(theta), one_row(loss, 0.0, {}).loss(theta), rtol=1e-14)
    cauchy, charbonnier, geman = (one_row("barron", 0.0, {"alpha": alpha}) for alpha in (0.0, 1.0, -2.0))
    np.testing.assert_allclose(cauchy.loss(theta), np.log1p(RESIDUALS**2 / 2), rtol=1e-13)
    np.testing.assert_allclose(
        charbonnier.loss(theta), RESIDUALS**2 / (np.sqrt(RESIDUALS**2 + 1) + 1), rtol=1e-13, atol=1e-300
    )
    np.testing.assert_allclose(geman.loss(theta), 2 * RESIDUALS**2 / (RESIDUALS**2 + 4), rtol=1e-13)


def test_the_logistic_loss_holds_for_margins_of_a_thousand():
    problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, 0.0], "logistic")
    assert problem.term_losses([1000.0]).tolist() == [0.0, 1000.0]
    assert problem.term_losses([-1000.0]).tolist() == [1000.0, 0.0]
    assert problem.term_losses([40.0])[0] == pytest.approx(float(mpmath.log1p(mpmath.exp(-40))), rel=1e-13, abs=0)
    assert problem.term_gradients([1000.0])[:, 0].tolist() == [0.0, 1.0]


def test_the_poisson_loss_is_least_at_the_logarithm_of_the_count_and_zero_there():
    for y in (1.0, 4.0, 1e6):
        problem = one_row("poisson", y, {})
        assert abs(problem.loss([np.log(y)])) < 1e-20 * y
        assert problem.loss([np.log(y) + 1e-4]) == pytest.approx(y * 0.5e-8, rel=1e-4)
    assert one_row("poisson", 0.0, {}).loss([-750.0]) == 0


def model_of(data, loss, options=None):
    X, y = data
    if loss == "logistic":
        y = (y > 0).astype(float)
    elif loss == "poisson":
        y, X = np.round(np.abs(y)), X / 4
    return ds.problems.linear_model(X, y, loss, weights=np.arange(1.0, 13.0), **(options or {}))


@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_the_fields_written_for_lanes_are_the_derived_ones(data, loss, options):
    problem = model_of(data, loss, options)
    x, weights = np.random.default_rng(0).normal(size=(3, 40)), problem.weights.copy()
    ours, derived = np.empty((12, 40)), np.empty((12, 40))
    problem.gradient_norms_field(x, problem.params, weights, 0, ours)
    fields.gradient_norms_field(getattr(kernels, f"{loss}_gradient"))(x, problem.params, weights, 0, derived)
    np.testing.assert_allclose(ours, derived, rtol=1e-12)
    term, ours, derived = np.arange(40) % 12, np.empty((3, 40)), np.empty((3, 40))
    problem.gradients_field(x, problem.params, term, ours)
    fields.gradients_field(getattr(kernels, f"{loss}_gradient"))(x, problem.params, term, derived)
    np.testing.assert_allclose(ours, derived, rtol=1e-12)


def test_no_two_fields_of_the_losses_share_a_name():
    made = [
        field(slope)
        for slope in kernels.SLOPES.values()
        for field in (kernels.norms_field, kernels.drawn_gradients_field)
    ]
    assert len({field.py_func.__qualname__ for field in made}) == len(made) == 12
    for loss in kernels.SLOPES:  # and a formula goes by the name under which a pickle finds it
        for made in (f"{loss}_loss", f"{loss}_gradient"):
            assert getattr(kernels, made).__qualname__ == made


@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_hessians_are_differences_of_gradients(data, loss, options):
    problem = model_of(data, loss, options)
    for theta in 0.5 * np.random.default_rng(1).normal(size=(4, 3)):
        expected = oracles.central_difference(problem.gradient, theta)
        np.testing.assert_allclose(problem.hessian(theta), expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            problem.hessian(theta),
            np.tensordot(problem.weights, problem.term_hessians(theta), 1),
            rtol=1e-12,
            atol=1e-15,
        )


@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_bounds_of_slope_and_curvature_hold_and_are_reached(loss, options):
    problem = one_row(loss, targets(loss)[-1] if loss == "logistic" else 0.0, options)
    wide = np.concatenate([-np.logspace(6, -6, 100_001), [0.0], np.logspace(-6, 6, 100_001)])[:, None]
    wide = wide[np.abs(wide[:, 0]) < 700] if loss == "poisson" or options.get("alpha", 0) > 2 else wide
    steepest, sharpest = np.abs(problem.gradient(wide)).max(), np.abs(problem.hessian(wide)).max()
    for bound, largest in ((problem.gradient_bounds, steepest), (problem.lipschitz, sharpest)):
        if bound is None:
            assert largest > 100 or 1 < options.get("alpha", 0) < 2
        else:
            assert 1 - 1e-7 < largest / bound[0] < 1 + 1e-12


def test_bounds_scale_with_the_features():
    problem = ds.problems.linear_model([[3.0, 4.0], [0.0, 2.0]], [1.0, 0.0], "welsch")
    np.testing.assert_allclose(problem.lipschitz, [25.0, 4.0])
    np.testing.assert_allclose(problem.gradient_bounds, np.exp(-0.5) * np.array([5.0, 2.0]))


def test_rr_on_every_loss_keeps_the_step_unbiased(data):
    for loss, options in CASES:
        problem = model_of(data, loss, options)
        theta = np.array([0.3, -0.2, 0.1])
        p = ds.sampling.GradientNorm().probabilities(problem, theta)
        weighed = np.where(p > 0, problem.weights, 0.0) @ problem.term_gradients(theta)
        np.testing.assert_allclose(weighed, problem.gradient(theta), rtol=1e-12, atol=1e-15)
        run = ds.iterate(problem, ds.RR(1e-3), theta, n_steps=20, n_paths=70, rng=0)
        assert run.n_diverged == 0


def test_labels_of_minus_one_and_one_are_those_of_zero_and_one(data):
    X, y = data
    zero_one = ds.problems.linear_model(X, y > 0, "logistic")
    signs = ds.problems.linear_model(X, np.sign(y), "logistic")
    theta = np.array([0.3, -0.2, 0.1])
    assert zero_one.loss(theta) == signs.loss(theta)
    assert signs.y.tolist() == (y > 0).astype(float).tolist()


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_standardization_leaves_classes_and_counts_and_is_undone(data, loss):
    X, y = data[0], np.round(np.abs(data[1])) if loss == "poisson" else (data[1] > 0).astype(float)
    plain = ds.problems.linear_model(X, y, loss, intercept=True)
    scaled = ds.problems.linear_model(X, y, loss, intercept=True, standardize=True)
    np.testing.assert_array_equal(scaled.y, y)
    theta = np.array([0.1, 0.2, -0.3, 0.4])
    assert scaled.loss(theta) == pytest.approx(plain.loss(scaled.coefficients(theta)), rel=1e-13)


class Column(list):
    """As much of a data frame's column as linear_model looks at."""

    dtype = "object"

    def __init__(self, values, index=None):
        super().__init__(values)
        self.index = index


class Index(tuple):
    def equals(self, other):
        return self == other


class Frame(dict):
    """As much of a data frame as linear_model looks at."""

    index = Index("abc")

    @property
    def columns(self):
        return list(self)


def test_a_data_frame_gives_its_columns_names_and_may_hold_the_target():
    frame = Frame(age=[1.0, 2.0, 4.0], dose=[True, False, True], y=[1, 2, 3])
    problem = ds.problems.linear_model(frame, "y", intercept=True)
    assert problem.features == ("intercept", "age", "dose")
    assert problem.X.tolist() == [[1, 1, 1], [1, 2, 0], [1, 4, 1]]
    assert problem.y.tolist() == [1, 2, 3]
    del frame["y"]
    assert ds.problems.linear_model(frame, Column([3, 2, 1], Index("abc"))).y.tolist() == [3, 2, 1]
    assert ds.problems.linear_model(frame, np.array([3, 2, 1])).features == ("age", "dose")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("dise", "y is no column of X: got 'dise'; did you mean 'dose'"),
        ("sex", "column 'sex' of X must be an array of numbers, none of them missing, got object"),
        ("dose", "column 'sex' of X must be an array of numbers"),
        (2, "y is no column of X: got 2; it may be 'age', 'dose', 'sex'"),
        (Column([1, 2, 3], Index("acb")), "y must have the index of X"),
    ],
)
def test_a_data_frame_that_does_not_fit_is_refused_by_column(y, message):
    frame = Frame(age=[1.0, 2.0, 4.0], dose=[1.0, 0.0, 1.0], sex=Column("mfm"))
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.problems.linear_model(frame, y)
    with pytest.raises(ds.errors.ArgumentError, match="column 'age' of X must be finite, but 1 entries are not"):
        ds.problems.linear_model(Frame(age=[1.0, np.nan, 4.0], y=[1, 2, 3]), "y")


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "timedelta64[ns]", "U3", "complex"])
def test_columns_that_numpy_would_make_numbers_of_are_refused(dtype):
    wrong = np.array([1, 2, 3]).astype(dtype)
    with pytest.raises(ds.errors.ArgumentError, match="column 'when' of X must be an array of numbers"):
        ds.problems.linear_model(Frame(age=[1.0, 2.0, 4.0], when=wrong), [1, 2, 3])
    with pytest.raises(ds.errors.ArgumentError, match="y must be an array of numbers"):
        ds.problems.linear_model(Frame(age=[1.0, 2.0, 4.0]), wrong)


def test_a_column_of_python_numbers_is_one_of_numbers():
    frame = Frame(age=np.array([1, 2.5, True], dtype=object))
    assert ds.problems.linear_model(frame, [1, 2, 3]).X[:, 0].tolist() == [1.0, 2.5, 1.0]


def test_weights_and_groups_are_columns_or_have_the_index_of_the_frame():
    frame = Frame(age=[1.0, 2.0, 4.0], share=[1.0, 2.0, 1.0], y=[1, 2, 3], who=np.array(list("uvu"), dtype=object))
    problem = ds.problems.linear_model(frame, "y", weights="share", groups="who")
    assert problem.features == ("age",)
    assert problem.weights.tolist() == [0.25, 0.5, 0.25]
    assert problem.groups.tolist() == [0, 1, 0]
    for role in ("weights", "groups"):
        aligned = {role: Column([1, 2, 1], Index("abc"))}
        assert ds.problems.linear_model(Frame(age=[1.0, 2.0, 4.0]), [1, 2, 3], **aligned).n_terms == 3
        with pytest.raises(ds.errors.ArgumentError, match=f"{role} must have the index of X"):
            ds.problems.linear_model(Frame(age=[1.0, 2.0, 4.0]), [1, 2, 3], **{role: Column([1, 2, 1], Index("acb"))})
        with pytest.raises(ds.errors.ArgumentError, match=f"{role} is no column of X: got 'w'"):
            ds.problems.linear_model(Frame(age=[1.0, 2.0, 4.0]), [1, 2, 3], **{role: "w"})
        with pytest.raises(ds.errors.ArgumentError, match=f"{role} may be the name of a column only where"):
            ds.problems.linear_model([[1.0], [2.0]], [1, 2], **{role: "w"})


def test_the_target_may_have_a_number_as_its_name():
    assert ds.problems.linear_model(Frame({0: [1.0, 2.0], 2: [5.0, 6.0]}), 2).y.tolist() == [5.0, 6.0]


def test_pandas_itself(data):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(data[0], columns=["a", "b", "c"])
    frame["y"] = data[1]
    by_name, by_series = (
        ds.problems.linear_model(frame, "y"),
        ds.problems.linear_model(frame[["a", "b", "c"]], frame["y"]),
    )
    np.testing.assert_array_equal(by_name.X, data[0])
    np.testing.assert_array_equal(by_series.y, data[1])
    assert by_name.features == by_series.features == ("a", "b", "c")
    with pytest.raises(ds.errors.ArgumentError, match="index of X"):
        ds.problems.linear_model(frame[["a", "b", "c"]], frame["y"].sort_values())


def test_a_table_has_its_target_with_it():
    stars = ds.problems.load_data("stars-cyg")
    problem = ds.problems.linear_model(stars, loss="huber", intercept=True)
    assert problem.features == ("intercept", "log_temperature")
    np.testing.assert_array_equal(problem.y, stars.y)
    with pytest.raises(ds.errors.ArgumentError, match="y must be left out: the table stars-cyg"):
        ds.problems.linear_model(stars, stars.y)


def test_groups_are_numbered_in_the_order_of_their_labels():
    problem = ds.problems.linear_model([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0], groups=["old", "new", "old"])
    assert problem.groups.tolist() == [1, 0, 1]
    with pytest.raises(ds.errors.ArgumentError, match="groups must be 3 labels, one for each row of X"):
        ds.problems.linear_model([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0], groups=[0, 1])


@pytest.mark.parametrize("groups", [["a", 1, None], [1.0, np.nan, 2.0], np.array([1, "a", 2], dtype=object)])
def test_groups_with_a_label_missing_or_of_mixed_kinds_are_refused(groups):
    with pytest.raises(ds.errors.ArgumentError, match="groups must be labels of one kind"):
        ds.problems.linear_model([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0], groups=groups)


CONVEX = [("square", {}), ("huber", {"delta": 0.3}), ("logistic", {}), ("poisson", {}), ("barron", {"alpha": 1.2})]


@pytest.mark.parametrize(("loss", "options"), CONVEX, ids=[loss for loss, _ in CONVEX])
def test_the_minimum_of_a_convex_loss_is_that_of_another_method(loss, options):
    generator = np.random.default_rng(3)
    X = generator.normal(size=(60, 2)) * [1.0, 300.0]
    f = X @ [0.5, 0.003] + generator.standard_t(2, size=60)
    y = {"logistic": f > 0, "poisson": np.floor(np.exp(np.minimum(f, 4)))}.get(loss, f)
    weights = generator.uniform(0.5, 2, size=60)
    problem = ds.problems.linear_model(X, y, loss, weights=weights, **options)
    start, unit = [0.0, 0.0], np.array([1.0, 1 / 300])
    run = minimize(
        lambda z: problem.loss(z * unit), start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}
    )
    np.testing.assert_allclose(problem.minima / unit, [run.x], rtol=0, atol=1e-6)
    low, high = problem.bounds.T
    assert (low < problem.minima[0]).all()
    assert (problem.minima[0] < high).all()
    assert problem.plot().get_xlim() == tuple(problem.bounds[0])


def test_separable_classes_and_dependent_columns_have_no_minimum_but_a_box():
    X = np.array([[1.0], [2.0], [-1.0]])
    apart = ds.problems.linear_model(X, [1, 1, 0], "logistic")
    overlapping = ds.problems.linear_model(X, [1, 0, 0], "logistic")
    twice = ds.problems.linear_model(np.hstack([X, 2 * X]), [1.0, 2.0, 3.0])
    assert apart.minima is None
    assert twice.minima is None
    assert overlapping.minima.shape == (1, 1)
    for problem in (apart, twice, ds.problems.linear_model([[0.0]], [0.0])):
        assert np.isfinite(problem.bounds).all()
        assert (np.ptp(problem.bounds, axis=1) > 0).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_box_of_a_welsch_loss_holds_the_fit_to_most_data_and_least_squares(scale):
    generator = np.random.default_rng(0)
    X = np.column_stack([np.ones(100), generator.normal(size=100)]) / scale
    y = X @ np.array([1.0, 2.0]) * scale + 0.3 * generator.normal(size=100)
    y[:15] = 30.0  # outliers far off the line
    problem = ds.problems.linear_model(X, y, "welsch")
    assert problem.minima is None
    low, high = problem.bounds.T / scale
    for theta in ([1.0, 2.0], problem.least_squares() / scale):
        assert (low < theta).all()
        assert (theta < high).all()
    assert (high - low < 200).all()
    assert np.abs(ds.minima(problem).minima / scale - [1.0, 2.0]).max(axis=1).min() < 0.2


@pytest.mark.parametrize(
    ("loss", "y", "options", "message"),
    [
        ("square", [0, 1, 2], {"alpha": 1.0}, "alpha does not belong to the loss 'square', which takes no parameter"),
        ("huber", [0, 1, 2], {"scale": 1.0}, "scale does not belong to the loss 'huber', which takes delta"),
        (
            "barron",
            [0, 1, 2],
            {"delta": 1.0},
            "delta does not belong to the loss 'barron', which takes alpha and scale",
        ),
        ("barron", [0, 1, 2], {"scale": 0.0}, "scale must be a positive finite number, got 0.0"),
        ("barron", [0, 1, 2], {"alpha": np.inf}, "alpha must be a finite number, got inf"),
        ("barron", [0, 1, 2], {"alpha": np.nan}, "alpha must be a finite number, got nan"),
        ("huber", [0, 1, 2], {"delta": -1}, "delta must be a positive finite number, got -1"),
        ("logistic", [0, 1, 2], {}, "two classes, written 0 and 1 or -1 and 1, for the logistic loss, got 0, 1, 2"),
        ("logistic", [-1, 0, 1], {}, "two classes"),
        ("poisson", [0, 1, -2], {}, "y must be counts, at least 0, for the Poisson loss, got -2"),
        ("square", None, {}, "y must be given"),
        ("square", "y", {}, "y may be the name of a column only where X is a data frame, got 'y'"),
    ],
)
def test_what_a_loss_cannot_take_is_refused(loss, y, options, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.problems.linear_model([[1.0], [2.0], [3.0]], y, loss, **options)


def test_nan_stays_nan_in_every_loss(data):
    for loss, options in CASES:
        problem = model_of(data, loss, options)
        theta = np.array([[0.1, 0.1, 0.1], [0.1, np.nan, 0.1]])
        for method in ("loss", "gradient", "hessian", "curvatures"):
            values = getattr(problem, method)(theta)
            assert np.isfinite(values[0]).all()
            assert np.isnan(values[1]).all(), (loss, method)


def test_terms_out_of_reach_of_all_lanes_are_skipped_and_only_those():
    """Residuals around the one from which exp(−r²/2) is 0, alone and beside a lane that is near; and NaN."""
    problem = ds.problems.linear_model([[1.0], [2.0]], [0.0, 0.0], "welsch")
    norms, out = problem.gradient_norms_field, np.empty((2, 2))
    for far in (37.0, 37.62, 37.64, 50.0, 1e10, np.nan):
        for lanes in ([far, far], [far, 0.5]):
            x = np.array([lanes])
            norms(x, problem.params, problem.weights.copy(), 0, out)
            r = x * np.array([[1.0], [2.0]])
            expected = 0.5 * np.abs(r) * np.where(r**2 > 1416, 0.0, np.exp(-(r**2) / 2)) * np.array([[1.0], [2.0]])
            np.testing.assert_allclose(out, expected, rtol=1e-12, atol=0)
