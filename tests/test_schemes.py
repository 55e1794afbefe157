"""Orders of convergence along nested refinements of one Brownian path, with confidence intervals."""

import copy
import functools
import math

import numpy as np
import pytest
from scipy import linalg

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.sde.scheme import scheme_for

REFINEMENTS = (8, 16, 32, 64)
BIAS = 0.06  # how far a slope between these step sizes may be from its limit; half orders are 0.5 apart


def slope(errors, statistic, *, curved):
    """The order p in statistic(errors) = C h^p, or C h^p exp(c h) if curved, and its jackknife standard error.

    errors: (levels, n_paths), each level with half the step size of the one before; 40 groups of paths.
    """
    h = 0.5 ** np.arange(errors.shape[0])
    design = np.stack([np.ones_like(h), np.log(h), h][: 3 if curved else 2], axis=1)

    def fit(part):
        return np.linalg.lstsq(design, np.log(statistic(part)), rcond=None)[0][1]

    groups = np.array_split(np.arange(errors.shape[1]), 40)
    left_out = np.array([fit(np.delete(errors, group, axis=1)) for group in groups])
    stderr = math.sqrt((1 - 1 / 40) * ((left_out - left_out.mean()) ** 2).sum())
    return fit(errors), stderr


def root_mean_square(errors):
    return np.sqrt((errors**2).mean(axis=1))


def mean_error(errors):
    return np.abs(errors.mean(axis=1))


def has_order(order, errors, statistic):
    """Whether the slope is that order within five standard errors and the bias; refuses to tell if that is too wide."""
    estimate, stderr = slope(errors, statistic, curved=statistic is mean_error)
    assert 5 * stderr + BIAS < 0.25, f"slope {estimate:.3f} ± {stderr:.3f} cannot tell orders apart"
    return abs(estimate - order) < 5 * stderr + BIAS


def ends(sde, x0, scheme, refinements=REFINEMENTS, n_paths=2000, dt=0.25, rng=5):
    """X(1) for each refinement, along the same Brownian paths: (levels, n_paths, dim)."""
    options = {"dt": dt, "n_paths": n_paths, "rng": rng, "scheme": scheme, "save_every": None}
    return np.stack([ds.integrate(sde, x0, 1.0, refine=r, **options).x[:, -1] for r in refinements])


def brownian(noise_dim, n_paths=2000, dt=0.25, rng=5):
    """W(1): (n_paths, noise_dim)."""
    return ds.noise_increments(n_paths, round(1 / dt), dt=dt, noise_dim=noise_dim, rng=rng).sum(axis=1)


def distance(paths, exact):
    return np.linalg.norm(paths - exact, axis=-1)


MU, SIGMA = 0.3, 0.6


def geometric():
    """GBM and its exact end points; and those of the Stratonovich equation, for whoever forgets ½σ²."""
    w = brownian(1)
    sde = ds.SDE(lambda t, x, p: p[0] * x[0], lambda t, x, p: p[1] * x[0], params=(MU, SIGMA))
    return sde, np.exp(MU - SIGMA**2 / 2 + SIGMA * w), np.exp(MU + SIGMA * w)


STRONG = {"euler-maruyama": 0.5, "milstein": 1.0, "sri": 1.5, "heun": 1.0, "tamed-euler": 0.5, "implicit-euler": 0.5}


@pytest.mark.parametrize("scheme", STRONG)
def test_strong_order_for_scalar_noise(scheme):
    sde, exact, stratonovich = geometric()
    paths = ends(sde, 1.0, scheme)
    assert has_order(STRONG[scheme], distance(paths, exact), root_mean_square)
    assert not has_order(STRONG[scheme], distance(paths, stratonovich), root_mean_square)  # negative control


@pytest.mark.parametrize("scheme", ["euler-maruyama", "milstein", "sri", "sra"])
def test_strong_order_for_additive_noise(scheme):
    """Against the same path refined 64 times more; the drift is not linear, and σ depends on t."""
    sde = ds.SDE(lambda t, x: math.sin(2.0 * x[0]) - x[0] * t, lambda t, x: 1.0 + 0.5 * t)
    assert sde.noise_type == "additive"
    exact = ends(sde, 0.3, "sra", refinements=(512,))[0]
    order = 1.5 if scheme in {"sri", "sra"} else 1.0
    errors = distance(ends(sde, 0.3, scheme), exact)
    assert has_order(order, errors, root_mean_square)
    other_noise = ends(sde, 0.3, "sra", refinements=(512,), rng=6)[0]
    assert not has_order(order, distance(ends(sde, 0.3, scheme), other_noise), root_mean_square)


@pytest.mark.parametrize(("scheme", "order"), [("euler-maruyama", 0.5), ("milstein", 1.0), ("sri", 1.5)])
def test_strong_order_for_diagonal_noise(scheme, order):
    """A coupled drift and σ_jj(x_j) nonlinear, against Rößler's scheme on a path refined 16 times more."""
    sde = ds.SDE(
        lambda t, x: (0.5 * x[1] - x[0], -math.sin(x[0])),
        lambda t, x: (0.6 * math.cos(x[0]), 0.5 + 0.4 * math.sin(x[1])),
        dim=2,
    )
    assert sde.noise_type == "diagonal"
    exact = ends(sde, (0.3, -0.2), "sri", refinements=(512,))[0]
    assert has_order(order, distance(ends(sde, (0.3, -0.2), scheme), exact), root_mean_square)


ROTATION = np.array([[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]])


def turned(*eigenvalues):
    return ROTATION @ np.diag(eigenvalues) @ ROTATION.T


@functools.cache
def compiled_linear(n, stratonovich):
    def drift(t, x, p):
        return (p[0] * x[0] + p[1] * x[1], p[2] * x[0] + p[3] * x[1])

    def diffusion(t, x, p, out):
        for j in range(n):
            for i in range(2):
                out[i, j] = p[4 + 4 * j + 2 * i] * x[0] + p[5 + 4 * j + 2 * i] * x[1]

    return ds.SDE(drift, diffusion, dim=2, noise_dim=n, params=np.arange(4 + 4 * n), stratonovich=stratonovich)


def linear(a, bs, *, stratonovich=False):
    """dX = a X dt + Σ b_j X dW_j."""
    sde = copy.copy(compiled_linear(len(bs), stratonovich))
    sde.params = np.concatenate([m.ravel() for m in (a, *bs)])
    vars(sde).pop("noise_type", None)  # of the other parameters
    return sde


@pytest.mark.parametrize(("scheme", "order"), [("euler-maruyama", 0.5), ("milstein", 1.0), ("heun", 1.0)])
def test_strong_order_for_commutative_noise(scheme, order):
    a, bs = turned(-0.5, 0.2), [turned(0.6, -0.3), turned(0.2, 0.7), turned(-0.4, 0.4)]
    sde, x0 = linear(a, bs), np.array([1.0, 0.5])
    assert sde.noise_type == "commutative"
    w = brownian(3)
    exponents = a - 0.5 * sum(b @ b for b in bs) + np.einsum("nj,jik->nik", w, np.array(bs))
    exact = linalg.expm(exponents) @ x0
    assert has_order(order, distance(ends(sde, x0, scheme), exact), root_mean_square)


def test_stratonovich_input_is_converted():
    """dX = μ X dt + σ X ∘ dW has the solution exp(μ t + σ W): by Heun as it is, by Itô schemes with ½σ²X added."""
    sde = ds.SDE(lambda t, x: MU * x[0], lambda t, x: SIGMA * x[0], stratonovich=True)
    x = np.array([[0.7], [-3.0]])
    np.testing.assert_allclose(sde.drift(0.0, x), (MU + SIGMA**2 / 2) * x, rtol=1e-9)
    _, ito, exact = geometric()
    for scheme, order in {"heun": 1.0, "milstein": 1.0, "euler-maruyama": 0.5}.items():
        paths = ends(sde, 1.0, scheme)
        assert has_order(order, distance(paths, exact), root_mean_square)
        assert not has_order(order, distance(paths, ito), root_mean_square)


def test_the_two_conversions_are_inverse_in_several_dimensions():
    a, bs = turned(-0.5, 0.2), [np.array([[0.1, 0.5], [-0.3, 0.2]]), np.array([[0.0, 1.0], [0.4, 0.0]])]
    sde, x = linear(a, bs, stratonovich=True), np.random.default_rng(0).normal(size=(50, 2))
    correction = 0.5 * sum(b @ b for b in bs)  # of dX = B X ∘ dW
    np.testing.assert_allclose(sde.drift(0.0, x), x @ (a + correction).T, rtol=1e-8, atol=1e-9)
    out = np.empty((2, 50))
    linear(a + correction, bs)._stratonovich_field(0.0, np.ascontiguousarray(x.T), sde.params * 1.0, out)
    assert np.abs(out.T - x @ a.T).max() > 0.1  # with the parameters of the other SDE it is another drift
    ito = linear(a + correction, bs)
    ito._stratonovich_field(0.0, np.ascontiguousarray(x.T), ito.params, out)
    np.testing.assert_allclose(out.T, x @ a.T, rtol=1e-8, atol=1e-8)


def after_a_step(sde, scheme, h, start):
    """All that a step can lead to from a point, (dim, n), and weights (n,) such that averages are exact.

    Powers of X' are polynomials of low degree in the normals of a step, so that Gauss–Hermite quadrature is exact; an
    even number of nodes is also exact for what depends on signs.
    """
    stepper, m = scheme_for(scheme, sde), sde.noise_dim
    node, weight = np.polynomial.hermite_e.hermegauss(6)
    rows = stepper.kinds * m
    nodes = np.stack(np.meshgrid(*[node] * rows, indexing="ij")).reshape(stepper.kinds, m, -1)
    weights = np.prod(np.meshgrid(*[weight / weight.sum()] * rows, indexing="ij"), axis=0).ravel()
    x = np.repeat(np.array(start)[:, None], weights.size, axis=1)
    work = np.empty((stepper.n_work, max(sde.dim, m), weights.size))
    noise = np.ascontiguousarray(stepper.unit(h) * nodes)
    stepper.step(stepper.drift, sde._diffusion_field, sde.params, 0.0, h, noise, work, x)
    return x, weights


def second_moment_map(sde, scheme, h):
    """How a step of a linear SDE in two dimensions moves (E X₁², E X₁X₂, E X₂²): (3, 3), without sampling."""
    after = []
    for start in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]):
        x, weights = after_a_step(sde, scheme, h, start)
        after.append([weights @ (x[0] * x[0]), weights @ (x[0] * x[1]), weights @ (x[1] * x[1])])
    first, second, both = np.array(after)
    return np.stack([first, both - first - second, second], axis=1)


def second_moments(a, bs, start):
    """Of dX = a X dt + Σ b_j X dW_j at t = 1, by a matrix exponential."""
    generator = np.kron(a, np.eye(2)) + np.kron(np.eye(2), a) + sum(np.kron(b, b) for b in bs)
    return (linalg.expm(generator) @ np.kron(start, start))[[0, 1, 3]]


def weak_order(sde, scheme, exact, start):
    """The slope of the error of the second moments at t = 1, which has no statistical error."""
    errors = []
    for n_steps in (8, 16, 32, 64):
        moments = np.linalg.matrix_power(second_moment_map(sde, scheme, 1 / n_steps), n_steps) @ start
        errors.append([np.abs(moments - exact).max()])
    return slope(np.repeat(errors, 40, axis=1), mean_error, curved=True)[0]


A = np.array([[-0.5, 1.0], [-0.8, 0.3]])
CLASHING = [np.array([[0.0, 0.9], [0.5, 0.0]]), np.array([[0.7, 0.0], [0.0, -0.4]])]
SCALAR = [np.array([[0.3, 0.6], [-0.4, 0.5]])]
WEAK = {"euler-maruyama": 1, "milstein": 1, "heun": 1, "implicit-euler": 1, "sri": 2, "platen": 2, "weak-euler": 1}


@pytest.mark.parametrize("scheme", WEAK)
def test_weak_order_for_scalar_noise(scheme):
    start, sde = np.array([1.0, -1.0, 1.0]), linear(A, SCALAR)
    exact = second_moments(A, SCALAR, [1.0, -1.0])
    assert abs(weak_order(sde, scheme, exact, start) - WEAK[scheme]) < 0.05
    doubled = second_moments(A, [1.1 * SCALAR[0]], [1.0, -1.0])  # negative control: σ
    assert weak_order(sde, scheme, doubled, start) < 0.5


@pytest.mark.parametrize(("scheme", "order"), [("sra", 2), ("sri", 2), ("platen", 2), ("euler-maruyama", 1)])
def test_weak_order_for_additive_noise(scheme, order):
    """E X(1)² of dX = −X dt + ½ dW from 1: a step makes a x² + b x + c of it, read off at three points."""
    errors = []
    for n_steps in (8, 16, 32, 64):
        ends = [after_a_step(ds.sdes.ornstein_uhlenbeck(noise=0.5), scheme, 1 / n_steps, [x]) for x in (0.0, 1.0, -1.0)]
        (c, up, down), (_, slope_of_mean, _) = ([w @ x[0] ** p for x, w in ends] for p in (2, 1))
        a, b, mean, square = (up + down) / 2 - c, (up - down) / 2, 1.0, 1.0
        for _ in range(n_steps):
            mean, square = slope_of_mean * mean, a * square + b * mean + c
        errors.append([abs(square - math.exp(-2) - 0.125 * (1 - math.exp(-2)))])
    assert abs(slope(np.repeat(errors, 40, axis=1), mean_error, curved=True)[0] - order) < 0.05


@pytest.mark.parametrize(("scheme", "order"), [("platen", 2), ("euler-maruyama", 1), ("weak-euler", 1), ("heun", 1)])
def test_weak_order_for_noise_that_does_not_commute(scheme, order):
    start, sde = np.array([1.0, -1.0, 1.0]), linear(A, CLASHING)
    assert sde.noise_type == "general"
    assert abs(weak_order(sde, scheme, second_moments(A, CLASHING, [1.0, -1.0]), start) - order) < 0.05


@pytest.mark.parametrize("scheme", ["platen", "weak-euler", "heun"])
def test_runs_have_the_moments_of_their_scheme(scheme):
    """At a step size where the scheme is far from the SDE: what the time loop does to noise and steps is right."""
    n, sde = 200_000, linear(A, CLASHING)
    expected = np.linalg.matrix_power(second_moment_map(sde, scheme, 0.5), 4) @ [1.0, -1.0, 1.0]

    def deviations(params):
        changed = linear(A, CLASHING)
        changed.params = params
        x = ds.integrate(changed, (1.0, -1.0), 2.0, dt=0.5, n_paths=n, rng=8, scheme=scheme, save_every=None).x[:, -1]
        products = np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], axis=1)
        return (products.mean(axis=0) - expected) / (products.std(axis=0) / math.sqrt(n))

    assert np.abs(deviations(sde.params)).max() < 5
    assert np.abs(deviations(sde.params * np.repeat([1.0, 1.05], [4, 8]))).max() > 5  # negative control: σ
    exact = linalg.expm(2 * (np.kron(A, np.eye(2)) + np.kron(np.eye(2), A) + sum(np.kron(b, b) for b in CLASHING)))
    assert np.abs((exact @ [1, -1, -1, 1])[[0, 1, 3]] - expected).max() > 0.05


def test_two_point_noise_has_two_points():
    for r in (1, 2, 4):
        end = ends(ds.SDE(lambda t, x: 0.0, lambda t, x: 1.0), 0.0, "weak-euler", (r,), 100)[0, :, 0]
        steps = end * math.sqrt(4 * r)  # a sum of 4 r signs
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-12)
        assert set(np.round(steps) % 2) == {0.0}


def test_the_schemes_say_their_orders():
    """The data are those asserted above."""
    for name, order in STRONG.items():
        assert ds.schemes[name].strong_order == order
    for name, order in WEAK.items():
        assert ds.schemes[name].weak_order == order
    assert ds.schemes["sra"].strong_order == 1.5
    assert ds.schemes["platen"].strong_order is ds.schemes["weak-euler"].strong_order is None
    with pytest.raises(TypeError):
        ds.schemes["mine"] = ds.schemes["sra"]


def test_tamed_euler_stays_where_euler_blows_up():
    sde = ds.SDE(lambda t, x: -(x[0] ** 3), lambda t, x: x[0])
    options = {"dt": 0.1, "n_paths": 100, "rng": 0, "save_every": None}
    assert ds.integrate(sde, 10.0, 5.0, **options).n_diverged == 100
    tamed = ds.integrate(sde, 10.0, 5.0, scheme="tamed-euler", **options)
    assert tamed.n_diverged == 0
    assert np.abs(tamed.x[:, -1]).max() < 2


def test_tamed_euler_converges_for_a_drift_that_grows_like_a_cube():
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.7 * x[0])
    exact = ends(sde, 1.5, "milstein", refinements=(512,))[0]
    assert has_order(0.5, distance(ends(sde, 1.5, "tamed-euler", (8, 16, 32, 64)), exact), root_mean_square)


def test_implicit_euler_solves_its_equation():
    """In two coupled dimensions, x' = x + h f(x') + σ ΔW, checked after the fact; and stiff drift is no problem."""

    def f(t, x):
        return (-50.0 * (x[0] - math.cos(x[1])), -(x[1] ** 3) - x[0] + t)

    sde = ds.SDE(f, lambda t, x: (0.3, 0.2 * x[0]), dim=2)
    run = ds.integrate(sde, (1.0, 2.0), 4.0, dt=0.5, n_paths=20, rng=3, scheme="implicit-euler")
    dw = ds.noise_increments(20, 8, dt=0.5, noise_dim=2, rng=3)
    before, after = run.x[:, :-1], run.x[:, 1:]
    drift = np.stack([sde.drift(t, after[:, k]) for k, t in enumerate(run.t[1:])], axis=1)
    noise = np.stack([0.3 * dw[..., 0], 0.2 * before[..., 0] * dw[..., 1]], axis=-1)
    np.testing.assert_allclose(after, before + 0.5 * drift + noise, rtol=1e-9, atol=1e-9)
    assert ds.integrate(sde, (1.0, 2.0), 4.0, dt=0.5, n_paths=20, rng=3).n_diverged == 20  # the explicit scheme


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-14])
def test_implicit_euler_solves_small_equations_as_well(scale):
    """u' + u' + u'³ = u + ΔW for u = X/scale."""
    sde = ds.SDE(lambda t, x, p: -p[0] * (x[0] / p[0] + (x[0] / p[0]) ** 3), lambda t, x, p: p[0], params=(scale,))
    run = ds.integrate(sde, 5 * scale, 3.0, dt=1.0, n_paths=20, rng=0, scheme="implicit-euler")
    u, dw = run.x[..., 0] / scale, ds.noise_increments(20, 3, dt=1.0, rng=0)[..., 0]
    np.testing.assert_allclose(2 * u[:, 1:] + u[:, 1:] ** 3, u[:, :-1] + dw, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dt", [1.0, 1.25, 5.0])
def test_implicit_euler_solves_equations_with_several_solutions(dt):
    sde = ds.SDE(lambda t, x: x[0] - x[0] ** 3, lambda t, x: 0.5)
    x = ds.integrate(sde, 0.0, 50 * dt, dt=dt, n_paths=300, rng=0, scheme="implicit-euler").x[..., 0]
    dw = ds.noise_increments(300, 50, dt=dt, rng=0)[..., 0]
    after = x[:, 1:]
    np.testing.assert_allclose(after - dt * (after - after**3), x[:, :-1] + 0.5 * dw, rtol=0, atol=1e-12)


def test_implicit_euler_sticks_where_the_drift_jumps_down():
    """V = |x|: within a step of 0 the solution is 0 itself."""
    sde = ds.SDE(lambda t, x: -1.0 if x[0] > 0 else 1.0, lambda t, x: 0.3)
    x = ds.integrate(sde, 0.1, 5.0, dt=0.1, n_paths=100, rng=0, scheme="implicit-euler").x[..., 0]
    target = x[:, :-1] + 0.3 * ds.noise_increments(100, 50, dt=0.1, rng=0)[..., 0]
    expected = np.sign(target) * np.maximum(np.abs(target) - 0.1, 0.0)  # soft thresholding
    np.testing.assert_allclose(x[:, 1:], expected, rtol=0, atol=1e-12)


def test_an_implicit_equation_without_a_solution_counts_as_divergence():
    sde = ds.SDE(lambda t, x: 1.0 + x[0] ** 2, lambda t, x: 0.0)
    run = ds.integrate(sde, 0.0, 10.0, dt=1.0, scheme="implicit-euler", rng=0)
    assert run.diverged.tolist() == [1.0]


def test_schemes_see_the_same_noise():
    """So that paired differences are small: here all are the Brownian path itself."""
    sde = ds.SDE(lambda t, x: (0.0, 0.0), lambda t, x: ((1.0, 0.5), (0.0, 2.0)), dim=2)
    w = (
        ds.noise_increments(10, 8, dt=0.5, noise_dim=2, refine=3, rng=1).sum(axis=1)
        @ np.array([[1.0, 0.5], [0.0, 2.0]]).T
    )
    for scheme in set(ds.schemes) - {"weak-euler"}:
        x = ds.integrate(sde, 0.0, 4.0, dt=0.5, refine=3, n_paths=10, rng=1, scheme=scheme).x[:, -1]
        np.testing.assert_allclose(x, w, rtol=0, atol=1e-12)


def test_the_area_of_a_refined_path_is_that_of_the_path():
    """SRA integrates dX₂ = X₁ dt, X₁ = W exactly: ∫ W ds at any refinement of the same path, and with its variance."""
    sde = ds.SDE(lambda t, x: (0.0, x[0]), lambda t, x: ((1.0,), (0.0,)), dim=2)
    area = ends(sde, 0.0, "sra", (1, 2, 3, 10), n_paths=20_000)[..., 1]
    np.testing.assert_allclose(area, area[:1].repeat(4, axis=0), rtol=0, atol=1e-12)
    assert abs(area[0].var() * 3 - 1) < 5 * math.sqrt(2 / 20_000)
    assert abs(np.mean(area[0] * brownian(1, 20_000)[:, 0]) - 0.5) < 5 * math.sqrt((1 / 3 + 1 / 4) / 20_000)


@pytest.mark.parametrize("scheme", list(ds.schemes))
def test_threads_blocks_and_chunks_change_no_bit(scheme):
    sde = ds.SDE(lambda t, x: (x[1] - t, -x[0] - x[1] ** 3), lambda t, x: (0.5, 0.3), dim=2)
    runs = [
        ds.integrate(sde, 0.4, 2.0, dt=0.1, n_paths=40, rng=2, scheme=scheme, threads=t, block_width=w, chunk_steps=c).x
        for t, w, c in ((1, 40, None), (2, 8, 1), (2, 16, 7))
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] == runs[2]).all()


KINDS = {
    "additive": ds.SDE(lambda t, x: (x[0], x[1]), lambda t, x: ((1.0, t), (t, 2.0)), dim=2),
    "scalar": ds.SDE(lambda t, x: (x[0], x[1]), lambda t, x: ((x[1],), (1.0,)), dim=2),
    "diagonal": ds.SDE(lambda t, x: (x[0], x[1]), lambda t, x: (x[0], math.sqrt(x[1])), dim=2),
    "commutative": linear(turned(1, 2), [turned(1, 2), turned(3, 1)]),
    "general": ds.SDE(lambda t, x: (x[0], x[1]), lambda t, x: (x[1], x[0]), dim=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_noise_is_found(kind):
    assert KINDS[kind].noise_type == kind


def test_the_kind_of_noise_is_looked_for_where_the_paths_are():
    late = ds.SDE(lambda t, x: 0.0, lambda t, x: x[0] if t > 5 else 1.0)
    assert late.noise_type == "additive"
    with pytest.raises(NotApplicable, match="has scalar noise"):
        ds.integrate(late, 1.0, 6.0, dt=0.1, scheme="sra")
    ito = ds.SDE(lambda t, x: 0.0, lambda t, x: x[0] if t > 5 else 1.0, stratonovich=True)
    assert ito.drift(6.0, [2.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ds.SDE(lambda t, x: 0.0, lambda t, x: 1.0, noise_dim=3),
            "noise_dim is 3, but diffusion returns a number",
        ),
        (
            lambda: ds.SDE(lambda t, x: x[0], lambda t, x: 1.0, params=[5.0]),
            "params has 1 numbers, but neither function",
        ),
        (lambda: ds.SDE(lambda t, x, out: -x[0], lambda t, x: 1.0), "drift has an argument out, .* but it returned"),
        (lambda: ds.SDE(lambda t, x: np.random.random(), lambda t, x: 1.0), "drift must not draw random numbers"),  # noqa: NPY002
        (
            lambda: ds.SDE(
                lambda t, x: (0.0, 0.0), lambda t, x: ((x[0], 1.0, 1.0), (1.0, 1.0, 1.0)), dim=2, noise="diagonal"
            ),
            "noise cannot be 'diagonal'",
        ),
        (lambda: ds.SDE(lambda t, x: plain_helper(x), lambda t, x: 1.0), "decorate that with numba.njit"),
    ],
)
def test_contradictions_in_a_definition_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def plain_helper(x):
    return -x[0]


def test_the_kind_of_noise_can_be_declared():
    sde = ds.SDE(lambda t, x: x[0], lambda t, x: 1.0 if x[0] < 1e6 else 2.0, noise="scalar")
    assert sde.noise_type == "scalar"
    with pytest.raises(ArgumentError, match="noise is not known: got 'additiv'; did you mean 'additive'"):
        ds.SDE(lambda t, x: x[0], lambda t, x: 1.0, noise="additiv")


def test_noise_that_jumps_has_no_stratonovich_form():
    limit = ds.sde_limit(ds.problems.two_valleys(), ds.SGD(0.04))
    with pytest.raises(NotApplicable, match=r"has no Stratonovich form: its noise jumps at -1, 0, 0.2"):
        ds.integrate(limit, 0.25, 1.0, dt=0.1, scheme="heun")
    with pytest.raises(NotApplicable, match="its noise jumps at 1"):
        ds.SDE(lambda t, x: 0.0, lambda t, x: x[0] if x[0] > 1 else 2.0, breaks=[1.0], stratonovich=True)
    only_drift = ds.SDE(lambda t, x: -1.0 if x[0] > 0 else 1.0, lambda t, x: 1 + x[0] ** 2, breaks=[0.0])
    assert ds.integrate(only_drift, 0.25, 1.0, dt=0.1, scheme="heun").n_diverged == 0


def test_schemes_refuse_noise_that_they_are_not_for_and_name_those_that_are():
    options = {"x0": 1.0, "t_end": 1.0, "dt": 0.1}
    with pytest.raises(
        NotApplicable, match=r"'sri' is for additive, scalar and diagonal noise, .* general noise; .*heun"
    ):
        ds.integrate(KINDS["general"], scheme="sri", **options)
    with pytest.raises(NotApplicable, match=r"'sra' is for additive noise, .* has diagonal noise; .*milstein, sri"):
        ds.integrate(KINDS["diagonal"], scheme="sra", **options)
    with pytest.raises(NotApplicable, match="'milstein' is for"):
        ds.integrate(KINDS["general"], scheme="milstein", **options)
    with pytest.raises(ArgumentError, match="scheme is not known: got 'milstien'; did you mean 'milstein'"):
        ds.integrate(KINDS["general"], scheme="milstien", **options)
    with pytest.raises(ArgumentError, match="scheme must be a name"):
        ds.integrate(KINDS["general"], scheme=3, **options)
