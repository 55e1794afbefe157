"""A user's own losses and data, against the same problems as dynsim has them."""

import functools
import math
import subprocess
import sys

import numpy as np
import pytest

import dynsim as ds
from dynsim.problems import check_gradient

CENTERS = np.array([1.0, -2.0, 0.5])


def welsch(theta, n, params):
    r = -params[n, 3]
    for j in range(3):
        r += params[n, j] * theta[j]
    return 1 - math.exp(-r * r / 2)


def welsch_gradient(theta, n, params, out):
    r = np.dot(params[n, :3], theta) - params[n, 3]
    out[:] = r * np.exp(-r * r / 2) * params[n, :3]


def parabola(theta, n):
    return 0.5 * (theta[0] - CENTERS[n]) ** 2


def parabola_gradient(theta, n, out):
    out[0] = theta[0] - CENTERS[n]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(12, 3))
    return np.column_stack([X, X @ np.array([1.0, -0.5, 2.0]) + rng.normal(size=12)])


@pytest.fixture(scope="module")
def derived(rows):
    return ds.Problem.from_terms(welsch, n_terms=12, dim=3, params=rows)


@pytest.fixture(scope="module")
def builtin(rows):
    return ds.problems.linear_model(rows[:, :3], rows[:, 3], "welsch")


def test_a_derived_gradient_is_the_one_by_hand(derived, builtin):
    theta = np.random.default_rng(1).normal(size=(2, 5, 3))
    np.testing.assert_allclose(derived.term_losses(theta), builtin.term_losses(theta), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(derived.term_gradients(theta), builtin.term_gradients(theta), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(derived.hessian(theta), builtin.hessian(theta), atol=1e-8)


def test_the_users_gradient_and_hessian_are_the_ones_by_hand(rows, builtin):
    def hessian(theta, n, params, out):
        r = params[n, 0] * theta[0] + params[n, 1] * theta[1] + params[n, 2] * theta[2] - params[n, 3]
        for j in range(3):
            for k in range(3):
                out[j, k] = (1 - r * r) * math.exp(-r * r / 2) * params[n, j] * params[n, k]

    problem = ds.Problem.from_terms(welsch, welsch_gradient, hessian=hessian, n_terms=12, dim=3, params=rows)
    theta = np.random.default_rng(1).normal(size=(2, 5, 3))
    np.testing.assert_allclose(problem.term_gradients(theta), builtin.term_gradients(theta), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(problem.term_hessians(theta), builtin.term_hessians(theta), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", [ds.SGD(0.1), ds.RR(0.1)], ids=["SGD", "RR"])
def test_its_chain_is_the_builtin_ones(derived, builtin, method):
    paths = [ds.iterate(p, method, 0.3, n_steps=200, n_paths=5, rng=0).x for p in (derived, builtin)]
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-9, atol=1e-9)


def test_closures_flat_parameters_and_unpacking_are_understood():
    scale = 3.0

    def loss(theta, n, params):
        x, y = theta
        return scale * (x - params[n]) ** 2 + y * CENTERS[n]

    problem = ds.Problem.from_terms(loss, n_terms=3, dim=2, params=[1.0, 2.0, 4.0], weights=[2, 1, 1], name="mine")
    assert (problem.name, problem.weights.tolist()) == ("mine", [0.5, 0.25, 0.25])
    np.testing.assert_allclose(problem.gradient([0.0, 5.0]), [-6 * 2.0, 0.5 - 0.5 + 0.125], rtol=1e-15)


def test_what_is_known_is_kept():
    problem = ds.Problem.from_terms(
        lambda theta, n: abs(theta[0]) + n, n_terms=2, dim=1, minima=[0.0], kinks=[0.0], bounds=(-1, 1), check=False
    )
    assert (problem.minima.tolist(), problem.kinks, problem.bounds.tolist()) == ([[0.0]], (0.0,), [[-1.0, 1.0]])
    assert problem.term_gradients([[-1.0], [0.0], [1.0]])[:, 0, 0].tolist() == [-1, -1, 1]


def test_another_function_has_another_fingerprint():
    def make(loss=parabola):
        return ds.Problem.from_terms(loss, parabola_gradient, n_terms=3, dim=1, check=False).fingerprint()

    prints = [make(), make(lambda theta, n: 0.5 * (theta[0] - CENTERS[n]) ** 2 + 1)]
    assert make() == prints[0]
    assert prints[0] != prints[1]


def test_a_problem_keeps_what_its_functions_referred_to_when_it_was_defined():
    scale, table = 2.0, np.ones(1)
    space = {"SCALE": 2.0, "math": math}
    source = """
def loss(theta, n):
    return SCALE * theta[0] ** 2
def gradient(theta, n, out):
    out[0] = 2 * SCALE * theta[0]
def hessian(theta, n, out):
    out[0, 0] = 2 * SCALE
"""
    exec(source, space)
    functions = [space[name] for name in ("loss", "gradient", "hessian")]
    problem = ds.Problem.from_terms(*functions[:2], hessian=functions[2], n_terms=1, dim=1, check=False)
    enclosed = ds.Problem.from_terms(lambda theta, n: scale * table[0] * theta[0] ** 2, n_terms=1, dim=1, check=False)
    digest = problem.fingerprint()
    space["SCALE"] = scale = 5.0
    table[0] = 7.0
    assert (problem.loss([1.0]), problem.gradient([1.0]), problem.hessian([1.0])) == (2.0, 4.0, 4.0)
    assert (enclosed.loss([1.0]), enclosed.gradient([1.0])) == (2.0, 4.0)
    assert problem.fingerprint() == digest
    later = ds.Problem.from_terms(*functions[:2], hessian=functions[2], n_terms=1, dim=1, check=False)
    assert later.fingerprint() != digest


def test_nothing_is_compiled_that_the_first_run_does_not_use():
    problem = ds.Problem.from_terms(lambda theta, n: 0.5 * (theta[0] - n) ** 2, n_terms=3, dim=1)
    ds.iterate(problem, ds.SGD(0.1), 0.3, n_steps=10, rng=0)
    assert "losses_field" not in vars(problem)
    np.testing.assert_allclose(problem.term_losses([0.5]), [0.125, 0.125, 1.125], rtol=1e-15)
    assert "losses_field" in vars(problem)


def test_a_loss_that_overflows_in_python_only_is_compiled_to_look_where_it_is_finite():
    def undefined_in_python(theta, n):
        return 1.0 / (1.0 + math.exp(800.0 * theta[0]))

    problem = ds.Problem.from_terms(undefined_in_python, n_terms=1, dim=1, check=False)
    assert ds.iterate(problem, ds.SGD(0.1), 1.0, n_steps=1, rng=0).x[0, 0] == 1.0  # not refused
    assert problem.loss([1.0]) == 0.0


def test_a_false_minimum_is_refused_and_one_at_a_kink_is_not():
    def of_wells(minima, loss=lambda theta, n: 0.8 * (theta[0] ** 2 - 1) ** 2 + theta[0] / 20):
        return ds.Problem.from_terms(loss, n_terms=1, dim=1, minima=minima)

    with pytest.raises(
        ds.errors.ArgumentError, match=r"minima has \[1.0\], but the gradient of lambda is \[0.05.*there"
    ):
        of_wells([1.0])
    assert of_wells([0.9921]).minima.tolist() == [[0.9921]]  # 0.992091…
    assert of_wells([0.5], lambda theta, n: abs(theta[0] - 0.5) + 0.3 * theta[0]).minima.tolist() == [[0.5]]


# -- check_gradient


def slightly_wrong(theta, n, out):
    out[0] = (theta[0] - CENTERS[n]) * (1 + 1e-5 * (n == 1))


def test_a_gradient_that_is_wrong_by_a_hundred_thousandth_is_found_and_named():
    problem = ds.Problem.from_terms(parabola, slightly_wrong, n_terms=3, dim=1, check=False)
    check = check_gradient(problem, [[0.25]])
    assert not check
    assert (check.term, check.coordinate, check.n_compared) == (1, 0, 3)
    assert check.gradient == pytest.approx(2.25 * (1 + 1e-5), rel=1e-14)
    assert check.difference == pytest.approx(2.25, rel=1e-9)
    assert check.error == pytest.approx(2.25e-5, rel=1e-3)
    assert check.tolerance < 3e-6
    assert "term 1 at theta = [0.25] has 2.2500225 in coordinate 0" in str(check)
    assert check_gradient(problem, [[0.25]], tol=1e-4)
    with pytest.raises(ds.errors.ArgumentError, match="gradient does not fit loss: the gradient of term 1 at"):
        ds.Problem.from_terms(parabola, slightly_wrong, n_terms=3, dim=1)


def test_the_tolerance_follows_the_rounding_of_the_loss():
    """A constant of 1e9 leaves the differences seven digits; that is no fault of the gradient, and no excuse for it."""

    def loss(theta, n):
        return 1e9 + 0.5 * (theta[0] - CENTERS[n]) ** 2

    right = ds.Problem.from_terms(loss, parabola_gradient, n_terms=3, dim=1)
    check = check_gradient(right)
    assert check.tolerance > 1e-6
    assert check.error < check.tolerance

    def wrong(theta, n, out):
        out[0] = 1.01 * (theta[0] - CENTERS[n])

    assert not check_gradient(ds.Problem.from_terms(loss, wrong, n_terms=3, dim=1, check=False))


@pytest.mark.parametrize(
    ("make", "theta"),
    [
        (lambda: of(lambda theta, n: max(0.0, abs(theta[0] - CENTERS[n]) - 1.0), check=False), None),
        (lambda: of(lambda theta, n: 0.0 * theta[0], check=False), None),
        (lambda: ds.problems.egg_carton(), [0.0, 0.0]),
        (lambda: ds.problems.disparate_groups(30, 2, rng=0), None),
        (lambda: ds.problems.quadratic([1.0, 1.0]), [0.0, 0.0]),
    ],
    ids=["flat parts", "zero", "saddle", "exact fit", "minimum"],
)
def test_gradients_that_vanish_are_compared_too(make, theta):
    check = check_gradient(make(), theta)
    assert check
    assert check.n_compared > 0


def test_a_gradient_of_nan_is_told_from_a_wrong_one_and_a_kink_from_both():
    def spoiled(theta, n, out):
        out[0] = math.nan

    check = check_gradient(of(gradient=spoiled, check=False))
    assert not check
    assert "is nan in coordinate 0, where the loss is finite" in str(check)
    with pytest.raises(ds.errors.ArgumentError, match="kinks or jumps there"):
        check_gradient(of(lambda theta, n: max(0.0, theta[0]), check=False), [[0.0]])


def test_builtin_problems_pass_away_from_kinks_and_between_close_ones(valleys):
    assert check_gradient(valleys)
    assert check_gradient(valleys, [[-1.0 + 1e-5], [1e-6], [0.2 - 1e-7]])
    with pytest.raises(ds.errors.ArgumentError, match="kinks or jumps there"):
        check_gradient(valleys, [[0.0]])


# -- refusals


def of(loss=parabola, gradient=None, **options):
    return ds.Problem.from_terms(loss, gradient, **{"n_terms": 3, "dim": 1} | options)


def leaves_out_unset(theta, n, out):
    if n != 1:
        out[0] = theta[0] - CENTERS[n]


def fails_to_compile(theta, n):
    return {"a": theta[0]}["a"].bit_length()


REFUSALS = [
    (lambda: of(3), r"loss must be a plain Python function, loss\(theta, n, params\), got int"),
    (lambda: of(functools.partial(parabola, n=0)), "loss must be a plain Python function.* got partial"),
    (lambda: of(lambda theta: 0.0), r"loss must be loss\(theta, n, params\); params may be left out; got \(theta\)"),
    (lambda: of(lambda theta, *rest: 0.0), "loss must be"),
    (lambda: of(lambda theta, n: None), "loss must return a number, it returned NoneType for term 0"),
    (lambda: of(lambda theta, n: theta), r"loss must return a number, it returned ndarray of shape \(1,\)"),
    (lambda: of(lambda theta, n: np.random.random()), "loss must not draw random numbers"),  # noqa: NPY002
    (lambda: of(n_terms=4), "loss fails for term 3 of n_terms = 4 .*IndexError: index 3 is out of bounds"),
    (lambda: of(lambda theta, n: theta[1]), "theta of length dim = 1: IndexError: index 1"),
    (lambda: of(lambda theta, n: no_such_name), "loss fails .*NameError"),  # noqa: F821
    (lambda: of(lambda theta, n: math.log(-1 - theta[0] ** 2)), "loss fails .*ValueError"),
    (lambda: of(lambda theta, n: np.log(-1 - theta[0] ** 2)), "is not finite at any of the 64 points .*give bounds"),
    (
        lambda: of(gradient=lambda theta, n: theta),
        "gradient must be gradient.* that fills its last argument, named out",
    ),
    (lambda: of(gradient=lambda theta, n, params: theta), "fills its last argument, named out"),
    (
        lambda: of(gradient=lambda theta, n, out: theta),
        "gradient must fill out and return nothing, it returned ndarray",
    ),
    (lambda: of(gradient=lambda theta, n, out: None), r"must assign each entry of out, but out\[0\] depends"),
    (lambda: of(gradient=lambda theta, n, out: out.__setitem__(1, 0.0)), "gradient fails .*IndexError: index 1"),
    (lambda: of(params=[1.0]), "params has 1 numbers, but no function has an argument for them"),
    (lambda: of(params=np.zeros((2, 2, 2))), r"params must have one axis or two, rows of data, got shape \(2, 2, 2\)"),
    (lambda: of(params=["a"]), "params must be an array of numbers, got list"),
    (lambda: of(params=[np.nan]), "params must be finite"),
    (lambda: of(n_terms=0), "n_terms must be a whole number, at least 1, got 0"),
    (lambda: of(dim=1.5), "dim must be a whole number"),
    (lambda: of(weights=[1, 1]), "weights must be 3 positive numbers, one for each term"),
    (lambda: of(bounds=(1, -1)), "bounds must have low < high for each coordinate"),
    (lambda: of(bounds=(1, 2, 3)), r"bounds must have 2 axes, got shape \(3,\)"),
    (lambda: of(dim=2, kinks=[0.0]), "kinks are points on a line, for dim = 1"),
    (lambda: of(fails_to_compile), "loss fails .*AttributeError"),
    (lambda: of(lambda theta, n: calls_plain(theta[0])), "loss cannot be compiled: it calls a plain function"),
    (lambda: of(lambda theta, n: math.gamma(theta[0])), "gradient of loss cannot be derived: .*give"),
    (lambda: of(gradient=leaves_out_unset), r"must assign each entry of out, but out\[0\] depends"),
    (lambda: of(lambda theta, n: 0.0 if n != 1 else None), "it returned NoneType for term 1"),
    (lambda: check_gradient(ds.problems.abs_well(), rng="x"), "rng must be a nonnegative int or a Generator, got 'x'"),
    (lambda: of(dim=1001), "cannot be derived: dim is 1001"),
]


def calls_plain(x):
    return x


@pytest.mark.parametrize(("make", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_what_cannot_work_is_refused_with_the_reason(make, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        make()


def test_a_refusal_names_the_line():
    def loss(theta, n):
        return math.fsum([theta[0], n])

    with pytest.raises(ds.errors.ArgumentError, match=r"test_user.py\", line \d+: return math.fsum\("):
        of(loss)


DEFINED = """
import time, math, numpy as np, dynsim as ds
ds.iterate(ds.problems.two_valleys(), ds.SGD(0.04), 0.25, n_steps=1)
rng = np.random.default_rng(0)
data = rng.normal(size=(200, 3))
start = time.process_time()
def loss(theta, n, params):
    r = theta[0] * params[n, 0] + theta[1] * params[n, 1] - params[n, 2]
    return math.log(math.cosh(r))
problem = ds.Problem.from_terms(loss, n_terms=200, dim=2, params=data)
ds.iterate(problem, ds.SGD(0.1), 0.0, n_steps=1000, n_paths=100, rng=0)
print(time.process_time() - start)
"""


@pytest.mark.slow
def test_a_loss_runs_within_two_seconds_of_being_defined(tmp_path):
    script = tmp_path / "defined.py"
    script.write_text(DEFINED)
    output = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    assert float(output) < 2.0
