"""Users write math.exp or np.exp for one path; the loop over lanes must be SIMD code all the same."""

import cmath
import math
import math as m
import re
from math import exp

import llvmlite.binding
import numba
import numpy as np
import pytest
from numba.core import config
from numpy import tanh as hyperbolic_tangent

import dynsim as ds
from dynsim._kernels import user_fields
from dynsim._kernels.user_math import with_vector_math

needs_avx2 = pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2", False), reason="no AVX2")
needs_llvm_20 = pytest.mark.skipif(
    llvmlite.binding.llvm_version_info < (20,), reason="older LLVM leaves every loop over lanes of two rows scalar"
)

# Müller and Brown's potential, Σ A exp(a (x − X)² + b (x − X)(y − Y) + c (y − Y)²)
A, a, b = (-200.0, -100.0, -170.0, 15.0), (-1.0, -1.0, -6.5, 0.7), (0.0, 0.0, 11.0, 0.6)
c, X, Y = (-10.0, -10.0, -6.5, 0.7), (1.0, 0.0, -0.5, -1.0), (0.0, 0.5, 1.5, 1.0)
WELLS = np.array([A, a, b, c, X, Y])
A_ARRAY, NUMBER = np.array(A), 4


def written_out(t, x):
    u, v = x[0], x[1]
    e0 = -200 * math.exp(-((u - 1) ** 2) - 10 * v**2)
    e1 = -100 * math.exp(-(u**2) - 10 * (v - 0.5) ** 2)
    e2 = -170 * math.exp(-6.5 * (u + 0.5) ** 2 + 11 * (u + 0.5) * (v - 1.5) - 6.5 * (v - 1.5) ** 2)
    e3 = 15 * math.exp(0.7 * (u + 1) ** 2 + 0.6 * (u + 1) * (v - 1) + 0.7 * (v - 1) ** 2)
    ux = -2 * e0 * (u - 1) - 2 * e1 * u + e2 * (-13 * (u + 0.5) + 11 * (v - 1.5)) + e3 * (1.4 * (u + 1) + 0.6 * (v - 1))
    uy = (
        -20 * e0 * v
        - 20 * e1 * (v - 0.5)
        + e2 * (11 * (u + 0.5) - 13 * (v - 1.5))
        + e3 * (0.6 * (u + 1) + 1.4 * (v - 1))
    )
    return -ux, -uy


def loop_over_tuples(t, x):
    ux = uy = 0.0
    for n in range(4):
        dx, dy = x[0] - X[n], x[1] - Y[n]
        e = A[n] * np.exp(a[n] * dx**2 + b[n] * dx * dy + c[n] * dy**2)
        ux += e * (2 * a[n] * dx + b[n] * dy)
        uy += e * (b[n] * dx + 2 * c[n] * dy)
    return -ux, -uy


def loop_over_zip(t, x):
    ux = uy = 0.0
    for An, an, bn, cn, Xn, Yn in zip(A_ARRAY, a, b, c, X, Y):  # noqa: B905
        dx, dy = x[0] - Xn, x[1] - Yn
        e = An * m.exp(an * dx**2 + bn * dx * dy + cn * dy**2)
        ux += e * (2 * an * dx + bn * dy)
        uy += e * (bn * dx + 2 * cn * dy)
    return -ux, -uy


def loop_over_an_array(t, x):
    ux = uy = 0.0
    for n in range(len(A_ARRAY)):
        dx, dy = x[0] - WELLS[4, n], x[1] - WELLS[5, n]
        e = A_ARRAY[n] * exp(WELLS[1, n] * dx**2 + WELLS[2, n] * dx * dy + WELLS[3, n] * dy**2)
        ux += e * (2 * WELLS[1, n] * dx + WELLS[2, n] * dy)
        uy += e * (WELLS[2, n] * dx + 2 * WELLS[3, n] * dy)
    return -ux, -uy


def loop_over_params(t, x, params):
    ux = uy = 0.0
    for n in range(NUMBER):
        dx, dy = x[0] - params[16 + n], x[1] - params[20 + n]
        e = params[n] * math.exp(params[4 + n] * dx**2 + params[8 + n] * dx * dy + params[12 + n] * dy**2)
        ux += e * (2 * params[4 + n] * dx + params[8 + n] * dy)
        uy += e * (params[8 + n] * dx + 2 * params[12 + n] * dy)
    return -ux, -uy


def field_of(function, dim):
    with_params = function.__code__.co_argcount == 3
    return user_fields.drift_field(function, (dim,), with_params=with_params, n_params=24 if with_params else 0)


def calls_libm(field):
    """Whether the compiled code names one of libm's functions, from where it would call it."""
    code = next(iter(field.inspect_asm().values()))
    return re.search(r"\$(exp|log|sin|cos|tanh)\b|\b(exp|log|sin|cos|tanh)@", code) is not None


def packed_multiplications(field):
    code = next(iter(field.inspect_asm().values()))
    return len(re.findall(r"\bv(?:mul|fn?m(?:add|sub)\d+)pd\s.*%[yz]mm", code))


def muller_brown_force(x):
    An, an, bn, cn, Xn, Yn = WELLS[:, :, None]
    dx, dy = x[0] - Xn, x[1] - Yn
    e = An * np.exp(an * dx**2 + bn * dx * dy + cn * dy**2)
    return -np.array([(e * (2 * an * dx + bn * dy)).sum(0), (e * (bn * dx + 2 * cn * dy)).sum(0)])


WAYS = [written_out, loop_over_tuples, loop_over_zip, loop_over_an_array, loop_over_params]


@needs_avx2
@needs_llvm_20
@pytest.mark.parametrize("drift", WAYS, ids=lambda drift: drift.__name__)
def test_a_sum_of_exponentials_is_simd_code_however_it_is_written(drift):
    field = field_of(drift, 2)
    assert not calls_libm(field)
    assert packed_multiplications(field) > 4 * 11  # the polynomials of four exponentials
    x = np.random.default_rng(0).uniform(-1.2, 1.2, size=(2, 67))
    out = np.empty_like(x)
    field(0.0, x, WELLS.ravel(), out)
    np.testing.assert_allclose(out, muller_brown_force(x), rtol=1e-12, atol=1e-11)


@needs_avx2
def test_thirty_terms_are_simd_code_too(capfd):
    centers = tuple(np.linspace(-2, 2, 30))

    def drift(t, x):
        total = 0.0
        for center in centers:
            total += (x[0] - center) * np.exp(-0.5 * (x[0] - center) ** 2)
        return (total,)

    assert packed_multiplications(field_of(drift, 1)) > 30 * 11
    assert capfd.readouterr().err == ""


def loop_that_ends_early(t, x):
    total = 0.0
    for n in range(6):
        if x[0] > 1.4 + n:
            return (total,)
        total += math.exp(-n * x[0] ** 2)
        if total > 2.5:
            break
    return (total,)


def loops_of_unknown_length(t, x):
    total = 0.0
    for n in range(int(4 + t)):
        total += math.exp(-n * x[0] ** 2)
    while total > 1.0:
        total *= 0.5
    return (total,)


def loops_in_loops(t, x):
    total = 0.0
    for n in range(3):
        for k, weight in enumerate(A):
            if k == n:
                continue
            total += weight * math.tanh(x[0] * n + k)
    return (total,)


def long_loop(t, x):
    total = 0.0
    for n in range(2000):
        total += math.exp(-n * x[0] ** 2)
    return (total,)


@pytest.mark.parametrize("drift", [loop_that_ends_early, loops_of_unknown_length, loops_in_loops, long_loop])
def test_any_loop_gives_what_plain_python_gives_and_llvm_has_nothing_to_warn_of(drift, capfd):
    x = np.array([[-1.3, 0.1, 0.7, 2.0, 5.0]])
    out = np.empty_like(x)
    field_of(drift, 1)(0.0, x, np.empty(0), out)
    np.testing.assert_allclose(out[0], [drift(0.0, [value])[0] for value in x[0]], rtol=1e-12)
    assert capfd.readouterr().err == ""


def from_a_closure():
    my_math, my_exp, numpy = math, np.exp, np
    return lambda x: my_math.sin(x) + my_exp(x) + numpy.log(x)


def bound_to_a_local_name(x):
    f = math.cosh
    return f(x) + (lambda y: np.cos(y))(x)


REFERENCES = [
    lambda x: math.exp(x) + math.log(x) + math.sin(x) + np.cos(x) + np.tanh(x),
    lambda x: np.sinh(x) + math.cosh(x) + np.expm1(x),
    lambda x: m.exp(x) + exp(2 * x) + hyperbolic_tangent(x),
    from_a_closure(),
    bound_to_a_local_name,
]
LIBM_IN_LLVM = re.compile(r"@(llvm\.)?(exp|expm1|log|sin|cos|sinh|cosh|tanh)(\.f64)?\(")


@pytest.mark.parametrize("function", REFERENCES)
def test_every_way_to_name_a_function_reaches_ours(function):
    ours = numba.njit(with_vector_math(function))
    assert ours(0.7) == pytest.approx(function(0.7), rel=1e-15)
    assert not LIBM_IN_LLVM.search(next(iter(ours.inspect_llvm().values())))


def test_elsewhere_the_same_names_stay_libm():
    function = REFERENCES[2]
    with_vector_math(function)
    theirs = numba.njit(function)
    theirs(0.7)
    assert LIBM_IN_LLVM.search(next(iter(theirs.inspect_llvm().values())))


@numba.njit
def compiled_helper(x):
    return math.exp(x)


OTHERS = [
    lambda x: np.exp(1j * x).real + cmath.exp(1j * x).imag,
    lambda x: np.exp(A_ARRAY * x, np.empty(4)).sum(),
    lambda x: compiled_helper(x) + math.sqrt(x) + np.pi,
    lambda x: np.array([np.exp(n * x) for n in range(3)]).sum() + np.zeros(2, dtype=np.float64)[0],
]


@pytest.mark.parametrize("function", OTHERS)
def test_all_else_is_as_it_was(function):
    assert numba.njit(with_vector_math(function))(0.7) == pytest.approx(function(0.7), rel=1e-15)


def test_single_precision_stays_single():
    function = with_vector_math(lambda x: np.exp(x))
    assert numba.njit(function)(np.float32(0.7)) == pytest.approx(np.exp(np.float32(0.7)), rel=1e-7)


def test_integers_become_floats():
    function = numba.njit(with_vector_math(lambda n: (math.exp(n), np.exp(n), np.log(2), math.sin(True))))
    assert function(3) == pytest.approx((math.exp(3), math.exp(3), math.log(2), math.sin(1)), rel=1e-15)


def test_the_copy_keeps_what_belongs_to_the_function():
    def function(x, scale=2.0, *, shift=1.0):
        return scale * math.exp(x) + shift

    copy = with_vector_math(function)
    assert (copy.__name__, copy.__qualname__, copy.__module__) == (
        function.__name__,
        function.__qualname__,
        function.__module__,
    )
    assert copy(0.0) == function(0.0) == 3.0
    assert copy(0.0, 3.0, shift=0.0) == 3.0
    assert function.__globals__["math"] is math
    assert copy.__globals__["math"] is not math


def test_a_name_in_the_closure_that_is_not_bound_yet_stays_so():
    def function(x):
        return later + math.exp(x)

    copy = with_vector_math(function)
    later = 1.0
    assert copy(0.0) == 2.0


def test_what_is_compiled_already_is_left_alone(monkeypatch):
    assert with_vector_math(compiled_helper) is compiled_helper
    assert with_vector_math(math.exp) is math.exp
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    assert with_vector_math(written_out) is written_out


def calls_a_plain_function(t, x):
    return math.exp(muller_brown_force(x))


def wrong_argument(t, x):
    return math.exp(1j * x[0]) if x[0] > 1e9 else 0.0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (calls_a_plain_function, r"Untyped global name 'muller_brown_force'"),
        (wrong_argument, r"<built-in function exp>.*exp\(complex128\)"),
    ],
)
def test_a_refusal_names_the_users_line_and_none_of_ours(function, reason):
    line = function.__code__.co_firstlineno + 1
    with pytest.raises(user_fields.DoesNotCompile, match=reason) as refusal:
        user_fields.drift_field(function, (), with_params=False, n_params=0)
    assert re.search(rf"test_user_math.py\", line {line}: return math.exp\(.*\)$", str(refusal.value))
    assert "user_math.py" not in str(refusal.value).replace("test_user_math.py", "")


class Force:
    def drift(self, t, x):
        return -x[0]


def test_what_is_no_plain_function_is_refused_with_the_reason():
    with pytest.raises(ds.errors.ArgumentError, match=r"drift cannot be compiled: .*not a function"):
        ds.SDE(Force().drift, lambda t, x: 1.0)


@needs_avx2
def test_a_function_that_our_compiler_fails_on_is_compiled_as_numba_does(monkeypatch):
    def fail(function):
        raise RuntimeError

    monkeypatch.setattr(user_fields, "with_vector_math", fail)
    assert calls_libm(field_of(lambda t, x: (math.exp(x[0]),), 1))
