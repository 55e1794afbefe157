"""Chains whose law is known by construction: rates c_ij / p_i with symmetric c, to which circulations may be added."""

import numpy as np
import pytest
from scipy import sparse

from dynsim.errors import ArgumentError, NotApplicable
from dynsim.stationary.aggregation import solve_by_aggregation, stationary_by_aggregation


def centers(shape):
    """Cells of the box [−1, 1]^dim, (m, dim) in C order."""
    axes = [(np.arange(n) + 0.5) * 2 / n - 1 for n in shape]
    return np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)


def steps(shape, offset):
    """Pairs of cells (i, j) with j = i + offset."""
    number = np.arange(np.prod(shape)).reshape(shape)
    here = tuple(slice(max(0, -k), n - max(0, k)) for k, n in zip(offset, shape, strict=True))
    there = tuple(slice(max(0, k), n - max(0, -k)) for k, n in zip(offset, shape, strict=True))
    return number[here].ravel(), number[there].ravel()


def gibbs(shape, potential, strengths=None, circulation=0.0, noise=None):
    """A chain with the law p ∝ e^−V: rates w √(p_j/p_i) along the offsets, plus circulation about each four cells."""
    log_p = -potential(centers(shape))
    log_p -= np.logaddexp.reduce(log_p)
    dim, m = len(shape), log_p.size
    rows, columns, values = [], [], []
    for offset, strength in (strengths or {tuple(row): 1.0 for row in np.eye(dim, dtype=int)}).items():
        i, j = steps(shape, offset)
        w = strength * (1.0 if noise is None else 10 ** noise.uniform(-1.5, 1.5, i.size))
        rows += [i, j]
        columns += [j, i]
        values += [w * np.exp((log_p[j] - log_p[i]) / 2), w * np.exp((log_p[i] - log_p[j]) / 2)]
    if circulation:
        a, c = steps(shape, (1, 1))
        b, d = a + shape[1], a + 1
        log_flux = np.log(circulation) + log_p[[a, b, c, d]].min(axis=0)
        for i, j in ((a, b), (b, c), (c, d), (d, a)):
            rows, columns, values = [*rows, i], [*columns, j], [*values, np.exp(log_flux - log_p[i])]
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array(entries, shape=(m, m)).tocsr(), log_p


def bowl(x):
    return 8 * (x**2).sum(axis=1)


def wells(height):
    """Two wells of unequal depth and width, off the axes of the grid."""

    def potential(x):
        u = x[:, 0] * np.cos(0.5) - x[:, 1] * np.sin(0.5) - 0.13
        v = x[:, 0] * np.sin(0.5) + x[:, 1] * np.cos(0.5)
        return height * (2 * u**2 - 1) ** 2 / (1 + 0.5 * u) + 3 * u + 5 * v**2

    return potential


def solved_densely(rates):
    """Stationary masses by LU, one equation replaced by the sum."""
    a = rates.toarray().T
    np.fill_diagonal(a, 0)
    a -= np.diag(a.sum(axis=0))
    a[-1] = 1
    return np.linalg.solve(a, np.eye(a.shape[0])[-1])


CHAINS = {
    "1-D": ((300,), bowl, {}),
    "2-D": ((64, 51), bowl, {}),
    "3-D": ((32, 32, 32), bowl, {}),
    "one cell thick": ((1, 90, 3), bowl, {}),
    "anisotropic": ((60, 60), bowl, {"strengths": {(1, 0): 1.0, (0, 1): 100.0}}),
    "strong along a diagonal": ((60, 60), bowl, {"strengths": {(1, 0): 0.01, (0, 1): 0.01, (1, 1): 1.0}}),
    "far jumps": ((60, 60), bowl, {"strengths": {(1, 0): 1.0, (0, 1): 1.0, (17, -23): 0.3}}),
    "rotating": ((64, 51), bowl, {"circulation": 1.0}),
    "rotating fast": ((64, 51), bowl, {"circulation": 1e4}),
    "wells": ((60, 55), wells(20), {}),
    "rotating wells": ((60, 55), wells(20), {"circulation": 30.0}),
    "slow wells": ((60, 55), wells(100), {}),
    "anisotropic wells": ((60, 55), wells(20), {"strengths": {(1, 0): 30.0, (0, 1): 1.0}}),
    "random over three decades": ((40, 40), bowl, {"noise": np.random.default_rng(2)}),
    "slow wells, jumps of 1e-320": ((60, 55), wells(150), {}),
    "masses of 1e-1300": ((64, 64), lambda x: 1500 * (x**2).sum(axis=1), {}),
}


@pytest.mark.parametrize("name", CHAINS)
def test_log_masses_are_those_of_the_law_that_the_chain_was_made_for(name):
    shape, potential, options = CHAINS[name]
    rates, log_p = gibbs(shape, potential, **options)
    log_mass, residual, n_cycles = stationary_by_aggregation(rates, shape)
    np.testing.assert_allclose(log_mass, log_p, rtol=1e-9, atol=3e-8)
    assert residual <= 1e-12
    assert np.exp(log_mass).sum() == pytest.approx(1, abs=1e-12)
    assert n_cycles < 120


def test_wrong_masses_of_wells_are_put_right_though_their_residual_is_below_the_tolerance():
    """Local equilibrium with the wells' weights exchanged: what a solver that trusts the residual would accept."""
    shape = (60, 55)
    rates, log_p = gibbs(shape, wells(60))
    x = centers(shape)
    left = x[:, 0] * np.cos(0.5) - x[:, 1] * np.sin(0.5) < 0.13
    p = np.exp(log_p)
    wrong = np.where(left, p * p[~left].sum(), p * p[left].sum())
    flow = wrong * rates.sum(axis=1)
    assert np.abs(wrong @ rates - flow).sum() < 1e-12 * flow.sum()
    assert abs(np.log(wrong[left].sum() / wrong.sum() / p[left].sum())) > 0.5
    log_mass, _, _ = stationary_by_aggregation(rates, shape, start=wrong)
    assert np.exp(log_mass[left]).sum() == pytest.approx(p[left].sum(), rel=1e-7)


def rugged(seed, shape):
    """A sum of six waves with amplitudes of 60: wells finer than the blocks, which mix them."""
    waves = np.random.default_rng(seed).normal(size=(6, 3)) * [60, 3, 3]
    return gibbs(shape, lambda x: sum(a * np.cos(x @ k) for a, *k in waves), circulation=9)


@pytest.mark.parametrize(("seed", "shape"), [(1, (26, 29)), (3, (25, 20))])
def test_many_wells_finer_than_the_blocks_get_their_masses(seed, shape):
    rates, log_p = rugged(seed, shape)
    assert log_p.min() < -150
    log_mass, _, _ = stationary_by_aggregation(rates, shape)
    np.testing.assert_allclose(log_mass, log_p, rtol=0, atol=2e-6)
    heavy = log_p > np.log(1e-50)
    np.testing.assert_allclose(log_mass[heavy], log_p[heavy], rtol=0, atol=1e-6)


def test_wells_too_many_for_the_cycles_are_refused_though_the_residual_is_that_of_rounding():
    rates, _ = rugged(6, (9, 21))
    with pytest.raises(NotApplicable, match=r"the residual is \d\.\de-1\d .* log-masses still change"):
        stationary_by_aggregation(rates, (9, 21))


def test_masses_do_not_depend_on_the_unit_of_time_nor_on_the_diagonal():
    shape = (30, 30)
    rates, log_p = gibbs(shape, bowl)
    for unit in (1e-250, 1e250):
        log_mass, _, _ = stationary_by_aggregation(unit * (rates + 5 * sparse.eye_array(900)), shape)
        np.testing.assert_allclose(log_mass, log_p, rtol=0, atol=1e-8)


def test_a_random_transition_matrix_agrees_with_dense_elimination():
    rng = np.random.default_rng(1)
    p = sparse.random_array((900, 900), density=0.008, rng=rng, format="csr")
    p = p + sparse.csr_array((np.full(900, 1e-3), (np.arange(900), (np.arange(900) + 1) % 900)))
    p = sparse.csr_array(p / p.sum(axis=1)[:, None])
    log_mass, _, _ = stationary_by_aggregation(p, (30, 30))
    np.testing.assert_allclose(np.exp(log_mass), solved_densely(p), rtol=1e-9)


@pytest.mark.parametrize("eta", [0.5, 0.1, 0.03])
def test_a_transfer_matrix_of_contractions_with_transient_cells_agrees_with_dense_elimination(eta):
    """Steps θ → θ − η(θ − a) towards one of three points a, the mass split among the four nearest cells."""
    n = 32
    m = n * n
    x = (centers((n, n)) + 1) * n / 2 - 0.5
    p = sparse.csr_array((m, m))
    for corner, weight in ((np.array([5.2, 7.7]), 0.5), (np.array([25.1, 9.3]), 0.3), (np.array([12.6, 26.4]), 0.2)):
        y = x + eta * (corner - x)
        low = np.minimum(np.floor(y).astype(int), n - 2)
        share = y - low
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part = weight * np.where(i, share[:, 0], 1 - share[:, 0]) * np.where(j, share[:, 1], 1 - share[:, 1])
            p = p + sparse.csr_array((part, (np.arange(m), (low[:, 0] + i) * n + low[:, 1] + j)), shape=(m, m))
    log_mass, _, _ = stationary_by_aggregation(p, (n, n))
    assert np.isneginf(log_mass).any()
    np.testing.assert_allclose(np.exp(log_mass), solved_densely(p), rtol=0, atol=1e-13)


def test_cells_may_be_a_part_of_the_grid():
    """An L: its law is that of the whole grid, restricted, for detailed balance holds edge by edge."""
    shape = (40, 40)
    rates, log_p = gibbs(shape, bowl)
    cells = np.flatnonzero((centers(shape) < 0).any(axis=1))
    log_mass, _, _ = stationary_by_aggregation(rates[cells][:, cells], shape, cells=cells)
    expected = log_p[cells] - np.logaddexp.reduce(log_p[cells])
    np.testing.assert_allclose(log_mass, expected, rtol=0, atol=1e-8)


def test_what_does_not_converge_is_refused_with_the_residual_reached():
    rates, _ = gibbs((60, 55), wells(20))
    with pytest.raises(NotApplicable, match=r"after 3 cycles the residual is \d\.\de-\d\d .* still change by"):
        stationary_by_aggregation(rates, (60, 55), max_cycles=3)


def test_wells_that_exchange_less_than_floating_point_can_say_are_refused():
    rates, _ = gibbs((200,), lambda x: 800 * (2 * x[:, 0] ** 2 - 1) ** 2)
    with pytest.raises(NotApplicable, match="use elimination"):
        stationary_by_aggregation(rates, (200,))


def test_a_chain_with_several_closed_classes_is_refused():
    rates = sparse.csr_array(np.kron(np.eye(3), np.ones((2, 2))))
    with pytest.raises(NotApplicable, match="3 classes that it never leaves, of 2, 2, 2 states"):
        stationary_by_aggregation(rates, (6,))


def test_an_absorbing_state_has_all_the_mass():
    log_mass, residual, _ = stationary_by_aggregation(sparse.csr_array(np.eye(5, k=1)), (5,))
    assert np.exp(log_mass).tolist() == [0, 0, 0, 0, 1]
    assert residual == 0


def test_mean_passage_times_of_1e28_are_right():
    """In 1-D the time from i to i + 1 is Σ_{j≤i} p_j / (p_i r_i,i+1), a sum of positive numbers."""
    n = 200
    rates, log_p = gibbs((n,), lambda x: 60 * (2 * x[:, 0] ** 2 - 1) ** 2)
    killing = np.zeros(n)
    killing[-1] = 0.7
    up = np.append(rates.diagonal(1), killing[-1])
    exact = np.cumsum((np.exp(np.logaddexp.accumulate(log_p) - log_p) / up)[::-1])[::-1]
    assert exact[0] > 1e28
    time, residual, _ = solve_by_aggregation(rates, killing, np.ones(n), (n,))
    np.testing.assert_allclose(time, exact, rtol=1e-8)
    assert residual < 1e-10


@pytest.mark.parametrize("potential", [bowl, wells(4)], ids=["bowl", "wells"])
@pytest.mark.parametrize("circulation", [0.0, 100.0])
def test_killed_chains_agree_with_dense_elimination(potential, circulation):
    shape = (32, 30)
    rates, _ = gibbs(shape, potential, circulation=circulation)
    x = centers(shape)
    left, right = (x[:, 0] < -0.9).astype(float), (x[:, 0] > 0.9).astype(float)
    a = np.diag(rates.sum(axis=1) + left + right) - rates.toarray()
    for rhs in (np.ones(x.shape[0]), right):
        solution, _, _ = solve_by_aggregation(rates, left + right, rhs, shape)
        np.testing.assert_allclose(solution, np.linalg.solve(a, rhs), rtol=1e-7)
    signed = np.sin(7 * x[:, 0] + 3 * x[:, 1])
    solution, _, _ = solve_by_aggregation(rates, left + right, signed, shape)
    exact = np.linalg.solve(a, signed)
    np.testing.assert_allclose(solution, exact, rtol=0, atol=1e-7 * np.linalg.solve(a, np.abs(signed)).max())


def test_a_source_on_one_side_of_a_one_way_street_leaves_the_other_side_at_zero():
    rates = sparse.csr_array(np.eye(4, k=1))
    x, _, _ = solve_by_aggregation(rates, [0, 0, 0, 2.0], [0, 3.0, 0, 0], (4,))
    np.testing.assert_allclose(x, [3, 3, 0, 0], rtol=1e-12)


def test_states_that_are_never_killed_are_refused():
    rates = sparse.csr_array(np.eye(4, k=1))
    with pytest.raises(NotApplicable, match="from 3 of 4 states, none with killing is ever reached"):
        solve_by_aggregation(rates, [1.0, 0, 0, 0], np.ones(4), (4,))
    with pytest.raises(NotApplicable, match="from 4 of 4 states"):
        solve_by_aggregation(rates, np.zeros(4), np.ones(4), (4,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": np.eye(4)}, "rates must be a sparse"),
        ({"rates": sparse.csr_array((4, 3))}, "rates must be a sparse"),
        ({"rates": sparse.csr_array(-np.eye(4, k=1))}, "rates must be finite and nonnegative"),
        ({"rates": sparse.csr_array(np.nan * np.eye(4, k=1))}, "rates must be finite and nonnegative"),
        ({"shape": (5,)}, r"rates are for 4 states, but shape \(5,\) has 5 cells"),
        ({"shape": (1, 2, 2, 1)}, "shape must have 1 to 3 axes"),
        ({"shape": (2.5, 2)}, "shape must be a whole number"),
        ({"shape": (9,), "cells": [0, 1, 1, 2]}, "cells must be increasing"),
        ({"shape": (9,), "cells": [0, 1, 2, 9]}, "cells must be increasing numbers from 0 to 8"),
        ({"start": [1, 1, 1]}, "start must be 4 nonnegative numbers"),
        ({"start": [1, 1, -1, 1]}, "start must be 4 nonnegative numbers"),
        ({"start": np.zeros(4)}, "start must be positive"),
        ({"tolerance": 0}, "tolerance must be a positive finite number"),
        ({"max_cycles": 0}, "max_cycles must be a whole number"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    ring = sparse.csr_array(np.roll(np.eye(4), 1, axis=1))
    arguments = {"rates": ring, "shape": (4,)} | change
    with pytest.raises(ArgumentError, match=message):
        stationary_by_aggregation(**arguments)


@pytest.mark.parametrize(
    ("killing", "rhs", "message"),
    [([1, -1, 0, 0], np.ones(4), "killing must be 4"), (np.ones(4), [1, 2], "rhs must be 4 numbers")],
    ids=["killing", "rhs"],
)
def test_bad_vectors_are_refused(killing, rhs, message):
    with pytest.raises(ArgumentError, match=message):
        solve_by_aggregation(sparse.csr_array(np.eye(4, k=1)), killing, rhs, (4,))
