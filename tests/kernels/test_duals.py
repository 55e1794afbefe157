"""Gradients by dual numbers against mpmath's derivatives of the same formulas, in 40 digits."""

import re
from types import SimpleNamespace

import llvmlite.binding
import mpmath
import numba
import numpy as np
import pytest

from dynsim._kernels.user_fields import DoesNotCompile
from dynsim._kernels.user_problems import Terms

X, Y = 0.37, 1.83

ARITHMETIC = [
    "x + y - 3 * x * y / (2 + y)",
    "-x + (+y) - True * x",
    "2 - x / y / 3",
    "x**2 * y**3 - x**-2 + y**1 + x**7",
    "x**2.5 + 2**y + x**y + y**-0.5",
    "pow(x, 3) * math.pow(y, 2) + np.power(x, 3)",
    "(5 * y) % 2 * x + 7 % y",
    "max(x, 0.1, y, 2 * x) * min(y, x, 0.5) + max(1, y)",
    "np.maximum(x, y) * np.minimum(x, 0.2 + 0.1 * y)",
    "abs(x - y) * np.abs(x) + math.fabs(-y)",
    "np.add(x, y) * np.subtract(x, 2) / np.divide(y, np.multiply(x, 3))",
    "np.where(x > 1, x, y) * x if x < y else y",
    "np.clip(x, 0.5, 1.0) * y + np.clip(y, -9, 9)",
    "math.floor(3 * y) * x + np.sign(x) * y",
]
ELEMENTARY = [
    *(f"math.{name}(x) * y" for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan")),
    *(f"math.{name}(x * y)" for name in ("asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh")),
    *(f"np.{name}(0.3 * x + y)" for name in ("exp", "log", "sqrt", "square", "exp2", "arccosh", "arctan")),
    "math.erf(x) + math.erfc(y)",
    "math.atan2(x, y) + np.arctan2(1, x)",
    "math.hypot(x, y) + np.hypot(3, x)",
    "math.copysign(x, -y) + math.copysign(2, x)",
    "np.logaddexp(0, x * y) + np.logaddexp(x, y)",
    "math.tanh(40 * x) * 1e20 + math.expm1(-40 * y) * 1e20",
]
ARRAYS = {
    "(np.dot(theta, A) - 1) ** 2": "(x * A[0] + y * A[1] - 1) ** 2",
    "np.sum(M @ theta) + np.sum((theta @ M) ** 2)": (
        "(M[0, 0] + M[1, 0]) * x + (M[0, 1] + M[1, 1]) * y"
        " + (x * M[0, 0] + y * M[1, 0]) ** 2 + (x * M[0, 1] + y * M[1, 1]) ** 2"
    ),
    "np.sum((theta - A) ** 2 / 2)": "((x - A[0]) ** 2 + (y - A[1]) ** 2) / 2",
    "(np.exp(-theta) * theta[0]).sum()": "(math.exp(-x) + math.exp(-y)) * x",
    "np.mean(A / theta + theta % 1.5)": "(A[0] / x + A[1] / y + x + y - 1.5) / 2",
    "np.linalg.norm(theta - A)": "math.sqrt((x - A[0]) ** 2 + (y - A[1]) ** 2)",
    "np.max(theta) * theta.min() + np.sum(np.abs(theta - A))": "y * x + abs(x - A[0]) + abs(y - A[1])",
    "np.sum(np.maximum(theta, 0.4) * np.minimum(A, theta))": "0.4 * A[0] + y * y",
    "np.sum(np.where(theta > 0.4, theta**2, 0.0))": "y**2",
    "np.sum(theta[1:] * theta[:-1]) * len(theta) * theta.size": "4 * x * y",
    "np.sum(theta.copy().reshape((1, 2))[0] * np.sign(theta))": "x + y",
    "np.sum(theta**A)": "x ** A[0] + y ** A[1]",
    "np.sum(theta[:1] + A)": "2 * x",
}
A, M = np.array([-0.75, 2.0]), np.array([[1.0, 2.0], [-3.0, 0.5]])
NAMES = (
    "exp expm1 log log1p sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc atan2 hypot floor"
)
MATH = SimpleNamespace(
    **{name: getattr(mpmath, name) for name in NAMES.split()},
    log2=lambda x: mpmath.log(x, 2),
    log10=mpmath.log10,
    exp2=lambda x: mpmath.mpf(2) ** x,
    square=lambda x: x**2,
    arccosh=mpmath.acosh,
    arctan=mpmath.atan,
    arctan2=mpmath.atan2,
    fabs=abs,
    abs=abs,
    pow=pow,
    power=pow,
    maximum=max,
    minimum=min,
    sign=mpmath.sign,
    copysign=lambda a, b: abs(a) if b > 0 else -abs(a),
    logaddexp=lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)),
    add=lambda a, b: a + b,
    subtract=lambda a, b: a - b,
    multiply=lambda a, b: a * b,
    divide=lambda a, b: a / b,
    where=lambda c, a, b: a if c else b,
    clip=lambda x, low, high: min(max(x, low), high),
)


def function_of(text, head="x, y = theta[0], theta[1]"):
    """A loss from the text of a formula: one text for each term."""
    texts = [text] if isinstance(text, str) else text
    branches = "".join(f"    if n == {n}:\n        return 1.0 * ({each})\n" for n, each in enumerate(texts))
    names = {"math": __import__("math"), "np": np, "A": A, "M": M}
    exec(f"def loss(theta, n):\n    {head}\n{branches}    return 0.0\n", names)
    return names["loss"]


def gradients(function, points, n_terms=1, params=()):
    """Gradients of all terms at points (k, dim), (n_terms, k, dim)."""
    points = np.atleast_2d(np.asarray(points, dtype=float))
    _, field = Terms(points.shape[1], np.shape(params)).derived_gradient(function, with_params=len(params) > 0)
    lanes, out = np.ascontiguousarray(points.T), np.empty(points.T.shape)
    result = []
    for n in range(n_terms):
        field(lanes, np.ravel(params).astype(float), np.full(len(points), n), out)
        result.append(out.T.copy())
    return np.array(result)


def exact(text):
    formula = eval(f"lambda x, y: {text}", {"math": MATH, "np": MATH, "A": A, "M": M})
    with mpmath.workdps(40):
        point = (mpmath.mpf(X), mpmath.mpf(Y))
        return [float(mpmath.diff(formula, point, order)) for order in ((1, 0), (0, 1))]


@pytest.mark.parametrize("texts", [ARITHMETIC, ELEMENTARY, list(ARRAYS)], ids=["arithmetic", "elementary", "arrays"])
def test_gradients_are_exact_to_rounding(texts):
    found = gradients(function_of(texts), [X, Y], len(texts))[:, 0]
    for text, gradient in zip(texts, found, strict=True):
        expected = exact(ARRAYS.get(text, text))
        np.testing.assert_allclose(gradient, expected, rtol=1e-14, atol=1e-15 * np.abs(expected).max(), err_msg=text)


def unpacking(theta, n):
    x, y = theta
    total = 0
    for t in theta:
        total += t * t
    return total + x * y


def branching(theta, n):
    total = 0.0
    k = 0
    while k < 3 and total < 1.0:
        total += theta[0] if theta[1] > k else 2
        k += 1
    return total


def dynamic(theta, n, params):
    r = -params[n, 2]
    for j in range(theta.shape[0]):
        r += params[n, j] * theta[j]
    return 0.5 * r**2


def test_loops_branches_and_tuples_are_followed():
    np.testing.assert_array_equal(gradients(unpacking, [2.0, 3.0])[0, 0], [7.0, 8.0])
    np.testing.assert_array_equal(gradients(branching, [[0.25, 1.5], [0.25, 9.0], [5.0, 9.0]])[0, :, 0], [2, 3, 1])
    np.testing.assert_array_equal(gradients(lambda theta, n: 3, [1.0, 2.0])[0, 0], [0.0, 0.0])
    data = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    found = gradients(dynamic, [1.0, 3.0], 2, data)[:, 0]
    np.testing.assert_array_equal(found, [[4.0, 8.0], [1.5, -0.75]])


KINKS = {  # and the pieces that meet where x = y = 1, as their gradients; the one that is taken first
    "abs(x - y)": [(-1, 1), (1, -1)],
    "np.abs(theta)[0] - abs(3 * (1 - y))": [(1, -3), (1, 3)],
    "max(x, y)": [(1, 0), (0, 1)],
    "max(1.0, x, y)": [(0, 0), (1, 0), (0, 1)],
    "max(-x, 3 * y, x + 2 * y)": [(0, 3), (1, 2)],
    "min(2 * x - y, y * y)": [(2, -1), (0, 2)],
    "np.maximum(theta, 1.0)[0]": [(1, 0), (0, 0)],
    "np.minimum(-x, -y)": [(-1, 0), (0, -1)],
    "np.max(theta)": [(1, 0), (0, 1)],
    "math.hypot(x - 1, y - 1)": [(0, 0)],
    "math.atan2(x - 1, y - 1)": [(0, 0)],
}


def test_at_a_kink_it_is_the_gradient_of_the_first_piece():
    found = gradients(function_of(list(KINKS)), [1.0, 1.0], len(KINKS))[:, 0]
    for gradient, (text, pieces) in zip(found, KINKS.items(), strict=True):
        assert tuple(gradient) == pieces[0], text


def test_an_infinite_slope_that_does_not_matter_does_not_spoil_the_rest():
    texts = ["math.sqrt(x) + y", "x**0.5 * 0 + y", "np.sqrt(theta)[0] + y", "x**y + y", "x**0 + y"]
    np.testing.assert_array_equal(gradients(function_of(texts), [0.0, 2.0], 5)[:, 0, 1], 1.0)


@pytest.mark.parametrize("text", ["int(x)", "np.linalg.solve(M, theta)[0]", "round(x)"])
def test_what_would_lose_a_derivative_is_not_compiled(text):
    with pytest.raises(DoesNotCompile):
        gradients(function_of(text), [X, Y])


@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2", False), reason="no AVX2")
def test_a_derived_gradient_is_simd_code():
    _, field = Terms(1, ()).derived_gradient(function_of("math.exp(-x * x)", "x = theta[0]"), with_params=False)
    code = next(iter(field.inspect_asm().values()))
    assert len(re.findall(r"\bv(?:mul|fn?m(?:add|sub)\d+)pd\s.*%[yz]mm", code)) > 11
    assert not re.search(r"\$exp\b|\bexp@", code)


def test_arrays_of_numbers_keep_their_own_methods():
    """Derivatives of users' functions must not change what Numba makes of code that has nothing to do with them."""

    @numba.njit
    def product(a, b):
        return a.dot(b)

    assert product(np.eye(2), np.ones(2)).tolist() == [1, 1]
