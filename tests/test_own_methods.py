"""A user's own update rules."""

import numpy as np
import pytest
from test_method_runs import STARTS, remember
from test_methods import QUADRATIC, path

import dynsim as ds
from dynsim import sampling
from dynsim.errors import ArgumentError


def own_adam(theta, g, step_size, k, m, v, params):
    beta1, beta2, eps = params
    for j in range(len(theta)):
        m[j] = beta1 * m[j] + (1 - beta1) * g[j]
        v[j] = beta2 * v[j] + (1 - beta2) * g[j] ** 2
        theta[j] -= step_size * (m[j] / (1 - beta1 ** (k + 1))) / (np.sqrt(v[j] / (1 - beta2 ** (k + 1))) + eps)


def own_scalar_adam(theta, g, step_size, k, v, m):
    v[0] = 0.999 * v[0] + 0.001 * np.sum(g * g)
    m[:] = 0.9 * m + 0.1 * g
    theta -= step_size * (m / (1 - 0.9 ** (k + 1))) / (np.sqrt(v[0] / (1 - 0.999 ** (k + 1))) + 1e-8)


decreasing, stale = ds.schedules.Polynomial(0.1, 1, 0.5), sampling.Stale(7)
custom = ds.methods.Custom
OWN = {
    "heavy ball": (custom(decreasing, update=remember), ds.HeavyBall(decreasing)),
    "adam": (custom(0.05, stale, update=own_adam, params=[0.9, 0.999, 1e-8]), ds.Adam(0.05, stale)),
    "scalar adam": (custom(0.05, update=own_scalar_adam, state={"v": 1}), ds.Adam(0.05, elementwise=False)),
}


@pytest.mark.parametrize("name", OWN)
def test_built_in_methods_written_as_one_s_own_are_the_same(welsch, name):
    own, built_in = (ds.iterate(welsch, method, STARTS, n_steps=100, n_paths=60, rng=4).x for method in OWN[name])
    np.testing.assert_allclose(own, built_in, rtol=0, atol=1e-12)


def test_one_method_of_one_s_own_serves_problems_of_several_dimensions(tmp_path):
    """And a checkpoint knows it again after it has been used elsewhere."""
    method, files = ds.methods.Custom(0.05, update=remember), tmp_path / "run.npz"
    two = ds.problems.quadratic([1.0, 2.0])
    first = path(two, method, 1.0, 20, checkpoint=files)
    np.testing.assert_allclose(
        path(QUADRATIC_IN_3, method, 1.0, 20), path(QUADRATIC_IN_3, ds.HeavyBall(0.05), 1.0, 20), rtol=0, atol=1e-13
    )
    assert (path(two, method, 1.0, 20, checkpoint=files) == first).all()
    assert (path(two, ds.methods.Custom(0.05, update=remember), 1.0, 20, checkpoint=files) == first).all()
    with pytest.raises(ArgumentError, match="content of the method"):
        path(two, ds.methods.Custom(0.05, update=own_scalar_adam, state={"v": 1}), 1.0, 20, checkpoint=files)


QUADRATIC_IN_3 = ds.problems.quadratic([1.0, 2.0, 3.0])


def test_a_method_of_one_s_own_knows_the_step_and_its_size():
    def record(theta, g, step_size, k):
        theta[0] = k
        theta[1] = step_size

    x = path(QUADRATIC, ds.methods.Custom(ds.schedules.Geometric(0.5, 0.5), update=record), 9.0, 4)
    assert x[1:].tolist() == [[0, 0.5], [1, 0.25], [2, 0.125], [3, 0.0625]]


def too_few(theta, g, step_size):
    pass


def returns(theta, g, step_size, k):
    return theta - step_size * g


def imports(theta, g, step_size, k):
    import os

    theta[0] -= float(os.environ.get("NOTHING", "1"))


def reaches_too_far(theta, g, step_size, k, m):
    theta[0] = m[7]


def params_first(theta, g, step_size, k, params, m):
    pass


@pytest.mark.parametrize(
    ("update", "options", "message"),
    [
        (too_few, {}, r"update must take \(theta, g, step_size, k, …\) by name, got \(theta, g, step_size\)"),
        (returns, {}, "update must change theta in place and return nothing, it returned array"),
        (imports, {}, "update cannot be compiled: "),
        (reaches_too_far, {}, "update fails in its first step: IndexError: index 7 is out of bounds"),
        (params_first, {}, "update must take params as its last argument"),
        (
            remember,
            {"state": {"momentum": 3}},
            r"state has \['momentum'\], which update does not take; it takes \['m'\]",
        ),
        (remember, {"state": {"m": 0}}, r"state\['m'\] must be a whole number, at least 1, got 0"),
        (remember, {"state": 5}, "state must be a mapping from names to lengths, got int"),
        (remember, {"params": "x"}, "params must be an array of numbers"),
        (0.9, {}, "update must be a function, got float"),
    ],
)
def test_mistakes_in_one_s_own_method_are_refused(update, options, message):
    with pytest.raises(ArgumentError, match=message):
        path(QUADRATIC, ds.methods.Custom(0.1, update=update, **options), 1.0, 1)
