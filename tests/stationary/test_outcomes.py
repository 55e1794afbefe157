import itertools

import numpy as np
import pytest

import dynsim as ds
from dynsim import noise, sampling, schedules
from dynsim.stationary.outcomes import outcomes, state_outcomes

DATA = np.random.default_rng(5)
X, Y = DATA.normal(size=(3, 2)), DATA.normal(size=3)
THETA = np.array([0.3, -0.7])


@pytest.fixture(scope="module")
def model():
    return ds.problems.linear_model(X, Y, weights=[0.2, 0.3, 0.5])


def law_of(targets, p):
    """The law as a dict, places rounded to 1e-10."""
    law = {}
    for place, share in zip(np.round(targets, 10) + 0.0, p, strict=True):
        law[tuple(place)] = law.get(tuple(place), 0.0) + share
    return {place: share for place, share in law.items() if share > 0}


SCHEMES = (sampling.Uniform(), sampling.GradientNorm(), sampling.Proportions([0.5, 0.3, 0.2]), sampling.Mixture(0.3))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batches_with_replacement_have_the_law_of_all_ordered_draws(model, scheme, batch_size):
    a = np.array([0.2, 0.3, 0.5])
    g = (X @ THETA - Y)[:, None] * X
    norm = np.linalg.norm(g, axis=1)
    by_norm = a * norm / (a @ norm)
    p = {
        "Uniform": a,
        "GradientNorm": by_norm,
        "Proportions": np.array([0.5, 0.3, 0.2]),
        "Mixture": 0.3 * by_norm + 0.7 * a,
    }[scheme.name]
    draws = np.array(list(itertools.product(range(3), repeat=batch_size)))
    places = THETA - 0.1 * ((a / p)[:, None] * g)[draws].mean(axis=1)
    exact = law_of(places, p[draws].prod(axis=1))
    law = law_of(*outcomes("it", model, ds.SGD(0.1, scheme, batch_size=batch_size), THETA))
    assert law.keys() == exact.keys()
    assert max(abs(law[place] - exact[place]) for place in exact) < 1e-15
    if batch_size > 1:  # the ordered draws are not equally likely multisets
        assert max(abs(1 / len(law) - share) for share in exact.values()) > 0.01


def test_batches_without_replacement_are_all_subsets_alike(model):
    method = ds.SGD(0.1, sampling.WithoutReplacement(), batch_size=2)
    targets, p = outcomes("it", model, method, THETA)
    g = 3 * np.array([0.2, 0.3, 0.5])[:, None] * (X @ THETA - Y)[:, None] * X
    exact = [THETA - 0.05 * (g[i] + g[j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
    np.testing.assert_allclose(targets, exact, rtol=0, atol=1e-14)
    np.testing.assert_allclose(p, 1 / 3, rtol=1e-15)


METHODS = (
    ds.SGD(0.1, batch_size=2),
    ds.RR(0.1),
    ds.SGD(0.1, batch_size="full"),
    ds.SGD(0.1, sampling.WithoutReplacement(), batch_size=2),
    ds.SGD(0.1, noise=noise.TwoPoint(0.3, (1.0, 2.0))),
    ds.GClip(0.1, threshold=0.5, noise=noise.TwoPoint(0.2)),
    ds.Clipped(0.1, batch_size=2, gamma=0.3),
    ds.CClip(0.1, sampling.Mixture(0.5), threshold=0.2, scales=(1.0, 3.0)),
    ds.Normalized(0.1, beta=0.2),
    ds.ProjectedGClip(0.1, threshold=0.5, radius=0.75),
)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}-{METHODS.index(m)}")
def test_simulated_steps_go_where_they_may_as_often_as_they_should(model, method):
    n = 20_000
    law = law_of(*outcomes("it", model, method, THETA))
    run = ds.iterate(model, method, THETA, n_steps=1, n_paths=n, rng=1)
    seen = law_of(run.x[:, -1], np.full(n, 1 / n))
    places = np.array(list(law))
    for place, share in seen.items():
        nearest = np.abs(places - place).max(axis=1)
        assert nearest.min() < 1e-9
        p = law[tuple(places[nearest.argmin()])]
        assert abs(share - p) <= 5 * np.sqrt(p * (1 - p) / n) + 1e-12
    assert sum(law.values()) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("method", [ds.HeavyBall(0.1), ds.Nesterov(0.1), ds.RMSProp(0.1)], ids=lambda m: m.name)
def test_two_steps_with_memory_are_those_of_a_simulation(model, method):
    start = method.rule(model).memory(THETA[None])
    state = np.concatenate([THETA, start[0]])
    second, p = state_outcomes("it", model, method, state_outcomes("it", model, method, state)[0])
    assert p.shape == (3, 3)
    places = second[..., :2].reshape(-1, 2)
    reached = ds.iterate(model, method, THETA, n_steps=2, n_paths=300, rng=2).x[:, -1]
    apart = np.abs(reached[:, None] - places).max(axis=-1)
    assert apart.min(axis=1).max() < 1e-12
    assert len(np.unique(apart.argmin(axis=1))) == 9


def test_points_keep_their_axes(model):
    theta = DATA.normal(size=(4, 5, 2))
    targets, p = outcomes("it", model, ds.RR(0.1), theta)
    assert targets.shape == (4, 5, 3, 2)
    assert p.shape == (4, 5, 3)
    one, share = outcomes("it", model, ds.RR(0.1), theta[3, 1])
    np.testing.assert_array_equal(targets[3, 1], one)
    np.testing.assert_array_equal(p[3, 1], share)


def steps_counted(theta, g, step_size, k):
    theta[0] -= step_size * g[0] / (k + 1)


REFUSED = {
    "schedule": (ds.SGD(schedules.Linear(0.1, 0.01, n_steps=100)), "alike, got a schedule"),
    "threshold": (ds.GClip(0.1, threshold=lambda k: k + 1.0), "alike, got a schedule"),
    "density": (ds.SGD(0.1, noise=noise.Gaussian(1.0)), "noise with a density"),
    "epochs": (ds.SGD(0.1, sampling.Reshuffled()), "draws before, got Reshuffled"),
    "stale": (ds.SGD(0.1, sampling.Stale(2)), "draws before, got Stale"),
    "no formula": (ds.SGD(0.1, sampling.Rejection(bounds=100.0)), "closed form, which Rejection"),
    "groups": (ds.SGD(0.1, sampling.GroupNorm([0, 1, 1])), "closed form, which GroupNorm"),
    "momentum": (ds.HeavyBall(0.1), "without memory: a step of HeavyBall depends on 2 more"),
    "Adam": (ds.Adam(0.1), "the step number"),
    "own": (ds.methods.Custom(0.1, update=steps_counted), "the step number"),
    "INGD": (ds.INGD(delta=0.1, epsilon=0.1, lipschitz=1.0), "random numbers of its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_finite_law_is_refused_with_the_reason(model, case):
    method, reason = REFUSED[case]
    with pytest.raises(ds.errors.NotApplicable, match=f"^it .*{reason}"):
        outcomes("it", model, method, THETA)


def test_too_many_outcomes_are_refused_with_their_number(model):
    with pytest.raises(ds.errors.TooLarge, match=r"321602841 outcomes of one step.*batches of 25360 out of 3 terms"):
        outcomes("it", model, ds.SGD(0.1, batch_size=25_360), THETA)
    wide = ds.problems.quadratic(np.ones(20))
    method = ds.SGD(0.1, batch_size="full", noise=noise.TwoPoint(0.5))
    with pytest.raises(ds.errors.TooLarge, match=r"1048576 outcomes of one step.*2\^20 values of the noise"):
        outcomes("it", wide, method, np.zeros(20))


def test_bad_points_are_refused(model):
    with pytest.raises(ds.errors.ArgumentError, match=r"theta must have shape \(\.\.\., 2\)"):
        outcomes("it", model, ds.SGD(0.1), [0.1, 0.2, 0.3])
    with pytest.raises(ds.errors.ArgumentError, match="method must be a method"):
        outcomes("it", model, "SGD", THETA)
