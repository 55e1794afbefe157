import math

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.integrate import quad

import dynsim as ds
from dynsim.stationary.diagnostics import correlation_dimension, density_or_singular
from dynsim.stationary.graphs import closed_classes
from dynsim.stationary.ulam import matrix_of_step


def law_of_ifs(ratio, shifts, n):
    """Ulam's law of x -> ratio x + a random shift on [0, 1]^d, n cells along each axis: it contracts, so iterate."""
    shifts = np.array(shifts, dtype=float).reshape(len(shifts), -1)
    p = np.full(len(shifts), 1 / len(shifts))
    matrix, _ = matrix_of_step(
        lambda x: (ratio * x[:, None] + shifts, np.tile(p, (len(x), 1))), [np.linspace(0, 1, n + 1)] * shifts.shape[1]
    )
    mass = np.full(matrix.shape[0], 1 / matrix.shape[0])
    for _ in range(200):
        mass = matrix.T @ mass
    return mass.reshape((n,) * shifts.shape[1])


IFS = {
    "Cantor": (1 / 3, [0, 2 / 3], 2048, np.log(2) / np.log(3)),
    "Bernoulli convolution": (0.4, [0, 0.6], 2048, np.log(2) / np.log(2.5)),
    "Sierpinski": (0.5, [[0, 0], [0.5, 0], [0, 0.5]], 256, np.log(3) / np.log(2)),
    "point": (0.5, [0.0], 256, 0.0),
}


@pytest.mark.parametrize("name", IFS)
def test_singular_laws_are_told_and_their_dimension_measured(name):
    ratio, shifts, n, exact = IFS[name]
    verdict = density_or_singular([law_of_ifs(ratio, shifts, n // k) for k in (1, 2, 4)])
    assert verdict.kind == "singular"
    assert verdict.dimension == pytest.approx(exact, abs=0.025)
    assert verdict.distances[0] > 0.15
    assert "singular" in str(verdict)


DENSITIES = {
    "uniform, as Ulam's method has it": lambda n: law_of_ifs(0.5, [0, 0.5], n),
    "Bernoulli convolution": lambda n: law_of_ifs(0.7, [0, 0.3], n),
    "normal": lambda n: np.diff(stats.norm.cdf(np.linspace(-5, 5, n + 1))),
    "Cauchy": lambda n: np.diff(stats.cauchy.cdf(np.linspace(-50, 50, n + 1))),
    "two boxes": lambda n: np.repeat([0.0, 0.4, 0.0, 0.6], n // 4),
    "normal in the plane": lambda n: np.outer(*2 * [np.diff(stats.norm.cdf(np.linspace(-3, 3, n // 4 + 1)))]),
}


def by_convolution(*steps):
    """Probability E (1 − |Z|/h)₊ that two points lie in one box of width h, Z = Σ ±steps, 0 with probability ½.

    It is ∫ h sinc²(ωh/2) E e^(iωZ) dω/2π, and for |Z| + h < 1.25 the sum over ω = 2πk/2.5.
    """
    omega = 2 * np.pi / 2.5 * np.arange(1, 400_000)
    law = np.prod([np.cos(omega * step / 2) ** 2 for step in steps], axis=0)
    return lambda h: h / 2.5 * (1 + 2 * (np.sinc(omega * h / 2 / np.pi) ** 2 * law).sum())


# Probabilities that two points lie in one box of width h, at a place at random: ∫ (1 − |s|/h)₊ ∫ ρ(x) ρ(x + s) dx ds
IN_ONE_BOX = {
    "uniform, as Ulam's method has it": lambda h: h - h**2 / 3,
    "Bernoulli convolution": by_convolution(*0.3 * 0.7 ** np.arange(40)),
    "normal": lambda h: 2 * quad(lambda s: (1 - s / h) * stats.norm.pdf(10 * s, scale=math.sqrt(2)) * 10, 0, h)[0],
    "Cauchy": lambda h: 2 * quad(lambda s: (1 - s / h) * stats.cauchy.pdf(100 * s, scale=2) * 100, 0, h)[0],
    "two boxes": lambda h: (0.4**2 + 0.6**2) * (4 * h - (4 * h) ** 2 / 3),
    "normal in the plane": lambda h: (
        (2 * quad(lambda s: (1 - s / h) * stats.norm.pdf(6 * s, scale=math.sqrt(2)) * 6, 0, h)[0]) ** 2
    ),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_told_from_singular_laws(name):
    """The dimension is the slope over the scales there are, which edges and bends take below that of the space."""
    law = DENSITIES[name]
    laws = [law(n) for n in (1024, 512, 256)]
    verdict = density_or_singular(laws)
    assert verdict.kind == "density", verdict
    space, n = laws[0].ndim, laws[0].shape[0]
    widths = np.array([2.0**k / n for k in range(1, n.bit_length() - 2)])
    chances = np.array([IN_ONE_BOX[name](h) for h in widths])
    seen = np.flatnonzero(chances <= 8.0**-space)
    seen = seen[1:] if seen.size > 3 else seen
    slope = np.polyfit(np.log(widths[seen]), np.log(chances[seen]), 1)[0]
    assert verdict.dimension == pytest.approx(slope, abs=2e-4)  # of cells, not points: (h² − 1/n²)/3 for h²/3
    assert abs(slope - space) < 0.03  # at this many cells; no more
    assert verdict.distances[0] <= 0.6 * verdict.distances[1]


def test_the_cantor_function_gives_the_masses_and_the_dimension():
    """Exact masses of dyadic cells, without Ulam's method: the Cantor function at the faces."""
    x = np.linspace(0, 1, 4097)
    value, done, scale = np.zeros_like(x), x == 1, 0.5
    value[done] = 1.0
    y = x.copy()
    for _ in range(40):
        digit = np.where(done, 0, np.floor(3 * y))
        value += scale * np.where(digit >= 1, 1, 0)
        done |= digit == 1
        y, scale = 3 * y - digit, scale / 2
    dimension, stderr = correlation_dimension(np.diff(value))
    assert abs(dimension - np.log(2) / np.log(3)) < 0.01
    assert stderr < 0.01


def test_two_laws_alone_leave_it_undecided():
    fine, coarse = (np.diff(stats.norm.cdf(np.linspace(-5, 5, n + 1))) for n in (512, 256))
    assert density_or_singular([fine, coarse]).kind == "undecided"


def test_a_density_that_edges_cut_up_is_not_called_singular():
    """Four intervals of different heights: D₂ comes out low, the distances decide."""
    assert (
        density_or_singular([np.repeat([0.1, 0.0, 0.5, 0.0, 0.3, 0.1, 0.0, 0.0], n) for n in (64, 32, 16)]).kind
        != "singular"
    )


def test_few_cells_leave_the_dimension_open():
    verdict = density_or_singular([np.diff(stats.norm.cdf(np.linspace(-3, 3, n + 1))) for n in (32, 16, 8)])
    assert verdict.kind == "undecided"
    assert np.isnan(verdict.dimension)
    assert verdict.stderr == np.inf


def reachable(matrix):
    """Reflexive transitive closure by repeated squaring."""
    reach = (matrix > 0) | np.eye(len(matrix), dtype=bool)
    for _ in range(len(matrix)):
        reach = reach @ reach
    return reach


def test_closed_classes_are_those_of_the_transitive_closure():
    rng = np.random.default_rng(1)
    seen_several = seen_transient = False
    for _ in range(50):
        matrix = (rng.random((12, 12)) < 0.1) * rng.random((12, 12))
        leak = np.where(rng.random(12) < 0.1, 0.1, 0.0)
        for lost in (None, leak):
            reach = reachable(matrix)
            recurrent = [
                i for i in range(12) if reach[reach[i], i].all() and (lost is None or not lost[reach[i]].any())
            ]
            exact = {tuple(np.flatnonzero(reach[i])) for i in recurrent}
            ours = closed_classes(sparse.csr_array(matrix), lost)
            assert {tuple(c) for c in ours} == exact
            seen_several |= len(ours) > 1
            seen_transient |= len(recurrent) < 12
    assert seen_several
    assert seen_transient


def test_stored_zeros_are_no_transitions():
    matrix = sparse.csr_array(np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert [c.tolist() for c in closed_classes(matrix)] == [[0, 1]]
    matrix.data[[1, 2]] = 0.0
    assert [c.tolist() for c in closed_classes(matrix)] == [[0], [1]]


@pytest.mark.parametrize(
    "masses", [[np.ones(8)], [np.ones(8), np.ones(3)], [np.ones(8), -np.ones(4)], [[0.0, 0], [0.0]]]
)
def test_what_is_no_series_of_laws_is_refused(masses):
    with pytest.raises(ds.errors.ArgumentError, match="masses must be"):
        density_or_singular(masses)
