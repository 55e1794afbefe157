import numpy as np
import pytest
from scipy import linalg

import dynsim as ds
from dynsim import noise, sampling
from dynsim.stationary.graphs import closed_classes
from dynsim.stationary.outcomes import outcomes
from dynsim.stationary.ulam import laws_of_step, matrix_of_step, transfer_matrix


def springs(centers):
    """SGD on the mean of ½‖θ − c_n‖² is the random map θ -> (1 − η) θ + η c_n."""
    centers = np.array(centers, dtype=float).reshape(len(centers), -1)

    def loss(theta, n, params):
        return 0.5 * ((theta - params[n]) ** 2).sum()

    def gradient(theta, n, params, out):
        for j in range(len(theta)):
            out[j] = theta[j] - params[n, j]

    return ds.Problem.from_terms(loss, gradient, n_terms=len(centers), dim=centers.shape[1], params=centers)


@pytest.fixture(scope="module")
def pair():
    return springs([0.0, 1.0])


def stationary(matrix):
    """By dense elimination: mass (I − P) = 0, Σ mass = 1."""
    m = matrix.shape[0]
    system = np.eye(m) - matrix.toarray().T
    system[-1] = 1.0
    return np.linalg.solve(system, np.eye(m)[-1])


def iterated(matrix, n_steps=400):
    mass = np.full(matrix.shape[0], 1 / matrix.shape[0])
    for _ in range(n_steps):
        mass = matrix.T @ mass
    return mass / mass.sum()


def centers(edges):
    grids = np.meshgrid(*(0.5 * (e[1:] + e[:-1]) for e in edges), indexing="ij")
    return np.stack(grids, axis=-1).reshape(-1, len(edges))


def moments(matrix, edges):
    mass, x = iterated(matrix), centers(edges)
    mean = mass @ x
    return mean, (mass[:, None] * (x - mean)).T @ (x - mean)


@pytest.mark.parametrize("edges", [np.linspace(0, 1, 101), np.unique(np.random.default_rng(0).random(60).round(3))])
def test_the_uniform_law_of_two_halving_maps_is_exact(pair, edges):
    """θ/2 and θ/2 + ½ on any cells: the uniform law is invariant, and Ulam's method keeps it."""
    edges = np.union1d(edges, [0, 1])
    matrix, leak = transfer_matrix(pair, ds.SGD(0.5), [edges])
    assert not leak.any()
    np.testing.assert_allclose(stationary(matrix), np.diff(edges), rtol=0, atol=1e-13)
    other, _ = transfer_matrix(pair, ds.SGD(0.6), [edges])
    assert np.abs(stationary(other) - np.diff(edges)).max() > 1e-3


def test_the_cantor_law_is_exact_on_triadic_cells(pair):
    """θ/3 and θ/3 + 2/3: 2⁻⁵ in each cell of length 3⁻⁵ without a digit 1, and no mass at all in the others."""
    matrix, leak = transfer_matrix(pair, ds.SGD(2 / 3), [np.arange(3**5 + 1) / 3**5])
    digits = np.arange(3**5)[:, None] // 3 ** np.arange(5) % 3
    kept = (digits != 1).all(axis=1)
    assert not leak.any()
    mass = stationary(matrix)
    np.testing.assert_allclose(mass[kept], 2.0**-5, rtol=1e-12)
    assert np.abs(mass[~kept]).max() < 1e-15
    (members,) = closed_classes(matrix, leak)
    np.testing.assert_array_equal(members, np.flatnonzero(kept))


def test_the_sierpinski_law_is_exact_on_dyadic_cells():
    """θ/2 + c/2 with c at three corners of a square: 3⁻⁴ in each cell (i, j) with i & j = 0."""
    matrix, leak = transfer_matrix(springs([[0, 0], [1, 0], [0, 1]]), ds.SGD(0.5), [np.linspace(0, 1, 17)] * 2)
    i, j = np.divmod(np.arange(256), 16)
    exact = np.where(i & j == 0, 3.0**-4, 0.0)
    assert not leak.any()
    np.testing.assert_allclose(iterated(matrix), exact, rtol=0, atol=1e-14)


def exact_valleys(n_below, n):
    """SGD at η = 0.04 on two_valleys() in units of 0.004, cell i being (i, i + 1) − n_below: a chain of integers."""
    matrix = np.zeros((n, n))
    for i in range(n):
        theta = i - n_below + 0.5
        first = (10 if theta > -250 else -10) if theta < 0 else 1
        second = -1 if theta < 0 else (50 if theta > 50 else -50)
        for step, p in ((first, 0.4), (second, 0.6)):
            if 0 <= i - step < n:
                matrix[i, i - step] += p
    return matrix


def test_on_cells_of_its_steps_the_chain_of_two_valleys_is_its_lattice_chain(valleys):
    """All steps and kinks are multiples of 0.004: each coset of the lattice moves as the cells of that width do."""
    edges = np.arange(-500, 251) * 0.004
    matrix, leak = transfer_matrix(valleys, ds.SGD(0.04), [edges])
    exact = exact_valleys(500, 750)
    np.testing.assert_allclose(matrix.toarray(), exact, rtol=0, atol=1e-15)
    np.testing.assert_allclose(leak, 1 - exact.sum(axis=1), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(matrix.toarray() > 0, exact > 0)
    shifted, _ = transfer_matrix(valleys, ds.SGD(0.04), [edges + 0.001])
    assert np.abs(shifted.toarray() - exact).max() > 0.1


def test_on_cells_half_as_wide_the_cosets_do_not_meet(valleys):
    """Even and odd cells of 0.002 are two cosets: the chain is reducible, and Ulam's law would mix their laws."""
    matrix, leak = transfer_matrix(valleys, ds.SGD(0.04), [np.arange(-1000, 501) * 0.002])
    classes = closed_classes(matrix, leak)
    assert len(classes) == 2
    assert [np.unique(members % 2).tolist() for members in classes] == [[0], [1]]
    np.testing.assert_array_equal(classes[0] + 1, classes[1])


def curved():
    def loss(theta, n, params):
        return np.log(np.cosh(theta[0] - params[n])) + 0.05 * (theta[0] - params[n]) ** 2

    return ds.Problem.from_terms(loss, n_terms=2, dim=1, params=[-1.0, 1.5])


def test_curved_maps_and_varying_probabilities_converge_with_second_order():
    """Against the images of 20 000 points of each cell; resampling by gradient norm makes p depend on θ."""
    problem, method = curved(), ds.SGD(0.4, sampling.Mixture(0.7))
    edges = np.linspace(-2.0, 2.5, 28)
    n = 20_000
    theta = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(n) + 0.5) / n
    targets, p = outcomes("it", problem, method, theta[..., None])
    exact = np.stack(
        [np.histogram(t[..., 0].ravel(), edges, weights=w.ravel() / n)[0] for t, w in zip(targets, p, strict=True)]
    )
    errors = []
    for points in (2, 4, 8, 16):
        matrix, leak = transfer_matrix(problem, method, [edges], points=points)
        errors.append(np.abs(matrix.toarray() - exact).sum(axis=1).mean())
        np.testing.assert_allclose(matrix.sum(axis=1) + leak, 1, rtol=0, atol=1e-14)
    np.testing.assert_allclose(orders(errors)[1:], 2, atol=0.2)
    assert errors[1] < 1e-3  # the default


LAWS = (noise.Gaussian(0.3), noise.StudentT(1.5, 0.2), noise.Pareto(1.5, 0.1), noise.Pareto(3.0, 0.1, symmetric=True))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{type(law).__name__}-{LAWS.index(law)}")
def test_noise_is_integrated_over_cells(pair, law):
    """Against the mean of exact cdf differences over 400 points of each image, −ηξ being reflected."""
    edges = np.linspace(-0.5, 1.5, 41)
    matrix, leak = transfer_matrix(pair, ds.SGD(0.5, noise=law), [edges])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    exact, outside = np.zeros((40, 40)), np.zeros(40)
    for i in range(40):
        theta = 0.5 * (edges[i] + edges[i + 1]) + 0.5 * (edges[i + 1] - edges[i]) * nodes
        for center in (0.0, 1.0):
            y = 0.5 * theta + 0.5 * center
            below = 1 - law.cdf((y[:, None] - edges) / 0.5)  # P(y − ηξ ≤ e) = P(ξ ≥ (y − e)/η)
            exact[i] += 0.25 * weights @ np.diff(below, axis=1)
            outside[i] += 0.25 * weights @ (below[:, 0] + 1 - below[:, -1])
    sharp = isinstance(law, noise.Pareto)  # a density that jumps, against Gauss nodes on either side
    np.testing.assert_allclose(matrix.toarray(), exact, rtol=0, atol=3e-3 if sharp else 1e-9)
    np.testing.assert_allclose(leak, outside, rtol=0, atol=3e-3 if sharp else 1e-9)
    reflected = matrix.toarray()[::-1, ::-1]
    asymmetric = sharp and not law.symmetric
    assert (np.abs(reflected - matrix.toarray()).max() > 0.1) == asymmetric


def test_tails_of_noise_have_full_relative_accuracy():
    """From 0 to a cell seven standard deviations away, above and below: 1e-12 of the mass, right to 1e-8 of itself."""
    from scipy.stats import norm

    edges = np.array([-7.2, -7.0, -1e-9, 1e-9, 7.0, 7.2])
    laws = laws_of_step(noise.Gaussian(2.0), 0.5, 1)
    matrix, _ = matrix_of_step(lambda x: (0 * x[:, None], np.ones((len(x), 1))), [edges], laws=laws)
    exact = norm.cdf(-7.0) - norm.cdf(-7.2)
    row = matrix.toarray()[2]
    assert row[4] == pytest.approx(exact, rel=1e-8)
    assert row[0] == pytest.approx(exact, rel=1e-8)


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_the_covariance_of_linear_maps_with_gaussian_noise_has_order_two():
    """θ -> A θ + ξ, A not diagonal: C = A C Aᵀ + Q."""
    a, scale = np.array([[0.7, -0.18], [-0.18, 0.76]]), np.array([0.14, 0.1])
    exact = linalg.solve_discrete_lyapunov(a, np.diag(scale**2))
    errors = []
    for n in (12, 24, 48):
        edges = [np.linspace(-1.6, 1.6, n + 1)] * 2
        matrix, _ = matrix_of_step(
            lambda x: ((x @ a.T)[:, None], np.ones((len(x), 1))),
            edges,
            laws=laws_of_step(noise.Gaussian(scale), 1.0, 2),
        )
        errors.append(np.abs(moments(matrix, edges)[1] - exact).max())
    np.testing.assert_allclose(orders(errors), 2, atol=0.1)
    assert errors[-1] < 0.05 * exact.max()
    wrong = linalg.solve_discrete_lyapunov(np.diag(np.diag(a)), np.diag(scale**2))
    assert np.abs(wrong - exact).max() > 10 * errors[-1]


def test_the_covariance_of_heavy_ball_has_order_two(pair):
    """(θ, v) -> A (θ, v) + b c, c = 0 or 1: A = [[1 − η, −ημ], [1, μ]], b = (η, −1), mean (½, 0)."""
    method = ds.HeavyBall(0.3, momentum=0.4)
    a = np.array([[0.7, -0.12], [1.0, 0.4]])
    b = np.array([0.3, -1.0])
    exact = linalg.solve_discrete_lyapunov(a, 0.25 * np.outer(b, b))
    errors = []
    for n in (64, 128, 256):
        edges = [np.linspace(-0.5, 1.5, n + 1), np.linspace(-2, 2, n + 1)]
        matrix, leak = transfer_matrix(pair, method, edges)
        mean, cov = moments(matrix, edges)
        errors.append(np.abs(cov - exact).max())
        assert np.abs(mean - [0.5, 0]).max() < 1e-10
        assert iterated(matrix) @ leak < 1e-12
    np.testing.assert_allclose(orders(errors), 2, atol=0.25)
    assert errors[-1] < 1e-3 * exact.max()


CHAINS = {
    "resampled": (ds.problems.two_valleys, ds.RR(0.04), [np.linspace(-1.4, 0.6, 50) ** 3]),
    "two values": (ds.problems.two_valleys, ds.SGD(0.04, noise=noise.TwoPoint(0.3)), [np.linspace(-2, 1, 70)]),
    "noise": (ds.problems.two_valleys, ds.SGD(0.04, noise=noise.Gaussian(9.0)), [np.geomspace(1, 4, 70) - 3]),
    "narrow noise": (ds.problems.two_valleys, ds.SGD(0.04, noise=noise.Gaussian(1e-4)), [np.linspace(-2, 1, 70)]),
    "potential": (ds.problems.muller_brown, ds.RR(0.002), [np.linspace(-1.5, 1.2, 30), np.linspace(-0.4, 2.1, 41)]),
    "plane noise": (
        ds.problems.muller_brown,
        ds.SGD(0.002, batch_size=2, noise=noise.StudentT(2.0, (9.0, 3.0))),
        [np.linspace(-1.5, 1.2, 20), np.linspace(-0.4, 2.1, 21)],
    ),
    "clipped": (ds.problems.muller_brown, ds.GClip(0.002, threshold=30.0), [np.linspace(-1.5, 1.2, 61)[::2]] * 2),
    "RMSProp": (ds.problems.two_valleys, ds.RMSProp(0.01), [np.linspace(-2, 1, 40), np.linspace(0, 26, 30)]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_nothing_is_lost_and_nothing_negative(name):
    make, method, edges = CHAINS[name]
    matrix, leak = transfer_matrix(make(), method, edges)
    assert matrix.shape == (leak.size, leak.size)
    assert matrix.data.min() > 0
    assert (leak >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1) + leak, 1, rtol=0, atol=2e-15)
    if name == "noise":
        assert leak.max() > 0.1


def test_a_row_is_where_simulated_steps_from_the_cell_end():
    problem, method = ds.problems.muller_brown(), ds.GClip(0.002, threshold=30.0)
    edges = [np.linspace(-1.5, 1.2, 28), np.linspace(-0.4, 2.1, 26)]
    matrix, _ = transfer_matrix(problem, method, edges, points=6)
    n, (i, j) = 20_000, (9, 18)
    start = np.array([edges[0][i], edges[1][j]]) + 0.1 * np.random.default_rng(0).random((n, 2))
    end = ds.iterate(problem, method, start, n_steps=1, n_paths=n, rng=0).x[:, -1]
    seen = np.histogram2d(*end.T, bins=edges)[0].ravel() / n
    row = matrix[[i * 25 + j]].toarray().ravel()
    assert (np.abs(seen - row) <= 5 * np.sqrt(row * (1 - row) / n) + 2e-3).all()
    assert np.abs(row - np.roll(row, 1)).max() > 0.05


def test_a_jump_that_nobody_declared_smears_nothing():
    """To 0.15 from below 0.47 and to 0.85 from above: the mass of the cell of the jump is in these two cells too."""

    def step(x):
        return np.where(x < 0.47, 0.15, 0.85)[:, None], np.ones((len(x), 1))

    matrix, _ = matrix_of_step(step, [np.linspace(0, 1, 11)])
    assert np.unique(matrix.nonzero()[1]).tolist() == [1, 8]
    assert matrix.toarray()[4].round(12).tolist() == [0, 0.75, 0, 0, 0, 0, 0, 0, 0.25, 0]  # 4 sub-cells, 0.7 exactly
    exact, _ = matrix_of_step(step, [np.linspace(0, 1, 11)], kinks=[[0.47]])
    assert exact.toarray()[4, [1, 8]] == pytest.approx([0.7, 0.3], abs=1e-12)


def test_what_leaves_the_box_is_counted():
    matrix, leak = matrix_of_step(lambda x: (x[:, None] + 0.25, np.ones((len(x), 1))), [np.linspace(0, 1, 11)])
    np.testing.assert_allclose(leak, [0] * 7 + [0.5, 1, 1], rtol=0, atol=1e-12)
    assert matrix.shape == (10, 10)
    _, leak = matrix_of_step(lambda x: (x[:, None] * np.inf, np.ones((len(x), 1))), [np.linspace(0, 1, 11)])
    assert (leak == 1).all()


REFUSED = {
    "axes": (ds.SGD(0.1), [np.arange(3.0)] * 2, "1 arrays of faces"),
    "no axis for v": (
        ds.HeavyBall(0.1),
        [np.arange(3.0)],
        "2 arrays of faces.*of which 1 are what HeavyBall remembers",
    ),
    "bare array": (ds.SGD(0.1), np.arange(3.0), "edges must be a sequence"),
    "three": (ds.SGD(0.1), [np.arange(3.0)] * 3, "edges must be a sequence of 1 or 2"),
    "falling": (ds.SGD(0.1), [[1.0, 0.0]], "increase"),
    "one face": (ds.SGD(0.1), [[1.0]], "increase"),
    "rounding": (ds.SGD(0.1), [[1.0, 1.0 + 1e-15]], "increase by more than rounding"),
    "noise in v": (ds.HeavyBall(0.1, noise=noise.Gaussian(1.0)), [np.arange(3.0)] * 2, "only where it is added to θ"),
    "clipped noise": (ds.Normalized(0.1, noise=noise.Gaussian(1.0)), [np.arange(3.0)], "only where it is added to θ"),
    "epochs": (ds.SGD(0.1, sampling.Reshuffled()), [np.arange(3.0)], "transfer matrix needs.*draws before"),
    "Adam": (ds.Adam(0.1), [np.arange(3.0)], "the step number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_transfer_matrix_is_refused_with_the_reason(pair, case):
    method, edges, reason = REFUSED[case]
    with pytest.raises((ds.errors.ArgumentError, ds.errors.NotApplicable), match=reason):
        transfer_matrix(pair, method, edges)


def test_bad_maps_are_refused():
    with pytest.raises(ds.errors.ArgumentError, match="a step is defined, it is not at"):
        matrix_of_step(lambda x: (np.where(x < 0, np.nan, x)[:, None], np.ones((len(x), 1))), [np.linspace(-1, 1, 11)])
    with pytest.raises(ds.errors.ArgumentError, match="points must be a whole number"):
        matrix_of_step(lambda x: (x[:, None], np.ones((len(x), 1))), [np.linspace(-1, 1, 11)], points=0)
    with pytest.raises(ds.errors.TooLarge, match="transfer matrix"):
        matrix_of_step(lambda x: (x[:, None], np.ones((len(x), 1))), [np.linspace(-1, 1, 10**5)] * 2)
