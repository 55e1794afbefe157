import json
import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest
from numba import types
from scipy import stats

import dynsim as ds
from dynsim._kernels import jit, noise

KEY = np.array([0x0123456789ABCDEF, 0xFEDCBA9876543210], dtype=np.uint64)
LAWS = [
    ds.noise.Gaussian(2.0),
    ds.noise.StudentT(1.5),
    ds.noise.Pareto(1.5),
    ds.noise.Pareto(0.7, symmetric=True),
    ds.noise.AlphaStable(1.5, 0.5),
    ds.noise.AlphaStable(0.6, -1.0),
    ds.noise.AlphaStable(1.0, 0.5),
    ds.noise.TwoPoint(0.1),
]
ids = pytest.mark.parametrize("law", LAWS, ids=repr)


# ---- single values against arbitrary precision ----

BINARY = types.void(jit.VECTOR, jit.VECTOR, jit.VECTOR)


def kernel_of(formula):
    """Of (word, angle, out), words given as floats of the same bits."""

    @jit.kernel(BINARY, cache=False)
    def run(word, angle, out):
        jit.widest_vectors()
        for i in range(word.size):
            out[i] = formula(word[i], angle[i])

    return run


BETA, SKEWED = 0.5, (1.0, -0.8)
SMALL = 0.01
STABLE = {(a, b): tuple(ds.noise.AlphaStable(a, b)._own_params()[0]) for a in (0.3, 0.9, 1.5, 2.0) for b in SKEWED}


def distance(word, angle):
    return noise.nearer_end(word)[0]


def exponential(word, angle):
    return noise.exponential(word)


def student(word, angle):
    return noise.student_t_value(word, angle, 1.5, 2 / 1.5)


def pareto(word, angle):
    return noise.pareto_value(word, 1 / 1.5)


def stable_one(word, angle):
    return noise.stable_one_value(word, angle, BETA)


def stable_of(law):
    @noise._inlined
    def stable(word, angle):
        return noise.stable_value(word, angle, law)

    return stable


for function in (distance, exponential, student, pareto, stable_one):
    noise._inlined(function)


def words(seed):
    """All kinds of words: random ones, ones near 0, near 2^64, and near the middle."""
    rng = np.random.default_rng(seed)
    shifts = rng.integers(0, 64, 200).astype(np.uint64)
    random = rng.integers(0, 2**64, 400, dtype=np.uint64)
    ends = np.array([0, 1, 2, 3, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    few_bits = random[:200] >> shifts
    return rng.permutation(np.concatenate([random, ends, few_bits, few_bits | np.uint64(2**63)]))


def uniform(word):
    """(u, r, upper) of a word, exactly: r = (lower 63 bits + ½)/2^64, u = r or 1 − r."""
    upper = int(word) >> 63
    r = (mpmath.mpf(int(word) & (2**63 - 1)) + 0.5) / 2**64
    return (1 - r if upper else r), r, upper


def values(formula, seed=0):
    """(values, words, angles): the words as integers."""
    word, angle = words(seed), words(seed + 1)
    out = np.empty(word.size)
    kernel_of(formula)(word.view(np.float64), angle.view(np.float64), out)
    return out, word, angle


def worst(formula, exact, seed=0):
    """Largest error against ``exact(u, φ)``, u the uniform of the word and φ the angle of the stable laws.

    It is relative to the value where that is large, and absolute around 0, where the laws of both signs have no digits.
    """
    with mpmath.workdps(60):
        found, word, angle = values(formula, seed)
        error = mpmath.mpf(0)
        for x, w, a in zip(found, word, angle, strict=True):
            r, upper = uniform(a)[1:]
            phi = mpmath.pi / 2 - mpmath.pi * r
            value = exact(uniform(w)[0], phi if upper else -phi)
            error = max(error, abs(mpmath.mpf(float(x)) - value) / (abs(value) + SMALL))
    return float(error)


def test_uniforms_reach_both_ends_in_steps_of_two_to_the_minus_64():
    found, word, _ = values(distance)
    with mpmath.workdps(60):
        exact = np.array([float(uniform(w)[1]) for w in word])
    np.testing.assert_array_equal(found, exact)
    assert found.min() == 2.0**-65


def test_exponentials_are_right_at_both_ends():
    assert worst(exponential, lambda u, phi: -mpmath.log(u)) < 8e-16


def test_student_t_is_baileys_formula_out_to_the_ends():
    nu = mpmath.mpf(3) / 2
    # cos 2πv, v the angle's uniform, φ = π(v − ½)
    assert worst(student, lambda u, phi: mpmath.sqrt(nu * (u ** (-2 / nu) - 1)) * -mpmath.cos(2 * phi)) < 1e-13


def test_pareto_is_a_power_of_a_uniform_out_to_the_ends():
    assert worst(pareto, lambda u, phi: u ** -(mpmath.mpf(2) / 3)) < 2e-14


@pytest.mark.parametrize(("alpha", "beta"), STABLE)
def test_stable_values_are_those_of_chambers_mallows_and_stuck_out_to_the_ends(alpha, beta):
    a, b = mpmath.mpf(alpha), mpmath.mpf(beta)

    def exact(u, phi):
        with mpmath.workdps(60):
            zeta = b * mpmath.tan(mpmath.pi * a / 2)
            shift = mpmath.atan(zeta) / a
            if beta == 1 and alpha < 2:  # to all digits
                shift = mpmath.pi / 2 if alpha < 1 else mpmath.pi / 2 - mpmath.pi / a
            first = mpmath.sin(a * (phi + shift)) / mpmath.cos(phi) ** (1 / a)
            second = (mpmath.cos(phi - a * (phi + shift)) / -mpmath.log(u)) ** ((1 - a) / a)
            return first * second

    assert worst(stable_of(STABLE[alpha, beta]), exact) < 2e-13


def test_stable_values_for_alpha_one_are_those_of_chambers_mallows_and_stuck_out_to_the_ends():
    def exact(u, phi):
        half = mpmath.pi / 2 + BETA * phi
        logarithm = mpmath.log(mpmath.pi / 2 * -mpmath.log(u) * mpmath.cos(phi) / half)
        return 2 / mpmath.pi * (half * mpmath.tan(phi) - BETA * logarithm)

    assert worst(stable_one, exact) < 1e-13


@pytest.mark.parametrize("formula", [exponential, student, pareto, stable_one, stable_of(STABLE[1.5, 1.0])])
def test_each_is_simd_code(formula):
    assert "x double>" in next(iter(kernel_of(formula).inspect_llvm().values()))


# ---- blocks ----


def block(law, *, path=0, pair=0, first=0, width=64, dim=1):
    even, odd = np.full((2, dim, width), np.nan)
    law.kernel(KEY, path, pair, first, law.params(dim), even, odd)
    return even, odd


@ids
def test_a_draw_depends_on_path_step_and_component_alone(law):
    wide = np.array(block(law, path=100, width=64, dim=3))
    for width in (1, 7, 33):
        for lane in (0, 5, 64 - width):
            narrow = block(law, path=100 + lane, width=width, dim=3)
            np.testing.assert_array_equal(narrow, wide[:, :, lane : lane + width])


@ids
def test_coordinate_j_is_made_of_the_components_from_first_plus_c_j_on(law):
    together = np.array(block(law, first=5, dim=3))
    for j in range(3):
        alone = np.array(block(law, first=5 + law.components_per_coordinate * j))
        np.testing.assert_array_equal(alone[:, 0], together[:, j])


def independent(x, y):
    """p-value of the χ² test on the ranks of both in eighths."""
    eighths = [np.floor(8 * (stats.rankdata(z.ravel()) - 0.5) / z.size) for z in (x, y)]
    return stats.chi2_contingency(stats.contingency.crosstab(*eighths).count).pvalue


@ids
def test_steps_coordinates_and_paths_are_independent(law):
    even, odd = block(law, width=20001, dim=2)
    later = block(law, pair=1, width=20001, dim=2)[0]
    assert independent(even[0], odd[0]) > 1e-6
    assert independent(even[0], later[0]) > 1e-6
    assert independent(even[0], even[1]) > 1e-6
    assert independent(even[0, :-1], even[0, 1:]) > 1e-6


@pytest.mark.parametrize("law", [law for law in LAWS if law.components_per_coordinate == 2], ids=repr)
def test_the_test_of_independence_notices_one_shared_component(law):
    assert independent(block(law, width=20001)[0], block(law, width=20001, first=1)[0]) < 1e-6


def drawn(word, angle):
    return noise.two_point_value(word, 2.0**-44)


def test_two_points_are_drawn_with_probability_p_even_where_it_is_tiny():
    found, word, _ = values(noise._inlined(drawn))
    below = word < np.uint64(2**20)  # 2^20 of the 2^64 words
    assert below.any()
    np.testing.assert_array_equal(found, np.where(below, 2.0**-44 - 1, 2.0**-44))


@pytest.mark.parametrize("alpha", [1 - 2.0**-53, 1 - 1e-9, 1 + 2.0**-52, 1 + 1e-9])
def test_stable_laws_next_to_alpha_one_are_finite_and_those_of_alpha_one_moved(alpha):
    """X − β tan(πα/2) is continuous in α (Nolan's S0)."""
    near = np.array(block(ds.noise.AlphaStable(alpha, 0.5), width=2001))
    at = np.array(block(ds.noise.AlphaStable(1.0, 0.5), width=2001))
    assert np.isfinite(near).all()
    if abs(alpha - 1) > 1e-12:
        moved = near - 0.5 / np.tan(np.pi * (1 - alpha) / 2)
        np.testing.assert_allclose(np.quantile(moved, [0.1, 0.5, 0.9]), np.quantile(at, [0.1, 0.5, 0.9]), atol=1e-5)


def test_normals_are_those_of_the_engine():
    even, _ = block(ds.noise.Gaussian(2.0), width=5000)
    assert stats.kstest(even[0] / 2.0, "norm").pvalue > 1e-4


PLAIN = """
import json, sys
import numpy as np
import dynsim as ds
noise = ds.noise
laws = [noise.Gaussian(2.0), noise.StudentT(1.5), noise.Pareto(1.5), noise.Pareto(0.7, symmetric=True)]
laws += [noise.AlphaStable(1.5, 0.5), noise.AlphaStable(0.6, -1.0), noise.AlphaStable(1.0, 0.5), noise.TwoPoint(0.1)]
np.seterr(over="ignore")
print(json.dumps([law.sample(12, rng=1).tolist() for law in laws]))
"""


def test_the_kernels_agree_with_themselves_uncompiled():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    plain = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, env=environment, check=True)
    compiled = [law.sample(12, rng=1) for law in LAWS]
    np.testing.assert_allclose(json.loads(plain.stdout), compiled, rtol=1e-12)
