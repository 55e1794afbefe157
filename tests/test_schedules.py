import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynsim as ds
from dynsim.errors import ArgumentError
from dynsim.schedules import (
    Constant,
    Cosine,
    Custom,
    Geometric,
    InverseSquareRoot,
    Linear,
    Polynomial,
    Step,
    WarmUp,
    as_schedule,
)

# Each with its formula for one step number
FORMULAS = [
    (Constant(0.3), lambda k: 0.3),
    (Polynomial(0.5, 3, 0.75), lambda k: 0.5 / (k + 3) ** 0.75),
    (Linear(2e-3, 1e-5, 5000), lambda k: 2e-3 + (1e-5 - 2e-3) * min(k, 4999) / 4999),
    (Geometric(0.4, 0.99), lambda k: 0.4 * math.exp(k * math.log(0.99))),
    (Step(0.4, 0.1, 100), lambda k: 0.4 * 10.0 ** -(k // 100)),
    (Cosine(0.4, 0.1, 101), lambda k: 0.1 + 0.15 * (1 + math.cos(math.pi * min(k, 100) / 100))),
    (WarmUp(0.4, 50), lambda k: 0.4 * min(k + 1, 50) / 50),
    (WarmUp(Geometric(0.4, 0.99), 50), lambda k: 0.4 * 0.99**k * min(k + 1, 50) / 50),
    (InverseSquareRoot(2.0, 10_000), lambda k: 0.02),
    (Custom(lambda k: 1 / (1 + k)), lambda k: 1 / (1 + k)),
]
each = pytest.mark.parametrize(("schedule", "formula"), FORMULAS, ids=[repr(s)[:30] for s, _ in FORMULAS])


@each
@given(st.lists(st.integers(0, 6000), max_size=6))
def test_values_are_those_of_the_formula(schedule, formula, steps):
    found = schedule(np.array(steps, dtype=np.int64))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [formula(k) for k in steps], rtol=1e-12)


@each
def test_shapes_are_kept_and_a_run_passes_the_check(schedule, formula):
    assert schedule(np.zeros((2, 3), dtype=np.int32)).shape == (2, 3)
    assert schedule(7) == pytest.approx(formula(7), rel=1e-12)
    schedule.check(3000)


@each
def test_a_schedule_is_an_equal_printable_value(schedule, formula):
    assert hash(schedule) == hash(schedule)
    if not isinstance(schedule, Custom):
        assert eval(repr(schedule)) == schedule
        assert schedule != Constant(99.0)


@each
def test_schedules_draw_themselves(schedule, formula):
    from matplotlib.figure import Figure

    ax = schedule.plot(300, Figure().add_subplot())
    x, y = ax.lines[0].get_data()
    assert (x[0], x[-1]) == (0, 299)
    np.testing.assert_allclose(y, [formula(int(k)) for k in x], rtol=1e-12)


def test_linear_and_cosine_begin_and_end_exactly():
    for kind in (Linear, Cosine):
        assert kind(2e-3, 1e-5, 5000)([0, 4999, 5000, 10**9]).tolist() == [2e-3, 1e-5, 1e-5, 1e-5]


def test_polynomial_is_that_of_an_and_ying_with_m_one_larger():
    """They number the steps from 1: η_1 = γ/(1 + m)^p is the first."""
    m = 4
    assert Polynomial(1.0, m + 1, 1)(0) == 1 / (1 + m)


@pytest.mark.parametrize(
    ("schedule", "n_steps", "message"),
    [
        (Linear(0.1, 0, 11), 20, "but Linear.* gives 0 at step 10 of 0 to 19"),
        (Cosine(0.1, 0, 11), 11, "gives 0 at step 10 of 0 to 10"),
        (Geometric(1.0, 0.5), 5000, "gives 0 at step 1075 of"),
        (Geometric(1.0, 2.0), 2000, "gives inf at step 1024 of"),
        (WarmUp(Linear(0.1, 0, 11), 5), 20, "but WarmUp.* gives 0 at step 10 of"),
        (Custom(lambda k: 0.1 - 0.01 * k if k < 2_000_000 else np.nan), 50, "at step 11 of|at step 10 of"),
        (Custom(lambda k: 1.0 if k != 30 else np.nan), 50, "gives nan at step 30 of"),
        (Custom(lambda k: "a"), 50, "must return a number, got 'a' at step 0"),
        (Custom(lambda k: np.ones(2)), 50, "must return a number, got array"),
        (Custom(lambda k: [1][k]), 50, "fails at step 1: IndexError"),
    ],
)
def test_a_schedule_that_is_not_positive_and_finite_in_the_run_is_refused(schedule, n_steps, message):
    with pytest.raises(ArgumentError, match=message):
        schedule.check(n_steps)


def test_a_schedule_that_ends_after_the_run_is_accepted():
    Linear(0.1, 0, 11).check(10)
    Geometric(1.0, 0.5).check(1000)
    Linear(0.1, 0.05, 10).check(2**41)


def test_step_sizes_become_schedules():
    def halving(k):
        return 0.5**k

    assert as_schedule(0.1) == Constant(0.1)
    assert as_schedule(1) == Constant(1.0)
    assert as_schedule(np.float32(0.5)) == Constant(0.5)
    assert as_schedule(halving) == Custom(halving)
    schedule = Linear(0.1, 0.01, 10)
    assert as_schedule(schedule) is schedule


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, True, "fast", None, [0.1], Linear, np.ones(2)])
def test_what_is_no_step_size_is_refused(bad):
    with pytest.raises(
        ArgumentError, match=r"step_size must be a positive finite number, got .*may also be a schedule"
    ):
        as_schedule(bad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0), "value must be a positive finite number"),
        (lambda: Polynomial(1, 0, 1), "m must be a positive finite number"),
        (lambda: Linear(0.1, -0.1, 10), "end must not be negative, got -0.1"),
        (lambda: Linear(0.1, 0.01, 1), "n_steps must be a whole number, at least 2"),
        (lambda: Geometric(0.1, -0.5), "ratio must be a positive finite number"),
        (lambda: Step(0.1, 0.5, 0), "every must be a whole number, at least 1"),
        (lambda: WarmUp("a", 10), "schedule must be a positive finite number, got 'a'"),
        (lambda: InverseSquareRoot(1, 0.5), "n_steps must be a whole number"),
        (lambda: Custom(3), "function must be a function of the step number, got int"),
        (lambda: Constant(1)(0.5), "k must be step numbers"),
        (lambda: Constant(1)([-1]), "k must be step numbers"),
        (lambda: Constant(1).check(0), "n_steps must be a whole number"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_the_public_module_is_there():
    assert ds.schedules.Linear is Linear
