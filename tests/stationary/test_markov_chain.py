import math
from fractions import Fraction

import numpy as np
import oracles
import pytest
from conftest import left_for_good, right

import dynsim as ds
from dynsim.stationary.elimination import log_mean_time_to_leave, log_stationary


def exact_chain(kind, step_size="0.04"):
    f = {"SGD": (Fraction(2, 5), Fraction(3, 5)), "RR": None, "Balanced": (Fraction(2, 17), Fraction(15, 17))}[kind]
    return oracles.lattice_chain(Fraction(2, 5), Fraction(1, 10), 5, Fraction(step_size), Fraction(1, 4), f)


@pytest.mark.parametrize("name", ["SGD", "RR", "Balanced"])
def test_states_and_transitions_are_those_of_exact_arithmetic(valleys, schemes, name):
    method = next(m for m in schemes(0.04) if m.name == name)
    chain = ds.markov_chain(valleys, method, x0=0.25)
    states, transition = exact_chain(name)
    exact = sorted(states)
    np.testing.assert_allclose(chain.states[:, 0], [float(s) for s in exact], rtol=0, atol=1e-12)
    number = {states[s]: i for i, s in enumerate(exact)}
    assert chain.transition.nnz == len(transition)
    for (i, j), p in transition.items():
        assert chain.transition[number[i], number[j]] == pytest.approx(float(p), rel=1e-14)


def test_stationary_law_is_right_to_full_relative_accuracy_in_exact_arithmetic(valleys):
    """State reduction with Fractions on the SGD chain, whose small masses are 1e-53."""
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)
    states, transition = exact_chain("SGD")
    exact = sorted(states)
    number = {states[s]: i for i, s in enumerate(exact)}
    rows = [{} for _ in exact]
    for (i, j), p in transition.items():
        rows[number[i]][number[j]] = p
    law = oracles_stationary(rows)
    ours = chain.stationary()
    for i in range(0, len(exact), 7):
        if law[i]:
            assert ours.log_mass[i] == pytest.approx(float(log_of(law[i])), abs=1e-11)
        else:
            assert ours.log_mass[i] == -np.inf
    truth = sum(p for p, s in zip(law, exact, strict=True) if s > 0)
    assert ours.log_probability(right) == pytest.approx(log_of(truth), abs=1e-11)
    assert 1e-53 < ours.probability(right) < 1e-52


def log_of(fraction):
    import mpmath

    with mpmath.workdps(30):
        return float(mpmath.log(mpmath.mpf(fraction.numerator) / fraction.denominator))


def oracles_stationary(rows):
    """Stationary law of a chain with one closed class by Gaussian elimination in floating point of 120 digits."""
    import mpmath

    with mpmath.workdps(120):
        m = len(rows)
        a = [[mpmath.mpf(0)] * m for _ in range(m)]
        for i, row in enumerate(rows):
            for j, p in row.items():
                a[i][j] = mpmath.mpf(p.numerator) / p.denominator
        leaving = [mpmath.mpf(0)] * m
        width = 60
        for k in range(m - 1, 0, -1):
            low = max(0, k - width)
            leaving[k] = 1 - a[k][k]
            onto = [j for j in range(low, k) if a[k][j]]
            for i in range(low, k):
                if a[i][k]:
                    share = a[i][k] / leaving[k]
                    for j in onto:
                        a[i][j] += share * a[k][j]
        law = [mpmath.mpf(1)] + [mpmath.mpf(0)] * (m - 1)
        for k in range(1, m):
            law[k] = mpmath.fsum(law[i] * a[i][k] for i in range(max(0, k - width), k)) / leaving[k]
        total = mpmath.fsum(law)
        return [Fraction(int(mpmath.nint(p / total * mpmath.mpf(2) ** 400)), 2**400) for p in law]


@pytest.mark.parametrize("width", [12, 500])
def test_elimination_is_exact_for_a_birth_death_chain_with_masses_down_to_1e_minus_1300(width):
    up = [Fraction(1, 1000)] * width + [Fraction(1, 3)] * width
    down = [Fraction(1, 2)] * width + [Fraction(1, 10**4)] * width
    m = len(up) + 1
    p = np.zeros((m, m))
    for i in range(m - 1):
        p[i, i + 1], p[i + 1, i] = float(up[i]), float(down[i])
    p[np.arange(m), np.arange(m)] = 1 - p.sum(axis=1)
    expected = [log_of(v) for v in oracles.birth_death_stationary(up, down)]
    assert min(expected) < -2.5 * width
    np.testing.assert_allclose(log_stationary(p), expected, rtol=1e-14, atol=1e-13)


def test_mean_time_to_leave_is_exact_where_it_is_1e40():
    """Down-drifting walk on 0 … n: E[time from 0 to n] = Σ_k Σ_{j≤k} (1/u_j) Π_{j<i≤k} d_i/u_i."""
    n, u, d = 20, 1e-2, 0.9
    a = np.zeros((n, n + 1))
    for i in range(n):
        a[i, i + 1] = u
        if i:
            a[i, i - 1] = d
        a[i, i] = 1 - a[i].sum()
    expected = sum(
        Fraction(1) / Fraction(u) * (Fraction(d) / Fraction(u)) ** (k - j) for k in range(n) for j in range(k + 1)
    )
    assert float(expected) > 1e38
    assert log_mean_time_to_leave(a, 0) == pytest.approx(math.log(expected), rel=1e-14)


def test_hitting_time_and_law_agree_with_simulation(valleys):
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)
    run = ds.iterate(valleys, ds.SGD(0.04), 0.25, n_steps=4000, n_paths=4000, rng=0)
    hit = left_for_good(run.x)
    assert hit[:, -1].all()
    times = hit.argmax(axis=1)
    mean = chain.mean_hitting_time(left_for_good)
    assert abs(times.mean() - mean) < 5 * times.std() / math.sqrt(times.size)
    inside = chain.occupation(right, 4000)
    fraction, _ = run.fraction(right)
    stderr = np.sqrt(inside * (1 - inside) / run.n_paths)
    assert (np.abs(fraction - inside) <= 5 * stderr + 1e-12).all()
    assert chain.distribution(200).probability(right) == pytest.approx(inside[200], rel=1e-12)
    assert chain.distribution(0).mass[chain.start] == 1
    some = np.array([0, 3, 150, 450, 750, 4000])
    np.testing.assert_allclose(chain.occupation(right, some), inside[some], rtol=1e-11)
    for steps in (-1, 2.5, [3, 2], [-1, 2], [0.5, 1.0], []):
        with pytest.raises(ds.errors.ArgumentError, match="steps must be"):
            chain.occupation(right, steps)


def test_occupation_converges_to_the_stationary_law(valleys):
    chain = ds.markov_chain(valleys, ds.SGD(0.06), x0=0.25)
    law = chain.stationary()
    near = lambda theta: theta[..., 0] < -1  # noqa: E731
    assert chain.occupation(near, 20_000)[-1] == pytest.approx(law.probability(near), abs=1e-12)
    assert law.residual < 1e-14


def test_hitting_times_at_the_edges(valleys):
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25)
    assert chain.mean_hitting_time(right) == 0
    assert chain.mean_hitting_time(lambda theta: theta[..., 0] > 100) == np.inf


def test_several_closed_classes_are_weighted_by_where_the_chain_ends():
    """θ → 0 or 2 from 1 with probability 1/4 and 3/4, and then at rest: Kaczmarz-like steps onto each row's zero."""
    problem = ds.problems.linear_model([[1.0], [1.0]], [1.0, -1.0], weights=[0.25, 0.75])
    chain = ds.markov_chain(problem, ds.SGD(1.0), x0=0.5)
    law = chain.stationary()
    assert law.probability(lambda t: t[..., 0] > 0.9) == pytest.approx(0.25, rel=1e-14)
    sticky = ds.MarkovChain(
        chain.states,
        type(chain.transition)(np.array([[1, 0, 0], [0.25, 0, 0.75], [0, 0, 1.0]])),
        1,
        np.array([]),
        "sticky",
        {},
    )
    np.testing.assert_allclose(sticky.stationary().mass, [0.25, 0, 0.75], rtol=1e-14)
    assert sticky.mean_hitting_time(lambda t: t[..., 0] == chain.states[0, 0]) == np.inf


@pytest.mark.parametrize("max_states", [300, 3000])
def test_a_chain_that_is_not_a_lattice_is_noticed(valleys, max_states):
    contracting = ds.problems.linear_model([[1.0], [1.0]], [1.0, 0.0])  # on a Cantor set
    irrational = ds.sampling.Proportions([math.sqrt(0.1), 1 - math.sqrt(0.1)])
    cases = [(contracting, ds.SGD(eta), 0.0) for eta in (0.1, 0.9, 0.99)]
    cases += [(ds.problems.linear_model([[1.0]], [1.0]), ds.SGD(0.5), 0.0)]
    cases += [(ds.problems.linear_model(np.eye(2), [1.0, 0.0]), method, 0.0) for method in (ds.SGD(0.5), ds.RR(0.5))]
    if max_states == 300:
        cases += [(valleys, ds.SGD(0.04, irrational), 0.25)]
    for problem, method, x0 in cases:
        with pytest.raises(ds.errors.NotALattice, match=r"more than \d+ states|closer than any lattice"):
            ds.markov_chain(problem, method, x0=x0, max_states=max_states)


@pytest.mark.parametrize(("step_size", "x0"), [(0.04, 1e12), (1e-14, 0.25), (1e10, 0.25), (1e-9, 1.0)])
def test_a_lattice_that_floating_point_cannot_resolve_is_refused(valleys, step_size, x0):
    with pytest.raises(ds.errors.NotALattice, match=r"positions of the size .* are not told apart finely enough"):
        ds.markov_chain(valleys, ds.SGD(step_size), x0=x0)


@pytest.mark.parametrize("x0", [0.2, 0.0, 0.208])
def test_states_on_kinks_are_reported(valleys, x0):
    """From 0.208 the lattice meets 1/K = 0.2 and 0; the convention θ ≤ kink decides there, not rounding."""
    chain = ds.markov_chain(valleys, ds.SGD(0.04), x0=x0)
    f = (Fraction(2, 5), Fraction(3, 5))
    states, transition = oracles.lattice_chain(
        Fraction(2, 5), Fraction(1, 10), 5, Fraction("0.04"), Fraction(str(x0)), f
    )
    assert len(states) == chain.states.shape[0]
    assert len(transition) == chain.transition.nnz
    on_kinks = sorted(float(s) for s in states if s in (-1, 0, Fraction(1, 5)))
    assert chain.states[chain.on_kinks, 0].tolist() == on_kinks
    assert len(on_kinks) > 0
    assert ds.markov_chain(valleys, ds.SGD(0.04), x0=0.25).on_kinks.size == 0


def test_a_hitting_time_above_1e308_has_a_logarithm():
    problem = ds.problems.two_valleys(a1=0.8)
    chain = ds.markov_chain(problem, ds.SGD(0.02), x0=-1.25)
    assert chain.mean_hitting_time(right) == np.inf
    assert 700 < chain.log_mean_hitting_time(right) < 900
