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
