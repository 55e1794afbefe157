import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

import dynsim as ds
from dynsim.stationary import lattice

CORNERS = ((0, 1), (1, 0), (1, 1))  # term n is |x − c| + 2 |y − d|


def boxes(**options):
    """Three cones whose slopes all point into the unit square from outside: a walk on a lattice in the plane."""

    def gradient(theta, n, params, out):
        out[0] = 1.0 if theta[0] > params[n, 0] else -1.0
        out[1] = 2.0 if theta[1] > params[n, 1] else -2.0

    problem = ds.Problem.from_terms(
        lambda theta, n, params: abs(theta[0] - params[n, 0]) + 2 * abs(theta[1] - params[n, 1]),
        gradient,
        n_terms=3,
        dim=2,
        params=np.array(CORNERS, dtype=float),
        **options,
    )
    problem.kink_planes = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, -1.0, -1.0]])
    return problem


def cone_slopes(point, n):
    return tuple((s if x > c else -s) for x, c, s in zip(point, CORNERS[n], (1, 2), strict=True))


def enumerated(step_size, start, batches):
    """States and probabilities in rational arithmetic: each batch of terms with its probability."""
    states, moves, pending = {start}, {}, [start]
    while pending:
        point = pending.pop()
        for batch, p in batches:
            slopes = [cone_slopes(point, n) for n in batch]
            target = tuple(
                x - step_size * sum(column) / len(batch)
                for x, column in zip(point, zip(*slopes, strict=True), strict=True)
            )
            moves[point, target] = moves.get((point, target), 0) + p
            if target not in states:
                states.add(target)
                pending.append(target)
    return sorted(states), moves


SINGLE = [((n,), Fraction(1, 3)) for n in range(3)]
PAIRS = [((a, b), Fraction(1, 9)) for a in range(3) for b in range(3)]
SETS = [((0, 1), Fraction(1, 3)), ((0, 2), Fraction(1, 3)), ((1, 2), Fraction(1, 3))]


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({}, SINGLE),
        ({"batch_size": 2}, PAIRS),
        ({"batch_size": 2, "sampling": ds.sampling.WithoutReplacement()}, SETS),
        ({"batch_size": "full"}, [((0, 1, 2), Fraction(1))]),
    ],
    ids=["single", "pairs", "sets", "full"],
)
@pytest.mark.parametrize("start", [("1/40", "1/70"), ("0", "1")])
def test_in_two_dimensions_states_and_probabilities_are_those_of_rational_arithmetic(options, batches, start):
    """The step 1/30 is no float, and from (0, 1) the lattice lies on the kinks: only exact joins give this."""
    step_size, start = Fraction(1, 30), tuple(Fraction(s) for s in start)
    states, moves = enumerated(step_size, start, batches)
    chain = ds.markov_chain(boxes(), ds.SGD(float(step_size), **options), x0=[float(s) for s in start])
    assert chain.states.shape == (len(states), 2)
    # rounding may order states of one column differently: match by the nearest
    number = {s: int(np.abs(chain.states - [float(c) for c in s]).max(axis=1).argmin()) for s in states}
    assert sorted(number.values()) == list(range(len(states)))
    assert chain.transition.nnz == len(moves)
    for (a, b), p in moves.items():
        assert chain.transition[number[a], number[b]] == pytest.approx(float(p), rel=1e-14)
    assert chain.start == number[start]
    on_kinks = {number[s] for s in states if s[0] in (0, 1) or s[1] in (0, 1)}
    assert set(chain.on_kinks.tolist()) == on_kinks
    assert bool(on_kinks) == (start[0] == 0)


def test_noise_of_two_points_keeps_a_lattice():
    """||θ| − 1| with noise ±½ on its gradient ±1, exact in binary."""
    noise = ds.noise.TwoPoint(0.25, scale=1.0)  # −¾ with probability ¼, else +¼
    chain = ds.markov_chain(ds.problems.abs_well(), ds.SGD(0.125, noise=noise), x0=0.515625)
    number = {x: i for i, x in enumerate(chain.states[:, 0])}
    for x, i in number.items():
        slope = 1 if x > 1 or -1 < x <= 0 else -1
        for xi, p in ((-0.75, 0.25), (0.25, 0.75)):
            assert chain.transition[i, number[x - 0.125 * (slope + xi)]] == p
    assert chain.transition.nnz == 2 * len(number) > 20


def test_clipped_steps_of_one_length_walk_on_their_lattice(valleys):
    """Clipped to 0.1, all four increments of two_valleys have this length."""
    chain = ds.markov_chain(valleys, ds.GClip(0.25, threshold=0.1), x0=0.26)
    np.testing.assert_allclose(np.diff(chain.states[:, 0]), 0.025, rtol=1e-12)
    assert chain.states[0, 0] == pytest.approx(-1.015)


def test_guesses_change_nothing(valleys, monkeypatch):
    """The search goes ahead along the last steps; without that it finds the same, only later."""
    chains = [ds.markov_chain(valleys, ds.RR(0.02), x0=0.25)]
    monkeypatch.setattr(lattice, "_RETRY", 10**9)
    chains.append(ds.markov_chain(valleys, ds.RR(0.02), x0=0.25))
    np.testing.assert_allclose(chains[0].states, chains[1].states, rtol=0, atol=1e-12)
    assert (chains[0].transition != chains[1].transition).nnz == 0
    assert chains[0].start == chains[1].start


def test_a_hundred_thousand_states_take_seconds(valleys):
    """Measured 0.5 s; a loop over states in Python takes 25 s."""
    ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)  # compiles
    start = time.perf_counter()
    chain = ds.markov_chain(valleys, ds.RR(0.0005), x0=0.25)
    assert time.perf_counter() - start < 10
    assert chain.states.shape[0] > 100_000
    np.testing.assert_allclose(chain.transition.sum(axis=1), 1, rtol=1e-14)


def test_a_search_that_would_not_fit_in_memory_is_refused(valleys, monkeypatch):
    def refuse(what, shape, *, instead):
        if shape[0] > 2000:
            raise ds.errors.TooLarge(f"{what}: {instead}")

    monkeypatch.setattr(lattice._check, "fits_in_memory", refuse)
    with pytest.raises(ds.errors.TooLarge, match="lower max_states"):
        ds.markov_chain(valleys, ds.RR(0.005), x0=0.25)


@pytest.mark.parametrize("method", [ds.HeavyBall(0.1, momentum=0.5), ds.SGD(0.1, noise=ds.noise.Gaussian(1.0))])
def test_a_step_without_finitely_many_outcomes_is_refused(valleys, method):
    with pytest.raises(ds.errors.NotApplicable, match=r"memory|finitely many outcomes"):
        ds.markov_chain(valleys, method, x0=0.25)


def test_a_chain_that_runs_away_is_refused():
    steep = ds.problems.quadratic([1.0])
    with pytest.raises(ds.errors.NotALattice, match=r"not told apart|more than"):
        ds.markov_chain(steep, ds.SGD(30.0, batch_size="full"), x0=1.0)


def test_closed_classes_are_the_sets_that_are_never_left():
    law = sparse.csr_array(np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.25, 0, 0, 0.75], [0, 0, 0, 1.0]]))
    chain = ds.MarkovChain(np.arange(4.0)[:, None], law, 2, np.array([]), "two classes", {})
    assert [members.tolist() for members in chain.closed_classes()] == [[0, 1], [3]]
    np.testing.assert_allclose(chain.stationary().mass, [1 / 6, 1 / 12, 0, 0.75], rtol=1e-14)


@pytest.mark.parametrize("steps", [37, 5000])
def test_the_law_after_many_steps_is_the_same_by_squaring_and_step_by_step(valleys, monkeypatch, steps):
    module = sys.modules["dynsim.stationary.evolution"]
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)
    laws = []
    for most in (0, 10**6):
        monkeypatch.setattr(module, "_MOST_DENSE", most)
        monkeypatch.setattr(module, "_DENSE_SPEED", 1e12)
        laws.append(chain.distribution(steps).mass)
    np.testing.assert_allclose(laws[0], laws[1], rtol=1e-9, atol=1e-15)
