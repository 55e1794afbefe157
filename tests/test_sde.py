import math

import numpy as np
import oracles
import pytest
import sdeint

import dynsim as ds

SYSTEMS = {
    "number": ({"dim": 1}, lambda t, x: math.sin(x[0]) - t, lambda t, x: 0.5 + 0.1 * x[0] ** 2, (1, 1)),
    "diagonal": ({"dim": 2}, lambda t, x: (x[1], -x[0]), lambda t, x: (1.0, x[0]), (2, 2)),
    "matrix": (
        {"dim": 2},
        lambda t, x: (-x[0], math.cos(t)),
        lambda t, x: ((1.0, 0, x[1]), (0.5, math.exp(-(x[0] ** 2)), 2)),
        (2, 3),
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_paths_are_euler_maruyama_s_for_their_increments(name):
    options, drift, diffusion, (dim, noise_dim) = SYSTEMS[name]
    sde = ds.SDE(drift, diffusion, **options)
    assert (sde.dim, sde.noise_dim) == (dim, noise_dim)
    start = np.random.default_rng(0).normal(size=(11, dim))
    run = ds.integrate(sde, start, 2.0, dt=0.125, n_paths=11, rng=4)
    dw = ds.noise_increments(11, 16, dt=0.125, noise_dim=noise_dim, rng=4)
    for i in range(11):
        sigma = (lambda t, x: np.diag(diffusion(t, x))) if name == "diagonal" else diffusion
        expected = oracles.euler_maruyama(drift, sigma, start[i], 0.125, dw[i])
        np.testing.assert_allclose(run.x[i], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
def test_paths_are_those_of_sdeint_given_the_same_increments(name):
    options, drift, diffusion, (dim, noise_dim) = SYSTEMS[name]
    run = ds.integrate(ds.SDE(drift, diffusion, **options), 0.3, 5.0, dt=0.05, n_paths=3, rng=6)
    sigma = np.diag if name == "diagonal" else np.atleast_2d
    for x, dw in zip(run.x, ds.noise_increments(3, 100, dt=0.05, noise_dim=noise_dim, rng=6), strict=True):
        expected = sdeint.itoEuler(
            lambda x, t: np.atleast_1d(drift(t, x)),
            lambda x, t: sigma(diffusion(t, x)).astype(float),
            np.full(dim, 0.3),
            run.t,
            dW=dw,
        )
        np.testing.assert_allclose(x, expected, rtol=1e-12, atol=1e-12)


def test_a_drift_that_fills_out_is_the_one_that_returns():
    def drift(t, x, params, out):
        for j in range(3):
            out[j] = -params[0] * x[j] + t

    def diffusion(t, x, out):
        for j in range(3):
            for c in range(2):
                out[j, c] = x[j] * (c + 1)

    filling = ds.SDE(drift, diffusion, dim=3, noise_dim=2, params=[2.0])
    returning = ds.SDE(
        lambda t, x, p: (-p[0] * x[0] + t, -p[0] * x[1] + t, -p[0] * x[2] + t),
        lambda t, x: ((x[0], 2 * x[0]), (x[1], 2 * x[1]), (x[2], 2 * x[2])),
        dim=3,
        params=[2.0],
    )
    runs = [ds.integrate(sde, 1.0, 1.0, dt=0.1, n_paths=5, rng=0).x for sde in (filling, returning)]
    np.testing.assert_allclose(*runs, rtol=1e-13)
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    np.testing.assert_array_equal(filling.diffusion(0.0, x), returning.diffusion(0.0, x))
    np.testing.assert_array_equal(filling.drift(0.5, x), -2 * x + 0.5)
    np.testing.assert_allclose(filling.covariance(0.0, x), 5 * x[..., :, None] * x[..., None, :], rtol=1e-14)


@pytest.mark.parametrize("refine", [2, 3, 4, 6, 10])
def test_refined_increments_add_up_and_are_independent_normals(refine):
    """Against all r × r covariances and the fourth moment; a bridge without its spread would fail."""
    n = 20_000
    coarse = ds.noise_increments(n, 5, dt=0.5, noise_dim=2, rng=3)
    fine = ds.noise_increments(n, 5, dt=0.5, noise_dim=2, refine=refine, rng=3).reshape(n, 5, refine, 2)
    np.testing.assert_allclose(fine.sum(axis=2), coarse, rtol=0, atol=1e-14)
    z = fine.reshape(n, -1) / math.sqrt(0.5 / refine)
    covariance = z.T @ z / n - np.eye(z.shape[1])
    stderr = np.sqrt((1 + np.eye(z.shape[1])) / n)
    assert (np.abs(covariance) < 5 * stderr).all()
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / z.size)
    flat = np.repeat(coarse / refine, refine, axis=1) / math.sqrt(0.5 / refine)  # negative control
    assert abs((flat**2).mean() - 1) > 0.4


def test_refinements_are_refinements_of_each_other():
    two, six = (ds.noise_increments(10, 4, dt=1.0, refine=r, rng=1) for r in (2, 6))
    np.testing.assert_allclose(six.reshape(10, 8, 3).sum(axis=2)[..., None], two, rtol=0, atol=1e-14)


def test_refining_integrates_along_the_same_brownian_path():
    gbm = ds.SDE(lambda t, x: 0.5 * x[0], lambda t, x: x[0])
    w = ds.noise_increments(500, 8, dt=0.125, rng=2).sum(axis=(1, 2))
    exact = np.exp(w)  # drift ½ cancels the Itô correction
    errors = []
    for refine in (1, 4, 16, 64):
        run = ds.integrate(gbm, 1.0, 1.0, dt=0.125, refine=refine, n_paths=500, rng=2, save_every=3)
        assert run.t.tolist() == [0, 0.375, 0.75, 1]
        errors.append(np.abs(run.x[:, -1, 0] - exact).mean())
    assert (np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 1) < 0.25).all()  # √4 a level


def test_refined_runs_do_not_depend_on_chunks_either():
    sde = ds.SDE(lambda t, x: -x[0] + t, lambda t, x: 1.0 + 0.1 * x[0])
    runs = [
        ds.integrate(
            sde, 0.0, 1.0, dt=0.1, refine=6, n_paths=20, rng=2, threads=threads, block_width=width, chunk_steps=c
        )
        for threads, width, c in ((1, 8, 1), (2, 8, 7), (1, 32, None))
    ]
    assert (runs[0].x == runs[1].x).all()
    assert (runs[0].x == runs[2].x).all()


def z_of_ornstein_uhlenbeck(x, dt, n_steps):
    """Deviations of mean and variance from Euler's exact ones for dX = −X dt + dW, in standard errors."""
    decay = 1 - dt
    mean = 2.0 * decay**n_steps
    variance = dt * (1 - decay ** (2 * n_steps)) / (1 - decay**2)
    n = x.size
    return (x.mean() - mean) / np.sqrt(variance / n), (x.var() - variance) / (variance * np.sqrt(2 / n))


def test_the_ornstein_uhlenbeck_process_has_its_mean_and_variance():
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    x = ds.integrate(sde, 2.0, 3.0, dt=0.05, n_paths=40_000, rng=0, save_every=None).x[:, -1, 0]
    assert max(map(abs, z_of_ornstein_uhlenbeck(x, 0.05, 60))) < 5
    doubled = ds.SDE(lambda t, x: -x[0], lambda t, x: math.sqrt(2.0))  # negative control: √2 in σ
    x = ds.integrate(doubled, 2.0, 3.0, dt=0.05, n_paths=40_000, rng=0, save_every=None).x[:, -1, 0]
    assert abs(z_of_ornstein_uhlenbeck(x, 0.05, 60)[1]) > 50


def test_strong_order_is_half_for_multiplicative_noise():
    """Geometric Brownian motion on nested grids that share their Brownian paths; slope with its confidence interval."""
    mu, sigma, n_paths = 0.5, 1.0, 2000
    gbm = ds.SDE(lambda t, x: 0.5 * x[0], lambda t, x: x[0])
    levels = 2 ** np.arange(4, 10)
    errors = []
    for n in levels:
        run = ds.integrate(gbm, 1.0, 1.0, dt=1 / n, n_paths=n_paths, rng=8, save_every=None)
        w = ds.noise_increments(n_paths, n, dt=1 / n, rng=8).sum(axis=(1, 2))
        errors.append(np.abs(run.x[:, -1, 0] - np.exp((mu - sigma**2 / 2) + sigma * w)))
    logs = np.log2([e.mean() for e in errors])
    variances = np.array([e.var() / n_paths / e.mean() ** 2 for e in errors]) / np.log(2) ** 2
    centered = np.log2(levels) - np.log2(levels).mean()
    slope = centered @ logs / (centered @ centered)
    stderr = np.sqrt((centered**2 @ variances) / (centered @ centered) ** 2)
    assert abs(slope + 0.5) < 4 * stderr + 0.02  # 0.02: the next order's share on these grids
    assert stderr < 0.02
    assert abs(slope + 1) > 10 * stderr  # and it is not 1


@pytest.mark.parametrize("name", ["SGD", "RR", "Balanced"])
def test_the_limit_has_the_gradient_as_drift_and_eta_sigma_as_covariance(valleys, schemes, name):
    method = next(m for m in schemes(0.03) if m.name == name)
    sde = ds.sde_limit(valleys, method)
    theta = np.linspace(-2, 1, 61)[:, None] + 1e-3
    np.testing.assert_allclose(sde.drift(0.0, theta), -valleys.gradient(theta), rtol=0, atol=1e-15)
    expected = 0.03 * valleys.gradient_covariance(theta, method.sampling)
    np.testing.assert_allclose(sde.covariance(0.0, theta), expected, rtol=1e-13, atol=1e-17)
    assert sde.breaks == valleys.kinks


def test_the_limit_by_regions_is_the_limit_by_terms(valleys, schemes, monkeypatch):
    """Where a region ends, too: at a kink the value from the left."""
    theta = np.concatenate([np.linspace(-2, 1, 301), [*valleys.kinks]])[:, None]
    by_regions = [ds.sde_limit(valleys, method) for method in schemes(0.03)]
    monkeypatch.setattr(type(valleys), "limit_fields", ds.Problem.limit_fields)
    for method, regions in zip(schemes(0.03), by_regions, strict=True):
        terms = ds.sde_limit(valleys, method)
        np.testing.assert_allclose(regions.drift(0.0, theta), terms.drift(0.0, theta), rtol=0, atol=1e-15)
        np.testing.assert_allclose(regions.diffusion(0.0, theta), terms.diffusion(0.0, theta), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("method", [ds.SGD(0.3), ds.RR(0.3)], ids=["SGD", "RR"])
def test_the_limit_in_several_dimensions_has_eta_sigma_as_covariance(data, method):
    problem = ds.problems.linear_model(*data, loss="welsch")
    theta = np.random.default_rng(0).normal(size=(20, 3))
    sde = ds.sde_limit(problem, method)
    expected = 0.3 * problem.gradient_covariance(theta, method.sampling)
    np.testing.assert_allclose(sde.covariance(0.0, theta), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(sde.drift(0.0, theta), -problem.gradient(theta), rtol=0, atol=1e-15)


def test_the_limit_of_rank_deficient_noise_is_finite_and_right():
    X = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 1.0, 1.0]])  # Σ has rank 2 at most
    problem = ds.problems.linear_model(X, [1.0, -1.0, 0.5])
    theta = np.random.default_rng(0).normal(size=(50, 3))
    for method in (ds.SGD(1.0), ds.RR(1.0)):
        covariance = ds.sde_limit(problem, method).covariance(0.0, theta)
        expected = problem.gradient_covariance(theta, method.sampling)
        scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
        assert (np.abs(covariance - expected) <= 1e-6 * scale).all()


def test_one_step_of_chain_and_limit_have_the_same_mean_and_covariance(data):
    problem = ds.problems.linear_model(*data)
    theta, eta, n = np.array([0.5, 0.0, 1.0]), 0.05, 40_000
    for method in (ds.SGD(eta), ds.RR(eta)):
        chain = ds.iterate(problem, method, theta, n_steps=1, n_paths=n, rng=1).x[:, -1]
        paths = ds.integrate(ds.sde_limit(problem, method), theta, eta, dt=eta, n_paths=n, rng=1).x[:, -1]
        mean = theta - eta * problem.gradient(theta)
        covariance = eta**2 * problem.gradient_covariance(theta, method.sampling)
        for x in (chain, paths):
            assert (np.abs(x.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(covariance) / n)).all()
            products = (x - mean)[:, :, None] * (x - mean)[:, None, :]
            stderr = products.std(axis=0) / np.sqrt(n)
            assert (np.abs(products.mean(axis=0) - covariance) < 5 * stderr).all()
            assert not (np.abs(products.mean(axis=0) - 0.5 * covariance) < 5 * stderr).all()  # a missing ½ shows


def test_threads_blocks_and_chunks_change_no_bit():
    sde = ds.SDE(lambda t, x: (-x[0] + x[1], math.sin(x[0])), lambda t, x: ((1.0, 0.3), (0.0, 0.5 + x[0] ** 2)), dim=2)
    reference = ds.integrate(sde, 0.1, 1.0, dt=1 / 64, n_paths=100, rng=9, save_every=3)
    for threads, width, chunk in ((1, 8, 1), (2, 16, 5), (3, 128, 64), (2, 1, 7)):
        run = ds.integrate(
            sde, 0.1, 1.0, dt=1 / 64, n_paths=100, rng=9, save_every=3,
            threads=threads, block_width=width, chunk_steps=chunk,
        )  # fmt: skip
        assert (run.x == reference.x).all()


def test_a_path_that_blows_up_says_when():
    sde = ds.SDE(lambda t, x: x[0] ** 3, lambda t, x: 0.1)
    run = ds.integrate(sde, [[0.0], [4.0], [0.0]], 1.0, dt=0.125, n_paths=3, rng=0)
    assert np.isinf(run.diverged[[0, 2]]).all()
    first = np.argmax(~(np.abs(run.x[1, :, 0]) <= 1e100))
    assert run.diverged[1] == run.t[first]
    assert "1 diverged" in repr(run)


@pytest.mark.parametrize(
    ("drift", "diffusion", "message"),
    [
        (1.0, lambda t, x: 1.0, "drift must be a function of"),
        (lambda x: -x, lambda t, x: 1.0, r"drift must take \(t, x\) or \(t, x, params\)"),
        (lambda t, x, a, b: -x[0], lambda t, x: 1.0, "drift must take"),
        (lambda t, x: (-x[0], 1.0), lambda t, x: 1.0, r"drift must return a value of shape \(\) or \(1,\)"),
        (lambda t, x: -x[0], lambda t, x: (1.0, 2.0), "diffusion must return a value of shape"),
        (lambda t, x: -x[1], lambda t, x: 1.0, "drift fails at t = 0, x = 0.5: IndexError"),
        (lambda t, x: "left", lambda t, x: 1.0, "drift must return numbers, it returned 'left'"),
        (lambda t, x: -x[0], lambda t, x: {1: 1.0}[1] + len([[], {}]), "diffusion cannot be compiled: "),
    ],
)
def test_functions_that_cannot_be_used_are_refused_at_definition(drift, diffusion, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.SDE(drift, diffusion)


def test_a_function_that_fills_part_of_out_leaves_the_rest_zero():
    def drift(t, x, out):
        if x[0] > 0:
            out[0] = 1.0

    def diffusion(t, x, out):
        out[0, 0] = 0.0

    sde = ds.SDE(drift, diffusion, dim=2)
    assert sde.drift(0.0, [[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]]).tolist() == [[1, 0], [0, 0], [1, 0]]


def test_functions_that_write_where_they_must_not_are_refused():
    def beyond(t, x, out):
        out[5] = 1.0

    def into_x(t, x):
        x[0] = 9.0
        return 1.0

    with pytest.raises(ds.errors.ArgumentError, match=r"drift fails at t = 0, x = 0\.5: IndexError"):
        ds.SDE(beyond, lambda t, x: (1.0, 1.0), dim=2)
    with pytest.raises(ds.errors.ArgumentError, match="drift must not assign to x"):
        ds.SDE(into_x, lambda t, x: 1.0)


def test_functions_may_have_a_domain_and_defaults():
    sde = ds.SDE(lambda t, x, rate=2.0: rate * math.log(x[0] - 1), lambda t, x: 0.0)
    assert sde.drift(0.0, [3.0])[0] == pytest.approx(2 * math.log(2))
    for builtin in (math.sqrt, max):
        with pytest.raises(ds.errors.ArgumentError, match=r"drift must (take \(t, x\)|be a plain Python function)"):
            ds.SDE(builtin, lambda t, x: 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": 0.3}, "dt must divide t_end = 1 into whole steps, got 0.3; the nearest that does is 0.333"),
        ({"dt": 2.0}, "dt must divide t_end"),
        ({"dt": -0.1}, "dt must be a positive finite number"),
        ({"t_end": np.inf}, "t_end must be a positive finite number"),
        ({"x0": [[1.0], [2.0]]}, "x0 must be a scalar or have shape"),
        ({"sde": 3}, "sde must be an SDE"),
    ],
)
def test_integrate_refuses_bad_arguments(change, message):
    sde = ds.SDE(lambda t, x: -x[0], lambda t, x: 1.0)
    arguments = {"sde": sde, "x0": 0.0, "t_end": 1.0, "dt": 0.1, **change}
    with pytest.raises(ds.errors.ArgumentError, match=message):
        ds.integrate(**arguments)
