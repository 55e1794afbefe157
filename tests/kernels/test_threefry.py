import numpy as np
import pytest
from numba import types
from scipy import stats

from dynsim._kernels import jit
from dynsim._kernels.threefry import fill_normals, fill_uniforms, threefry

KEY = np.array([0x0123456789ABCDEF, 0xFEDCBA9876543210], dtype=np.uint64)


@jit.kernel(types.void(jit.KEY, jit.INT, jit.INT, jit.INT, jit.BLOCK), cache=False)
def normals(key, path, pair, component, out):
    fill_normals(key, path, pair, component, 1.0, out[0], out[1])


@jit.kernel(types.void(jit.KEY, jit.INT, jit.INT, jit.INT, jit.BLOCK), cache=False)
def uniforms(key, path, pair, component, out):
    fill_uniforms(key, path, pair, component, out[0], out[1])


@jit.kernel(types.UniTuple(jit.UINT, 2)(jit.UINT, jit.UINT, jit.UINT, jit.UINT), cache=False)
def words(c0, c1, k0, k1):
    return threefry(c0, c1, k0, k1)


def draw(fill, n_paths, pairs, component=0):
    """Numbers (n_paths, 2·pairs), the steps in order."""
    out = np.empty((n_paths, 2 * len(pairs)))
    buffer = np.empty((2, n_paths))
    for k, pair in enumerate(pairs):
        fill(KEY, 0, pair, component, buffer)
        out[:, 2 * k : 2 * k + 2] = buffer.T
    return out


# Known answers of the Random123 distribution, threefry2x64 with 20 rounds: counter, key, result
ONES = 0xFFFFFFFFFFFFFFFF
PI = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)


@pytest.mark.parametrize(
    ("counter_and_key", "expected"),
    [
        ((0, 0, 0, 0), (0xC2B6E3A8C2C69865, 0x6F81ED42F350084D)),
        ((ONES, ONES, ONES, ONES), (0xE02CB7C4D95D277A, 0xD06633D0893B8B68)),
        (PI, (0x263C7D30BB0F0AF1, 0x56BE8361D3311526)),
    ],
)
def test_threefry_gives_the_known_answers(counter_and_key, expected):
    assert words(*map(np.uint64, counter_and_key)) == expected


def test_uniforms_lie_in_the_half_open_unit_interval_and_pass_kolmogorov_smirnov():
    u = draw(uniforms, 1000, range(100)).ravel()
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-4


def z_of_moments(z):
    """Standardized deviations of the first four moments of a sample from those of N(0, 1)."""
    n = z.size
    variances = np.array([1.0, 2.0, 15.0, 96.0])  # of z, z², z³, z⁴
    return (np.array([np.mean(z**p) for p in (1, 2, 3, 4)]) - np.array([0, 1, 0, 3])) / np.sqrt(variances / n)


def test_normals_have_the_moments_and_the_law_of_a_normal():
    z = draw(normals, 4000, range(250)).ravel()
    assert np.abs(z_of_moments(z)).max() < 5
    assert stats.kstest(z, "norm").pvalue > 1e-4


def test_the_moment_and_law_tests_notice_a_scale_wrong_by_one_percent():
    z = 1.01 * draw(normals, 4000, range(250)).ravel()
    assert np.abs(z_of_moments(z)).max() > 5
    assert stats.kstest(z, "norm").pvalue < 1e-4


@pytest.mark.parametrize("fill", [uniforms, normals])
def test_numbers_are_uncorrelated_over_steps_paths_and_components(fill):
    first, other = draw(fill, 2000, range(200)), draw(fill, 2000, range(200), component=1)
    first, other = (first - first.mean()) / first.std(), (other - other.mean()) / other.std()
    pairs = {
        "next step": (first[:, :-1], first[:, 1:]),
        "two steps on": (first[:, :-2], first[:, 2:]),
        "next path": (first[:-1], first[1:]),
        "eight paths on": (first[:-8], first[8:]),
        "next component": (first, other),
        "squares, next step": ((first**2)[:, :-1], (first**2)[:, 1:]),
    }
    for name, (a, b) in pairs.items():
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert abs(correlation) * np.sqrt(a.size) < 5, name


def test_a_number_depends_on_path_step_and_component_alone():
    block = np.empty((2, 64))
    normals(KEY, 100, 7, 3, block)
    single = np.empty((2, 1))
    for lane in (0, 1, 31, 63):
        normals(KEY, 100 + lane, 7, 3, single)
        assert (single[:, 0] == block[:, lane]).all()


def test_different_keys_steps_and_components_give_different_numbers():
    block, other = np.empty((2, 8)), np.empty((2, 8))
    normals(KEY, 0, 0, 0, block)
    for key, pair, component in [(KEY[::-1].copy(), 0, 0), (KEY, 1, 0), (KEY, 0, 1), (KEY, 0, 2**20)]:
        normals(key, 0, pair, component, other)
        assert not np.intersect1d(block, other).size
