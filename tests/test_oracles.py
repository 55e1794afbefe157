"""Each oracle by a second way, so that it can be trusted."""

import math

import numpy as np
import oracles
import pytest
from scipy import integrate, linalg

WELLS = [{"steepness": 2.0}, {"steepness": 4.0, "noise": 0.7, "growth": 1.5}]
PEARSON = {
    "cir": {"kappa": 1.5, "theta": 1.0, "sigma": 0.8},
    "inverse_gamma": {"kappa": 3.0, "theta": 1.0, "sigma": 0.7},
    "student": {"kappa": 1.2, "nu": 7.0, "s": 0.9},
    "jacobi": {"kappa": 2.0, "theta": 0.4, "sigma": 0.9},
}


def slope(function, x, h=1e-3):
    """f'(x) by differences of order 6."""
    near, far, farther = (function(x + k * h) - function(x - k * h) for k in (1, 2, 3))
    return (45 * near - 9 * far + farther) / (60 * h)


def partial(function, x, axis, h=1e-3):
    """∂_axis of a function of points (m, dim)."""
    return slope(lambda s: function(x + s * np.eye(x.shape[-1])[axis]), 0.0, h)


def flux(density, drift, tensor, x):
    """The current μ p − ½ ∇·(D p) at points x (m, dim), by differences."""
    divergence = sum(partial(lambda z, j=j: tensor(z)[:, :, j] * density(z)[:, None], x, j) for j in range(x.shape[-1]))
    return np.array([drift(0.0, z) for z in x]) * density(x)[:, None] - 0.5 * divergence


def points_in(bounds, n=40):
    rng = np.random.default_rng(3)
    low, high = np.array(bounds).T
    return low + (high - low) * rng.uniform(0.05, 0.95, (n, len(low)))


def test_the_density_of_a_line_is_the_truncated_normal_for_linear_drift():
    edges = np.linspace(-1.0, 2.5, 15)
    line = oracles.ornstein_uhlenbeck_line(1.3, 0.8, -1.0, 2.5)
    exact = oracles.truncated_normal_masses(0.8 / 2.6, edges)
    np.testing.assert_allclose(np.exp(line.log_mass(edges)), exact, rtol=1e-14)
    center = edges[:-1] + 0.01
    narrow = oracles.truncated_normal_masses(0.8 / 2.6, np.sort(np.r_[edges, center - 1e-4, center + 1e-4]))[1::3]
    np.testing.assert_allclose(np.exp(line.log_density(center)) * 2e-4, narrow, rtol=1e-6)


def test_passage_times_and_committors_of_a_line_have_the_closed_forms_of_linear_drift():
    line = oracles.ornstein_uhlenbeck_line(1.3, 0.8, -9.0, 9.0)
    x = np.array([-1.0, 0.0, 0.7])
    times = [oracles.ornstein_uhlenbeck_passage(1.3, 0.8, v, 1.5) for v in x]
    np.testing.assert_allclose(line.passage_times(x, 1.5), times, rtol=1e-13)
    np.testing.assert_allclose(line.passage_times(-x, -1.5), times, rtol=1e-13)
    exact = oracles.ornstein_uhlenbeck_committor(1.3, 0.8, x, -1.2, 1.5)
    np.testing.assert_allclose(line.committor(x, -1.2, 1.5), exact, rtol=1e-13)


@pytest.mark.parametrize("well", WELLS, ids=["additive", "multiplicative"])
def test_double_wells_solve_their_equations(well):
    line = oracles.double_well_line(**well)
    drift, diffusion = oracles.double_well_functions(**well)
    x = np.array([-1.7, -0.4, 0.3])
    mu, D = np.array([drift(0, [v]) for v in x]), np.array([diffusion(0, [v]) ** 2 for v in x])
    p = lambda x: np.exp(line.log_density(x))  # noqa: E731
    np.testing.assert_allclose(0.5 * slope(lambda v: line.noise(v) * p(v), x), mu * p(x), rtol=1e-9)
    h = 0.01
    T = line.passage_times((x + h * np.arange(-2, 3)[:, None]).ravel(), 1.0).reshape(5, 3)
    first, second = np.array([1, -8, 0, 8, -1]) @ T / (12 * h), np.array([-1, 16, -30, 16, -1]) @ T / (12 * h * h)
    np.testing.assert_allclose(0.5 * D * second + mu * first, -1, atol=1e-5)


@pytest.mark.parametrize("well", WELLS, ids=["additive", "multiplicative"])
def test_a_round_trip_takes_the_inverse_of_the_reactive_rate(well):
    """By renewal: passages from a to b and from b to a alternate."""
    line = oracles.double_well_line(**well)
    a, b = -0.9, 1.1
    round_trip = line.passage_times([a], b) + line.passage_times([b], a)
    assert line.reactive_rate(a, b) == pytest.approx(1 / round_trip[0], rel=1e-13)


def test_the_metastable_passage_time_is_1e21_by_two_methods_and_near_kramers():
    """By 50-digit quadrature; by the principal rate of a half-line (well to well takes two exits); asymptotically."""
    line = oracles.double_well_line(**oracles.METASTABLE)
    T = line.passage_times([-1.0], 1.0)[0]
    assert 0.99e21 < T < 1.01e21
    more = oracles.Line(line.potential, line.noise, -2.0, 2.0, n_panels=48)
    assert more.passage_times([-1.0], 1.0)[0] == pytest.approx(T, rel=1e-14)
    lower, upper = oracles.rate_of_leaving(line, 0.0)
    assert upper / lower == pytest.approx(1, rel=1e-12)
    assert T * lower == pytest.approx(2, rel=1e-12)
    B, d = oracles.METASTABLE["steepness"], oracles.METASTABLE["noise"]
    kramers = 2 * math.pi / (0.5 * d * B * math.sqrt(4 * 8)) * math.exp(B)
    assert T / kramers == pytest.approx(1, rel=0.02)


def test_rates_of_lines_agree_with_closed_forms_and_with_the_bracket():
    line = oracles.ornstein_uhlenbeck_line(1.3, 0.8, -6.0, 6.0)
    np.testing.assert_allclose(oracles.line_rates(line, 5), oracles.pearson_rates(1.3, 0.0, 5), atol=1e-9)
    brownian = oracles.Line(lambda x: 0 * x, lambda x: 0.7, 0.0, 2.0)  # cosines
    np.testing.assert_allclose(oracles.line_rates(brownian, 5), 0.35 * (np.pi * np.arange(5) / 2) ** 2, atol=1e-10)
    lower, upper = oracles.rate_of_leaving(brownian, 1.0)
    assert lower <= 0.35 * (np.pi / 2) ** 2 * (1 + 1e-12)
    assert upper == pytest.approx(0.35 * (np.pi / 2) ** 2, rel=1e-6)
    for well in WELLS:
        line = oracles.double_well_line(**well)
        lower, upper = oracles.rate_of_leaving(line, 0.0)
        assert upper == pytest.approx(lower, rel=1e-9)
        assert oracles.line_rates(line, 2)[1] == pytest.approx(lower, rel=1e-9)
    p = PEARSON["jacobi"] | {"theta": 0.5, "kappa": 1.62}  # p = 6 x (1 − x)
    jacobi = oracles.Line(
        lambda x: -(p["kappa"] / p["sigma"] ** 2) * np.log(x * (1 - x)), lambda x: p["sigma"] ** 2 * x * (1 - x), 0, 1
    )
    exact = oracles.pearson_rates(p["kappa"], -(p["sigma"] ** 2), 5)
    np.testing.assert_allclose(exact, np.arange(5) * (1.62 + (np.arange(5) - 1) * 0.405), rtol=1e-14)
    np.testing.assert_allclose(oracles.line_rates(jacobi, 5, degree=20), exact, atol=1e-9)


def pearson_coefficients(name):
    """κ, θ and (a, b, c) of D = a x² + b x + c."""
    p = PEARSON[name]
    if name == "student":
        a = 2 * p["kappa"] / (p["nu"] - 1)
        return p["kappa"], 0.0, (a, 0.0, a * p["nu"] * p["s"] ** 2)
    s = p["sigma"] ** 2
    return p["kappa"], p["theta"], {"cir": (0, s, 0), "inverse_gamma": (s, 0, 0), "jacobi": (-s, s, 0)}[name]


@pytest.mark.parametrize("name", PEARSON)
def test_pearson_laws_carry_no_flux(name):
    p, law = PEARSON[name], oracles.pearson_law(name, **PEARSON[name])
    kappa, theta, (a, b, c) = pearson_coefficients(name)
    x = law.ppf([0.02, 0.3, 0.6, 0.95])
    D = lambda x: a * x * x + b * x + c  # noqa: E731
    np.testing.assert_allclose(0.5 * slope(lambda v: D(v) * law.pdf(v), x), kappa * (theta - x) * law.pdf(x), rtol=1e-7)
    difference = law.logpdf(x) - oracles.pearson_log_density(name, x, **p)
    np.testing.assert_allclose(difference, difference[0], rtol=1e-10)


@pytest.mark.parametrize("name", PEARSON)
def test_pearson_rates_are_those_of_the_generator_on_polynomials(name):
    """L x^k = κ k (θ x^(k−1) − x^k) + ½ k (k−1) (a x^k + b x^(k−1) + c x^(k−2)): triangular."""
    kappa, theta, (a, b, c) = pearson_coefficients(name)
    n = oracles.pearson_rates(kappa, a, 6).size
    L = np.zeros((n, n))
    for k in range(n):
        for power, value in (
            (k, 0.5 * k * (k - 1) * a - kappa * k),
            (k - 1, 0.5 * k * (k - 1) * b + kappa * theta * k),
        ):
            if power >= 0:
                L[power, k] += value
        if k >= 2:
            L[k - 2, k] += 0.5 * k * (k - 1) * c
    rates, vectors = np.linalg.eig(-L)
    order = np.argsort(rates)
    np.testing.assert_allclose(rates[order], oracles.pearson_rates(kappa, a, 6), atol=1e-12)
    law = oracles.pearson_law(name, **PEARSON[name])
    for k in (1, 2):  # eigenfunctions have mean 0
        v = vectors[:, order[k]]
        assert law.expect(lambda x, v=v: np.polynomial.polynomial.polyval(x, v)) == pytest.approx(0, abs=1e-7)
    assert {"student": 4, "inverse_gamma": 6}.get(name, 6) == n  # k < κ/a + ½


RINGS = [oracles.Ring(0.8, 0.6, 0.7, 0.3), oracles.Ring(0.5, 1.1), oracles.Ring(0.0, 0.6, 0.7, 0.3)]


@pytest.mark.parametrize("ring", RINGS, ids=["driven", "free", "at rest"])
def test_rings_have_the_flux_they_claim(ring):
    x = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    p = ring.density(x)
    assert p.mean() * 2 * np.pi == pytest.approx(1, rel=1e-13)
    J = ring.drift(x) * p - 0.5 * ring.noise * slope(ring.density, x)
    np.testing.assert_allclose(J, ring.current, rtol=1e-9, atol=1e-11)
    work = (J**2 / (0.5 * ring.noise * p)).mean() * 2 * np.pi
    assert ring.entropy_production == pytest.approx(work, rel=1e-9, abs=1e-15)
    if ring.a == 0:
        assert ring.current == pytest.approx(ring.force / (2 * np.pi), rel=1e-13)
        assert ring.entropy_production == pytest.approx(2 * ring.force**2 / ring.noise, rel=1e-13)
    if ring.force == 0:
        np.testing.assert_allclose(p * np.exp(2 * ring._potential(x) / ring.noise), p[0] * math.exp(1.4 / 0.6))


def test_rates_of_a_free_ring_are_those_of_its_fourier_modes():
    q, f, D = 2 * np.pi / 3.0, 0.7, 0.4
    mode = lambda x: np.exp(1j * q * x)  # noqa: E731
    second = (mode(0.02) - 2 * mode(0.0) + mode(-0.02)) / 0.02**2
    rate = -(f * slope(mode, 0.0) + 0.5 * D * second)
    rates = oracles.ring_rates(f, D, 3.0, 5)
    assert np.abs(rates - rate).min() < 2e-4
    assert rates[0] == 0
    np.testing.assert_allclose(rates[1], rates[2].conj())


FLOWS = [
    oracles.rotating(0.8, 2.0, 0.5),
    oracles.LinearFlow(np.array([[1.0, 2.5], [-0.3, 0.7]]), np.array([[1.0, 0.0], [0.6, 0.5]])),
]


@pytest.mark.parametrize("flow", FLOWS, ids=["rotating", "non-normal"])
def test_linear_flows_solve_their_equations(flow):
    S, D = flow.covariance, flow.tensor
    np.testing.assert_allclose(S, linalg.solve_continuous_lyapunov(flow.A, D), rtol=1e-12, atol=1e-14)
    drift, diffusion = flow.functions()
    np.testing.assert_array_equal(np.array(diffusion(0, [0, 0])), flow.B)
    x = points_in([(-1, 1), (-1, 1)])
    j = flux(flow.density, drift, lambda z: np.broadcast_to(D, (len(z), 2, 2)), x)
    np.testing.assert_allclose(flow.current(x), j, atol=1e-9)
    side = 9 * math.sqrt(S.diagonal().max())
    u, w = (part.ravel() for part in oracles.panels(-side, side, 20))
    z = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1)
    j, p = flow.current(z), flow.density(z)
    work = (j @ np.linalg.inv(D / 2) * j).sum(axis=-1) / np.maximum(p, 1e-300)
    assert w @ work @ w == pytest.approx(flow.entropy_production, rel=1e-10)
    turning = z[..., 0] * j[..., 1] - z[..., 1] * j[..., 0]
    assert w @ turning @ w == pytest.approx(2 * flow.rotation[0, 1], rel=1e-10)
    np.testing.assert_allclose(flow.rotation, -flow.rotation.T, atol=1e-14)


def test_rotation_has_its_closed_forms():
    flow = oracles.rotating(0.8, 2.0, 0.5)
    np.testing.assert_allclose(flow.covariance, 0.5 / 1.6 * np.eye(2), atol=1e-15)
    assert flow.entropy_production == pytest.approx(2 * 4.0 / 0.8, rel=1e-14)
    assert 2 * flow.rotation[0, 1] == pytest.approx(-2.0 * 0.5 / 0.8, rel=1e-14)
    rates = oracles.linear_rates(flow.A, 6)
    expected = [0, 0.8 - 2j, 0.8 + 2j, 1.6 - 4j, 1.6, 1.6 + 4j]
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_linear_rates_are_those_of_first_and_second_moments():
    A = FLOWS[1].A
    second = np.linalg.eigvals(np.kron(A, np.eye(2)) + np.kron(np.eye(2), A))
    rates = oracles.linear_rates(A, 30)
    for value in [0.0, *np.linalg.eigvals(A), *second]:
        assert np.abs(rates - value).min() < 1e-12


def test_the_kinetic_process_has_the_law_of_gibbs():
    flow = oracles.kinetic(2.0, 0.7, 1.5)
    np.testing.assert_allclose(flow.covariance, np.diag([0.75, 1.5]), atol=1e-14)
    assert np.linalg.matrix_rank(flow.tensor) == 1
    rates = np.linalg.eigvals(flow.A)
    np.testing.assert_allclose(rates**2 - 0.7 * rates + 2.0, 0, atol=1e-13)
    mean, cov = flow.law([1.0, -0.5], 0.4)
    t = np.linspace(0, 0.4, 401)
    paths = np.array([linalg.expm(-flow.A * s) for s in t])
    np.testing.assert_allclose(mean, paths[-1] @ [1.0, -0.5], rtol=1e-12)
    np.testing.assert_allclose(
        cov, integrate.simpson(paths @ flow.tensor @ paths.swapaxes(1, 2), x=t, axis=0), rtol=1e-9
    )


@pytest.mark.parametrize("kind", ["plane", "torus", "box"])
def test_densities_made_to_measure_solve_their_equations(kind):
    made = oracles.Made(kind, spin=1.7)
    drift, diffusion = made.functions()
    x = points_in(((-1.5, 1.5), (-1.5, 1.5)) if kind == "plane" else made.bounds)
    j = flux(made.density, drift, made.tensor, x)
    np.testing.assert_allclose(made.current(x), j, atol=1e-8)
    assert np.abs(j).max() > 0.05  # it does not rest
    divergence = sum(partial(made.current, x, axis, h=0.02)[:, axis] for axis in range(2))
    np.testing.assert_allclose(divergence, 0, atol=1e-6)
    sigma = np.array([diffusion(0, z) for z in x])
    np.testing.assert_allclose(sigma @ sigma.swapaxes(1, 2), made.tensor(x), rtol=1e-13)
    assert np.linalg.eigvalsh(made.tensor(points_in(made.bounds, 4000))).min() > 0.15
    assert made.entropy_production > 0.1


def test_densities_made_to_measure_fit_their_sides():
    torus, box, plane = (oracles.Made(kind) for kind in ("torus", "box", "plane"))
    x = points_in(torus.bounds)
    drift = torus.functions()[0]
    moved = np.array([drift(0, z + 2 * np.pi * np.array([1, -1])) for z in x])
    np.testing.assert_allclose(moved, [drift(0, z) for z in x], atol=1e-12)
    s = np.linspace(-1, 1, 9)
    for side in (-1.0, 1.0):
        assert np.abs(box.current(np.stack([np.full(9, side), s], axis=-1))[:, 0]).max() < 1e-10
        assert np.abs(box.current(np.stack([s, np.full(9, side)], axis=-1))[:, 1]).max() < 1e-10
    frame = [(s, t) for s in (-3.6, 3.6) for t in np.linspace(-5.5, 5.5, 99)]
    frame += [(t, s) for s in (-5.5, 5.5) for t in np.linspace(-3.6, 3.6, 99)]
    assert plane.density(np.array(frame)).max() < 1e-12
    grid = [np.linspace(*side, 40) for side in plane.bounds]
    masses = oracles.masses(plane.density, *grid)
    centers = np.stack(np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in grid], indexing="ij"), axis=-1).reshape(-1, 2)
    middle = np.abs(centers).max(axis=1) < 1
    area = (grid[0][1] - grid[0][0]) * (grid[1][1] - grid[1][0])
    np.testing.assert_allclose(masses[middle], plane.density(centers[middle]) * area, rtol=0.03)


@pytest.mark.parametrize(("power", "stationary"), [(1.0, True), (0.5, False), (0.0, False)])
def test_the_density_of_a_jump_is_stationary_in_the_weak_sense_of_ito_only(power, stationary):
    """∫ p (μ·∇φ + ½ D : ∇²φ) dx = 0 for φ = exp(−½ (x − u)² − (y − v)²), quadrature on both sides of the jump."""
    jump = oracles.Jump()
    drift, diffusion = jump.functions()
    (xl, wl), (xr, wr), (y, wy) = (
        [part.ravel() for part in oracles.panels(*side, 5)] for side in ((-6.0, 0.0), (0.0, 5.0), jump.bounds[1])
    )
    x, wx = np.r_[xl, xr], np.r_[wl, wr]
    z = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    p = jump.density(z, power)
    p /= wx @ p @ wy
    mu = np.array([[drift(0, point) for point in row] for row in z])
    sigma = np.array([[diffusion(0, point) for point in row] for row in z])
    D = sigma @ sigma.swapaxes(-1, -2)
    worst = 0.0
    for u, v in ((0.0, 0.0), (-0.7, 0.4), (0.5, -0.6)):
        s, t = z[..., 0] - u, z[..., 1] - v
        phi = np.exp(-0.5 * s**2 - t**2)
        L = mu[..., 0] * -s + mu[..., 1] * -2 * t
        L += 0.5 * (D[..., 0, 0] * (s**2 - 1) + D[..., 0, 1] * 4 * s * t + D[..., 1, 1] * (4 * t**2 - 2))
        worst = max(worst, abs(wx @ (p * L * phi) @ wy))
    assert (worst < 1e-9) == stationary
    assert worst < 1e-9 or worst > 1e-2


def test_exit_times_and_committors_of_discs_solve_their_equations():
    x = np.array([[0.7, 0.2], [-0.3, 0.8]])

    def laplacian(f, h=1e-2):
        steps = h * np.eye(2)
        return sum(-f(x + 2 * e) + 16 * f(x + e) - 30 * f(x) + 16 * f(x - e) - f(x - 2 * e) for e in steps) / (
            12 * h * h
        )

    np.testing.assert_allclose(0.5 * 0.7 * laplacian(lambda z: oracles.ball_exit_time(0.7, 2.0, z)), -1, rtol=1e-9)
    assert oracles.ball_exit_time(0.7, 2.0, [0.0, 2.0]) == 0
    q = lambda z: oracles.annulus_committor(0.5, 2.0, z)  # noqa: E731
    np.testing.assert_allclose(laplacian(q), 0, atol=1e-6)
    assert q(np.array([[0.5, 0.0], [0.0, 2.0]])).tolist() == [0, 1]
    r, w = (part.ravel() for part in oracles.panels(0.5, 2.0, 4))
    dissipated = 0.5 * 0.7 / 16 * 2 * np.pi * (w @ (r * slope(lambda s: q(np.stack([s, 0 * s], axis=-1)), r) ** 2))
    assert oracles.annulus_reactive_rate(0.7, 0.5, 2.0, 16.0) == pytest.approx(dissipated, rel=1e-9)


def test_the_cantor_law_is_what_its_maps_leave_as_it_is():
    x = np.random.default_rng(0).uniform(0, 1, 200)
    F = lambda x: np.array([oracles.cantor_function(float(v)) for v in x])  # noqa: E731
    np.testing.assert_allclose(F(x), 0.5 * F(3 * x) + 0.5 * F(3 * x - 2), atol=1e-9)  # the floats 3x differ by rounding
    edges = np.linspace(0, 1, 3**6 + 1) + 1e-12
    masses = oracles.cantor_masses(edges)
    assert set(masses.round(6)) == {0, round(2.0**-6, 6)}
    center = (edges[1:] + edges[:-1]) / 2
    assert masses @ center == pytest.approx(0.5, abs=1e-6)
    assert masses @ (center - 0.5) ** 2 == pytest.approx(1 / 8, abs=1e-5)
    np.testing.assert_allclose(oracles.fair_masses(np.array([-0.5, 0.25, 0.5, 2.0])), [0.25, 0.25, 0.5])
