"""What dynsim relies on in Numba beyond its stable interface."""

import warnings

import numpy as np
import pytest
from numba import types

import dynsim as ds
from dynsim._kernels import fields, jit, limit, limit_sums, limit_terms
from dynsim._kernels.problems import linear_model, two_valleys


def test_no_two_cached_fields_share_a_name():
    """Numba tells compiled code apart by qualified name and a count within the process: see jit.kernel_of."""
    made = []
    for module in (two_valleys, linear_model):
        for name in dir(module):
            if name.endswith("loss"):
                made.append(fields.losses_field(getattr(module, name)))
            if name.endswith("gradient"):
                g = getattr(module, name)
                made += [fields.gradients_field(g), fields.gradient_norms_field(g)]
                made.append(limit.limit_drift(limit_terms.terms_of(g)))
    terms = limit_terms.terms_of(two_valleys.gradient)
    for scheme in (limit_terms.FIXED, limit_terms.BY_NORM):
        made += [
            limit.limit_diffusion(terms, scheme, add) for add in (limit_sums.add_by_factor, limit_sums.add_by_terms)
        ]
    names = [field.py_func.__qualname__ for field in made]
    assert len(names) == 32
    assert len(set(names)) == 32


@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_the_hand_written_norms_are_the_derived_ones(data, loss):
    problem = ds.problems.linear_model(*data, loss=loss)
    x = np.random.default_rng(0).normal(size=(3, 40))
    ours, derived = np.empty((12, 40)), np.empty((12, 40))
    problem.gradient_norms_field(x, problem.params, problem.weights.copy(), 0, ours)
    fields.gradient_norms_field(getattr(linear_model, f"{loss}_gradient"))(
        x, problem.params, problem.weights.copy(), 0, derived
    )
    np.testing.assert_allclose(ours, derived, rtol=1e-13)


@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_the_hand_written_gradients_are_the_derived_ones(data, loss):
    problem = ds.problems.linear_model(*data, loss=loss)
    x, term = np.random.default_rng(0).normal(size=(3, 40)), np.arange(40) % 12
    ours, derived = np.empty((3, 40)), np.empty((3, 40))
    problem.gradients_field(x, problem.params, term, ours)
    fields.gradients_field(getattr(linear_model, f"{loss}_gradient"))(x, problem.params, term, derived)
    np.testing.assert_allclose(ours, derived, rtol=1e-13)


def test_a_kernel_calls_whatever_field_it_is_given():
    @jit.kernel(types.void(jit.function_pointer(jit.VECTOR), jit.VECTOR), cache=False)
    def twice(field, x):
        field(x)
        field(x)

    @jit.kernel(types.void(jit.VECTOR), cache=False)
    def add_one(x):
        x += 1.0

    @jit.kernel(types.void(jit.VECTOR), cache=False)
    def double(x):
        x *= 2.0

    x = np.ones(3)
    twice(add_one, x)
    twice(double, x)
    assert x.tolist() == [12, 12, 12]


def test_users_see_no_warning_about_experimental_features(valleys):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=2)
    assert not caught


def test_a_field_is_simd_code(valleys):
    """A column view without reference count and parameters loaded up front: else the loop over lanes stays scalar."""
    fields.gradients_field.cache_clear()
    field = fields.gradients_field(two_valleys.gradient, cache=False)
    fields.gradients_field.cache_clear()
    code = next(iter(field.inspect_llvm().values()))
    assert "x double>" in code
