"""AY §4.2's energies against mpmath: the printed formulas, their stationary points, and clusters of few atoms."""

import itertools

import mpmath
import numpy as np
import oracles
import pytest

import dynsim as ds
from dynsim._kernels import fields
from dynsim._kernels.problems import potentials as kernels


def muller_brown_rows(first):
    """AY (C.1) as printed, for A_1 = first."""
    columns = [
        (first, -100, -170, 15),
        (-1, -1, -6.5, 0.7),
        (0, 0, 11, 0.6),
        (-10, -10, -6.5, 0.7),
        (1, 0, -0.5, -1),
        (0, 0.5, 1.5, 1),
    ]
    return list(zip(*columns, strict=True))


def wells_rows():
    """AY (C.2) as printed, its first branch for k ≤ 500."""
    for k in range(1, 1001):
        low = k <= 500
        x, y = (2.0 - 0.006 * k, 2.0 - 0.006 * k) if low else (1.8 + 0.0024 * k, -1.0 + 0.006 * k)
        yield -50.0 - 0.15 * k, -2.0 - 0.018 * k, -0.1 + 0.0002 * k, -10.0 + 0.009 * k, x, y


def mean_energy(rows, x, y):
    return mpmath.fsum(
        A * mpmath.exp(a * (x - u) ** 2 + b * (x - u) * (y - v) + c * (y - v) ** 2) for A, a, b, c, u, v in rows
    ) / len(rows)


def slopes(rows, x, y):
    terms = []
    for A, a, b, c, u, v in rows:
        dx, dy = x - u, y - v
        value = A * mpmath.exp(a * dx**2 + b * dx * dy + c * dy**2)
        terms.append((value * (2 * a * dx + b * dy), value * (b * dx + 2 * c * dy)))
    return mpmath.fsum(t[0] for t in terms) / len(rows), mpmath.fsum(t[1] for t in terms) / len(rows)


def exact(rows, start):
    """The stationary point next to a start, by mpmath in 30 digits."""
    with mpmath.workdps(30):
        return np.array(
            mpmath.findroot(lambda x, y: slopes(rows, x, y), tuple(map(float, start))).tolist(), dtype=float
        ).ravel()


CASES = {
    "as printed": (lambda: ds.problems.muller_brown(), muller_brown_rows(-150)),
    "standard": (lambda: ds.problems.muller_brown(standard=True), muller_brown_rows(-200)),
    "wells": (lambda: ds.problems.gaussian_wells(), list(wells_rows())),
}


@pytest.fixture(scope="module", params=CASES)
def landscape(request):
    make, rows = CASES[request.param]
    return make(), rows


def test_losses_are_the_means_of_the_papers_terms(landscape):
    problem, rows = landscape
    for theta in np.random.default_rng(0).uniform(problem.bounds[:, 0], problem.bounds[:, 1], (20, 2)):
        assert problem.loss(theta) == pytest.approx(
            float(mean_energy(rows, *map(mpmath.mpf, theta))), rel=1e-11, abs=1e-300
        )
    first = problem.term_losses(problem.minima[0])
    assert first.shape == (len(rows),)
    assert first[1] == pytest.approx(float(mean_energy(rows[1:2], *map(mpmath.mpf, problem.minima[0]))), rel=1e-11)


def test_gradients_and_hessians_are_differences(landscape):
    problem, _ = landscape
    for theta in np.random.default_rng(1).uniform(problem.bounds[:, 0], problem.bounds[:, 1], (10, 2)):
        expected = oracles.central_difference(problem.loss, theta, h=1e-6)
        np.testing.assert_allclose(problem.gradient(theta), expected, rtol=1e-5, atol=1e-7)
        expected = oracles.central_difference(problem.gradient, theta, h=1e-6)
        np.testing.assert_allclose(problem.hessian(theta), expected, rtol=1e-5, atol=1e-6)


def test_minima_and_saddles_are_exact(landscape):
    problem, rows = landscape
    for points in (problem.minima, problem.saddles):
        for point in points:
            assert np.abs(exact(rows, point) - point).max() < 1e-12
        assert (np.diff(problem.loss(points)) > 0).all()
    assert (np.linalg.eigvalsh(problem.hessian(problem.minima)) > 0).all()
    curvature = np.linalg.eigvalsh(problem.hessian(problem.saddles))
    assert (curvature[:, 0] < 0).all()
    assert (curvature[:, 1] > 0).all()


def test_no_minimum_in_the_box_is_missing(landscape):
    """Descent from forty points ends at known minima only, or outside the box, and at each of them."""
    from scipy.optimize import minimize

    problem, rows = landscape
    A, a, b, c, u, v = np.array(rows).T

    def loss_and_slope(theta):
        dx, dy = theta[0] - u, theta[1] - v
        value = A * np.exp(a * dx**2 + b * dx * dy + c * dy**2)
        return value.mean(), np.array([(value * (2 * a * dx + b * dy)).mean(), (value * (b * dx + 2 * c * dy)).mean()])

    starts = np.random.default_rng(2).uniform(problem.bounds[:, 0], problem.bounds[:, 1], (40, 2))
    reached = set()
    for start in starts:
        run = minimize(loss_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9})
        inside = ((run.x > problem.bounds[:, 0]) & (run.x < problem.bounds[:, 1])).all()
        arrived = np.linalg.norm(run.jac) < 1e-5  # BFGS may be stuck in a ravine
        if inside and arrived and np.linalg.eigvalsh(problem.hessian(run.x))[0] > 1e-3:  # else on a plateau
            distance = np.abs(problem.minima - run.x).max(axis=-1)
            assert distance.min() < 1e-5
            reached.add(int(distance.argmin()))
    assert reached == set(range(len(problem.minima)))


def test_minima_and_saddles_of_standard_muller_brown_are_the_textbook_ones():
    problem = ds.problems.muller_brown(scale=1.0, standard=True)
    np.testing.assert_allclose(problem.minima, [[-0.558, 1.442], [0.623, 0.028], [-0.050, 0.467]], atol=6e-4)
    np.testing.assert_allclose(problem.loss(problem.minima), [-146.70, -108.17, -80.77], atol=6e-3)
    np.testing.assert_allclose(problem.saddles, [[0.212, 0.293], [-0.822, 0.624]], atol=6e-4)
    np.testing.assert_allclose(problem.loss(problem.saddles), [-72.25, -40.66], atol=6e-3)


def test_the_scale_of_muller_brown_scales_the_loss_only():
    quarter, whole = ds.problems.muller_brown(), ds.problems.muller_brown(scale=1.0)
    theta = np.array([-0.8, 1.0])
    assert whole.loss(theta) == pytest.approx(4 * quarter.loss(theta), rel=1e-14)
    np.testing.assert_allclose(whole.minima, quarter.minima, rtol=1e-12)


@pytest.mark.parametrize("m", [10, 40, 300])
def test_as_many_wells_less_one_have_saddles_between_them(m):
    """Morse's relation on a plane: without maxima, minima − saddles = 1."""
    problem = ds.problems.gaussian_wells(m)
    assert len(problem.minima) - len(problem.saddles) == 1
    assert np.abs(problem.gradient(problem.minima)).max() < 1e-11


def test_bounds_of_gradient_and_curvature_hold_and_are_reached():
    problem = ds.problems.exponential_potential(
        [-3.0, 2.0], [(-1.0, 0.5, -4.0), (-2.0, 0.0, -2.0)], [[0.0, 0.0], [1.0, 0.0]]
    )
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 401), np.linspace(-2, 2, 401)), axis=-1)
    steepest = np.linalg.norm(problem.term_gradients(grid), axis=-1).max(axis=(0, 1))
    sharpest = np.abs(np.linalg.eigvalsh(problem.term_hessians(grid))).max(axis=(0, 1, 3))
    np.testing.assert_array_less(0.99, steepest / problem.gradient_bounds)
    np.testing.assert_array_less(steepest / problem.gradient_bounds, 1 + 1e-12)
    np.testing.assert_allclose(sharpest, problem.lipschitz, rtol=1e-10)
    assert ds.problems.muller_brown().gradient_bounds is None  # its last term grows


@pytest.mark.parametrize("potential", ["lennard_jones", "morse", "gaussian"])
class TestPairwise:
    def reference(self, potential, r):
        r = mpmath.mpf(r)
        if potential == "lennard_jones":
            return 2 * ((mpmath.mpf(1.5) / r) ** 12 - 2 * (mpmath.mpf(1.5) / r) ** 6)
        if potential == "morse":
            return 2 * ((1 - mpmath.exp(-4 * (r - 1.5))) ** 2 - 1)
        return -2 * mpmath.exp(-(r**2) / (2 * mpmath.mpf(1.5) ** 2))

    def problem(self, potential, n_atoms=4, space=3):
        stiffness = {"stiffness": 4.0} if potential == "morse" else {}
        return ds.problems.pairwise_potential(potential, n_atoms, space=space, depth=2.0, distance=1.5, **stiffness)

    def start(self, problem):
        return (
            problem.minima[0]
            + 0.2 * np.random.default_rng(4).normal(size=(5, problem.dim))
            + (problem.potential == "gaussian")
        )

    def test_the_energy_is_the_sum_over_pairs(self, potential):
        problem = self.problem(potential)
        for theta in self.start(problem):
            atoms = theta.reshape(4, 3)
            pairs = [np.linalg.norm(atoms[i] - atoms[j]) for i, j in itertools.combinations(range(4), 2)]
            expected = [float(self.reference(potential, r)) for r in pairs]
            np.testing.assert_allclose(problem.term_losses(theta), expected, rtol=1e-12)
            assert problem.energy(theta) == pytest.approx(sum(expected), rel=1e-12)

    def test_gradients_and_hessians_are_differences(self, potential):
        for n_atoms, space in ((4, 3), (3, 1), (2, 2)):
            problem = self.problem(potential, n_atoms, space)
            spread = np.linspace(0, 1.4 * n_atoms, n_atoms)[:, None] + 0.1 * np.random.default_rng(5).normal(
                size=(n_atoms, space)
            )
            theta = spread.ravel()
            expected = oracles.central_difference(problem.term_losses, theta)
            np.testing.assert_allclose(problem.term_gradients(theta), expected.T, rtol=1e-6, atol=1e-7)
            expected = oracles.central_difference(problem.gradient, theta)
            np.testing.assert_allclose(problem.hessian(theta), expected, rtol=1e-6, atol=1e-7)

    def test_the_minimum_has_every_pair_at_its_best(self, potential):
        for n_atoms, space in ((2, 1), (3, 2), (4, 3), (3, 3)):
            problem = self.problem(potential, n_atoms, space)
            assert problem.energy(problem.minima[0]) == pytest.approx(-2.0 * problem.n_terms, rel=1e-12)
        crowded = self.problem(potential, 5, 3).minima
        assert (crowded is None) == (potential != "gaussian")

    def test_the_norms_written_for_lanes_are_the_derived_ones(self, potential):
        problem = self.problem(potential)
        x = np.ascontiguousarray(self.start(problem).T)
        ours, derived, weights = np.empty((6, 5)), np.empty((6, 5)), problem.weights.copy()
        problem.gradient_norms_field(x, problem.params, weights, 0, ours)
        fields.gradient_norms_field(getattr(kernels, f"{potential}_gradient"))(x, problem.params, weights, 0, derived)
        np.testing.assert_allclose(ours, derived, rtol=1e-12)

    def test_gradient_descent_finds_the_cluster(self, potential):
        problem = self.problem(potential, 3, 2)
        theta = problem.minima[0] + 0.05 * np.random.default_rng(6).normal(size=6)
        for _ in range(4000):
            theta = theta - 0.01 * problem.gradient(theta)
        assert problem.energy(theta) == pytest.approx(-6.0, abs=1e-6)

    def test_sgd_and_rr_run(self, potential):
        problem = self.problem(potential)
        for method in (ds.SGD(1e-4), ds.RR(1e-4)):
            assert ds.iterate(problem, method, problem.minima[0] + 0.01, n_steps=50, n_paths=9, rng=0).n_diverged == 0


def test_bounds_of_the_gaussian_pair_are_reached():
    problem = ds.problems.pairwise_potential("gaussian", 2, space=1, depth=2.0, distance=1.5)
    apart = np.linspace(0, 9, 3001)
    theta = np.stack([apart, np.zeros_like(apart)], axis=-1)
    assert np.linalg.norm(problem.gradient(theta), axis=-1).max() == pytest.approx(problem.gradient_bounds[0], rel=1e-5)
    assert np.abs(np.linalg.eigvalsh(problem.hessian(theta))).max() == pytest.approx(problem.lipschitz[0], rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.muller_brown(scale=0), "scale must be a positive finite number, got 0"),
        (lambda p: p.gaussian_wells(1), "m must be a whole number, at least 2, got 1"),
        (lambda p: p.pairwise_potential("lenard_jones"), "did you mean 'lennard_jones'"),
        (lambda p: p.pairwise_potential(n_atoms=1), "n_atoms must be a whole number, at least 2"),
        (lambda p: p.pairwise_potential(stiffness=1.0), "stiffness belongs to the potential 'morse'"),
        (lambda p: p.pairwise_potential(distance=-1.0), "distance must be a positive finite number"),
        (lambda p: p.exponential_potential([1.0, 0.0], (-1, 0, -1), [[0, 0], [1, 1]]), "none of them 0"),
        (lambda p: p.exponential_potential([1.0], (-1, 0, -1), [[0, 0], [1, 1]]), r"centers must have shape \(1, 2\)"),
        (lambda p: p.exponential_potential([1.0], (-1, 0), [[0, 0]]), r"forms must have shape \(1, 3\) or \(3,\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ds.errors.ArgumentError, match=message):
        call(ds.problems)
