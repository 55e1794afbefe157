"""Problems from SymPy expressions against closed forms."""

import sys

import numpy as np
import pytest

import dynsim as ds
from dynsim.problems import check_gradient

sympy = pytest.importorskip("sympy")
a, b, x, y, z = sympy.symbols("a b x y z")
DATA = {x: [1.0, -2.0, 0.5], y: [2.0, 3.0, 5.0]}


def test_one_expression_and_data_are_a_linear_model():
    problem = ds.Problem.from_sympy(1 - sympy.exp(-((a * x + b - y) ** 2) / 2), [a, b], data=DATA, weights=[1, 2, 3])
    rows = np.column_stack([DATA[x], np.ones(3)])
    builtin = ds.problems.linear_model(rows, DATA[y], "welsch", weights=[1, 2, 3])
    theta = np.random.default_rng(0).normal(size=(2, 4, 2))
    for method in ("term_losses", "term_gradients", "term_hessians", "hessian"):
        expected = getattr(builtin, method)(theta)
        np.testing.assert_allclose(getattr(problem, method)(theta), expected, rtol=1e-12, atol=1e-13, err_msg=method)
    assert ds.iterate(problem, ds.RR(0.1), 0.0, n_steps=10, rng=0).n_diverged == 0


def test_several_expressions_are_terms_and_numbers_may_be_named():
    problem = ds.Problem.from_sympy([a**4 + z * b, a * b**3 / 3, sympy.sin(z * a)], (a, b), data={z: 2})
    assert problem.n_terms == 3
    point = np.array([0.5, -1.5])
    np.testing.assert_allclose(
        problem.term_gradients(point), [[0.5, 2.0], [-1.125, 1.125], [2 * np.cos(1.0), 0.0]], rtol=1e-15
    )
    second = [[[3.0, 0.0], [0.0, 0.0]], [[0.0, 2.25], [2.25, -1.5]], [[-4 * np.sin(1.0), 0.0], [0.0, 0.0]]]
    np.testing.assert_allclose(problem.term_hessians(point), second, rtol=1e-15)


def test_kinks_and_pieces_are_differentiated_beside_their_jumps():
    expr = (
        sympy.Abs(a - 1)
        + sympy.Max(0, 1 - b) ** 2
        + sympy.Piecewise((a**2, a < 0), (a**3, True))
        + sympy.Min(a, 2 * b, 3)
    )
    problem = ds.Problem.from_sympy(expr, (a, b))
    points = [[-2.0, 0.5], [2.0, 0.5], [2.0, 3.0]]
    expected = [[-1 - 4 + 1, -1.0], [1 + 12.0, -1.0 + 2.0], [1 + 12 + 1, 0.0]]
    np.testing.assert_allclose(problem.gradient(points), expected, rtol=1e-15)
    second = [[[2.0, 0.0], [0.0, 2.0]], [[12.0, 0.0], [0.0, 2.0]], [[12.0, 0.0], [0.0, 0.0]]]
    np.testing.assert_allclose(problem.hessian(points), second, rtol=1e-15)
    assert check_gradient(problem, points)


def test_where_pieces_meet_the_gradient_is_that_of_one_of_them():
    problem = ds.Problem.from_sympy([sympy.Max(a, b), sympy.Min(a, 3 * b - 2), sympy.sqrt(a**2 + b**2)], (a, b))
    at_tie, at_tip = problem.term_gradients([[1.0, 1.0], [0.0, 0.0]])
    assert tuple(at_tie[0]) in {(1.0, 0.0), (0.0, 1.0)}
    assert tuple(at_tie[1]) in {(1.0, 0.0), (0.0, 3.0)}
    assert at_tip[2].tolist() == [0.0, 0.0]  # the minimum of a length
    np.testing.assert_allclose(at_tie[2], np.sqrt([0.5, 0.5]), rtol=1e-15)


def test_names_and_numbers_that_python_cannot_have_do_no_harm():
    odd, shout = sympy.symbols(r"lambda \theta_1")
    problem = ds.Problem.from_sympy(10**30 * odd + odd / 3 * shout, shout, data={odd: [1e-30, 3.0]})
    np.testing.assert_allclose(problem.term_losses([6.0]), [1.0, 3e30], rtol=1e-15)
    np.testing.assert_allclose(problem.term_gradients([6.0])[:, 0], [1e-30 / 3, 1.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("expr", "theta", "data", "error", "message"),
    [
        (a * x, a, {}, "ArgumentError", "expr contains x, which is neither in theta nor in data"),
        ("a", a, {x: [[1.0]]}, "ArgumentError", r"data\[x\] must be a number or have shape \(n,\)"),
        (a * x, a, {x: "one"}, "ArgumentError", r"data\[x\] must be numbers, got str"),
        (a * x * y, a, {x: [1], y: [1, 2]}, "ArgumentError", "columns of one length, got {'x': 1, 'y': 2}"),
        ([a, a * x], a, {x: [1, 2, 3]}, "ArgumentError", "data has 3 rows, but there are 2 expressions"),
        (a, "a", {}, "ArgumentError", "theta must be a SymPy symbol or a sequence of symbols, got 'a'"),
        (a, [a, a], {}, "ArgumentError", "theta must be different symbols"),
        (a, a, [1], "ArgumentError", "data must be a dict"),
        (sympy.I * a, a, {}, "ArgumentError", "expr must be a real SymPy expression"),
        (a > 0, a, {}, "ArgumentError", "expr must be a real SymPy expression"),
        (sympy.oo * a, a, {}, "ArgumentError", "a real SymPy expression without infinities"),
        (sympy.Piecewise((a**2, a < 1)), a, {}, "ArgumentError", "defined for all theta, but Piecewise.* is not"),
        (sympy.Sum(a**x, (x, 1, 3)), a, {}, "NotApplicable", r"write out expr.doit\(\)"),
        (a * x, a, {x: []}, "ArgumentError", r"data\[x\] must have at least one row"),
        (a * x, a, {x: [1.0, np.nan]}, "ArgumentError", r"data\[x\] must be finite"),
        (a, 3, {}, "ArgumentError", "theta must be a SymPy symbol or a sequence of symbols, got 3"),
        (sympy.LambertW(a), a, {}, "NotApplicable", "LambertW in the loss of expr is no function that can be compiled"),
        (sympy.Function("f")(a), a, {}, "NotApplicable", "f in the loss|cannot differentiate"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(expr, theta, data, error, message):
    with pytest.raises(getattr(ds.errors, error), match=message):
        ds.Problem.from_sympy(expr, theta, data=data)


def test_without_sympy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(ds.errors.NotApplicable, match=r"pip install 'dynsim\[sympy\]'"):
        ds.Problem.from_sympy(a, a)
