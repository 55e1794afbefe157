import functools

import mpmath
import numpy as np
import pytest
from numba import types

from dynsim._kernels import elementary, jit

UNARY = types.void(jit.VECTOR, jit.VECTOR)


@jit.kernel(UNARY, cache=False)
def exp(x, out):
    for i in range(x.size):
        out[i] = elementary.exp(x[i])


@jit.kernel(UNARY, cache=False)
def log(x, out):
    for i in range(x.size):
        out[i] = elementary.log(x[i])


@jit.kernel(types.void(jit.VECTOR, jit.BLOCK), cache=False)
def sin_cos_turn(x, out):
    for i in range(x.size):
        out[0, i], out[1, i] = elementary.sin_cos_turn(x[i])


@functools.cache
def kernel_of(name):
    formula = getattr(elementary, name)

    @jit.kernel(UNARY, cache=False)
    def run(x, out):
        jit.widest_vectors()
        for i in range(x.size):
            out[i] = formula(x[i])

    return run


def apply(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


def in_units_in_the_last_place(value, reference):
    """Largest error of float values against mpmath values, in units in the last place of the reference."""
    spacings = np.spacing(np.abs(np.array(reference, dtype=float)))
    errors = [abs(float(v) - r) / float(unit) for v, r, unit in zip(value, reference, spacings, strict=True)]
    return float(max(errors))


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(40):
        yield


def test_exp_is_right_to_two_units_in_the_last_place():
    x = np.concatenate([np.linspace(-707, 708, 4001), np.random.default_rng(0).normal(size=4000)])
    assert in_units_in_the_last_place(apply(exp, x), [mpmath.exp(mpmath.mpf(float(v))) for v in x]) < 2


def test_exp_is_exact_at_its_edges():
    x = np.array([0.0, -0.0, -708.5, -1e300, -np.inf, 709.5, 1e300, np.inf, np.nan])
    np.testing.assert_array_equal(apply(exp, x), [1, 1, 0, 0, 0, np.inf, np.inf, np.inf, np.nan])


def test_log_is_right_to_two_units_in_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(4000), 1 + 1e-3 * rng.normal(size=2000), np.logspace(-300, 300, 2001), [2.0**-52]])
    x = x[x != 1]
    assert in_units_in_the_last_place(apply(log, x), [mpmath.log(mpmath.mpf(float(v))) for v in x]) < 2


def test_log_of_one_is_zero():
    assert apply(log, np.array([1.0]))[0] == 0


def test_sine_and_cosine_of_a_turn_are_right_to_4e_16():
    v = np.concatenate([np.random.default_rng(0).random(4000), np.arange(64) / 64, [1 - 2.0**-52]])
    out = np.empty((2, v.size))
    sin_cos_turn(v, out)
    turns = [2 * mpmath.pi * mpmath.mpf(float(value)) for value in v]
    errors = [
        max(abs(mpmath.mpf(float(s)) - mpmath.sin(t)), abs(mpmath.mpf(float(c)) - mpmath.cos(t)))
        for s, c, t in zip(*out, turns, strict=True)
    ]
    assert float(max(errors)) < 4e-16


def test_sine_and_cosine_of_many_turns_are_as_good():
    v = np.array([-0.375, -1.0, -3.2, 17.9, 1e6 + 0.25, -0.0])
    out = np.empty((2, v.size))
    sin_cos_turn(v, out)
    np.testing.assert_allclose(out, [np.sin(2 * np.pi * (v % 1)), np.cos(2 * np.pi * (v % 1))], rtol=0, atol=5e-16)


def spread(*, lowest, highest):
    """Numbers of both signs, evenly spread over these magnitudes' logarithms."""
    rng = np.random.default_rng(1)
    return np.exp(rng.uniform(np.log(lowest), np.log(highest), 1500)) * rng.choice([-1.0, 1.0], 1500)


def uniform(low, high):
    return np.random.default_rng(2).uniform(low, high, 1500)


NEAR_ZERO = spread(lowest=1e-320, highest=1.0)
# The doubles below 1e6 that are nearest to multiples of π/2, where the reduction of x cancels most.
NEAR_QUARTER_TURNS = np.array([np.pi / 2, np.pi, 45.553093477052, 5830.795965062656, 321307.9594422229])
ANGLES = np.concatenate([uniform(-1e6, 1e6), uniform(-20, 20), NEAR_ZERO, NEAR_QUARTER_TURNS, -NEAR_QUARTER_TURNS])


@pytest.mark.parametrize(
    ("name", "units", "x"),
    [
        ("expm1", 2, np.concatenate([uniform(-40, 709), uniform(-2, 2), NEAR_ZERO])),
        ("tanh", 3, np.concatenate([uniform(-25, 25), uniform(-1, 1), NEAR_ZERO])),
        ("sinh", 3, np.concatenate([uniform(-709, 709), uniform(-2, 2), NEAR_ZERO])),
        ("cosh", 2, np.concatenate([uniform(-709, 709), uniform(-2, 2)])),
        ("guarded_log", 2, np.abs(np.concatenate([spread(lowest=5e-324, highest=1e308), 1 + NEAR_ZERO, NEAR_ZERO]))),
    ],
)
def test_the_error_is_a_few_units_in_the_last_place(name, units, x):
    reference = getattr(mpmath, name.removeprefix("guarded_"))
    x = x[x != 1] if name == "guarded_log" else x
    values = apply(kernel_of(name), x)
    assert in_units_in_the_last_place(values, [reference(mpmath.mpf(float(v))) for v in x]) < units


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_of_radians_are_right_to_two_units_in_the_last_place(name):
    values = apply(kernel_of(name), ANGLES)
    exact = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in ANGLES]
    beyond = [max(abs(mpmath.mpf(float(v)) - e) - mpmath.mpf("1e-30"), 0) for v, e in zip(values, exact, strict=True)]
    units = np.spacing(np.abs(np.array(exact, dtype=float)))
    assert max(float(error) / unit for error, unit in zip(beyond, units, strict=True)) < 2


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine_of_larger_angles_are_those_of_an_angle_rounded_once_more(name):
    x = spread(lowest=1e6, highest=3e15)
    values = apply(kernel_of(name), x)
    exact = [getattr(mpmath, name)(mpmath.mpf(float(v))) for v in x]
    errors = np.array([float(abs(mpmath.mpf(float(v)) - e)) for v, e in zip(values, exact, strict=True)])
    assert (errors <= 2.0**-52 * np.abs(x)).all()
    huge = spread(lowest=1e15, highest=1.7e308)
    assert (np.abs(apply(kernel_of(name), huge)) <= 1).all()


NAN = np.nan
INF = np.inf


@pytest.mark.parametrize(
    ("name", "at_special_values"),
    [
        ("exp", [1, 1, 1, 1, INF, 0, INF, 0, NAN]),
        ("expm1", [0.0, -0.0, 5e-324, -5e-324, INF, -1, INF, -1, NAN]),
        ("tanh", [0.0, -0.0, 5e-324, -5e-324, 1, -1, 1, -1, NAN]),
        ("sinh", [0.0, -0.0, 5e-324, -5e-324, INF, -INF, INF, -INF, NAN]),
        ("cosh", [1, 1, 1, 1, INF, INF, INF, INF, NAN]),
        ("guarded_log", [-INF, -INF, np.log(5e-324), NAN, np.log(1e300), NAN, INF, NAN, NAN]),
        ("sin", [0.0, -0.0, 5e-324, -5e-324, None, None, NAN, NAN, NAN]),
        ("cos", [1, 1, 1, 1, None, None, NAN, NAN, NAN]),
    ],
)
def test_values_at_the_edges(name, at_special_values):
    x = np.array([0.0, -0.0, 5e-324, -5e-324, 1e300, -1e300, INF, -INF, NAN])
    defined = np.array([value is not None for value in at_special_values])
    expected = np.array([value for value in at_special_values if value is not None], dtype=float)
    values = apply(kernel_of(name), x)[defined]
    np.testing.assert_array_equal(values, expected)
    signed = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values)[signed], np.signbit(expected)[signed])


@pytest.mark.parametrize("name", ["exp", "expm1", "guarded_log", "sin", "cos", "sinh", "cosh", "tanh"])
def test_each_is_simd_code(name):
    assert "x double>" in next(iter(kernel_of(name).inspect_llvm().values()))
