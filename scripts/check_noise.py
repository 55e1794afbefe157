"""Is the noise what it claims to be? Statistical tests of the normals and uniforms exactly as the engine draws them.

    python scripts/check_noise.py                            # 10^9 normals in each of four layouts: minutes, one core
    python scripts/check_noise.py --quick                    # 10^7
    python scripts/check_noise.py --raw step | RNG_test stdin64

Every test has a known law and a p-value; the verdict is Bonferroni's, at 0.001 over all of them. The same tests must
find flawed noise wanting: Threefry with few rounds, a scale wrong by 10^-4, components that share their noise.
Nothing is stored: what is kept of the normals are counts in 2.2 million cells, power sums and sums of products.
--raw writes the 64-bit words behind the numbers to standard output, without end, for batteries made by others.
"""

import argparse
import math
import os
import sys
import time
from dataclasses import dataclass

import numba
import numpy as np
from numba import types
from scipy import special, stats

from dynsim._kernels.elementary import log, quarter_turns, sin_cos_eighth
from dynsim._kernels.jit import (
    BLOCK,
    INT,
    INTS,
    KEY,
    UINT,
    VECTOR,
    float_from_bits,
    function_pointer,
    kernel,
)
from dynsim._kernels.threefry import fill_normals, fill_uniforms, threefry
from dynsim._random import seed_and_key

ALPHA = 1e-3  # chance of a false alarm in one whole run
LANES = 512  # paths drawn at once
CELLS_PER_UNIT = 2**17
EDGE = 8.5  # no normal is further out: √(−2 ln 2⁻⁵²) = 8.4905
CELLS = int(2 * EDGE * CELLS_PER_UNIT)
LEAST_EXPECTED = 1000  # counts per bin of the χ² test; a bin is made of whole cells
POWERS = 8
UNIFORM_BINS = 2**20
# What integrate adds to the key's two words for noise of another kind, and for another level of refine=…
KIND_KEY = 0xD1B54A32D192ED03
LEVEL_KEY = 0x9E3779B97F4A7C15


# ---- noise: the engine's, and flawed ones; fill(key, path, pair, component, even, odd) ----

FILL = (KEY, INT, INT, INT, VECTOR, VECTOR)


@kernel(types.void(*FILL), cache=False)
def engine(key, path, pair, component, even, odd):
    fill_normals(key, path, pair, component, 1.0, even, odd)


@kernel(types.void(*FILL), cache=False)
def uniforms(key, path, pair, component, even, odd):
    fill_uniforms(key, path, pair, component, even, odd)


@kernel(types.void(*FILL), cache=False)
def same_for_all_components(key, path, pair, component, even, odd):
    fill_normals(key, path, pair, 0, 1.0, even, odd)


def scaled(factor):
    @kernel(types.void(*FILL), cache=False)
    def fill(key, path, pair, component, even, odd):
        fill_normals(key, path, pair, component, factor, even, odd)

    return fill


def with_rounds(rounds):
    """The engine's noise from Threefry with another number of rounds than 20."""
    rotations = (16, 42, 12, 31, 16, 32, 24, 21)

    @kernel(types.void(*FILL), cache=False)
    def fill(key, path, pair, component, even, odd):
        k = (key[0], key[1], key[0] ^ key[1] ^ np.uint64(0x1BD11BDAA9FC1A22))
        for i in range(even.shape[0]):
            a = np.uint64(path + i) + k[0]
            b = (np.uint64(pair) | (np.uint64(component) << np.uint64(40))) + k[1]
            for r in range(rounds):
                left = np.uint64(rotations[r % 8])
                a += b
                b = ((b << left) | (b >> (np.uint64(64) - left))) ^ a
                if r % 4 == 3:
                    s = r // 4 + 1
                    a += k[s % 3]
                    b += k[(s + 1) % 3] + np.uint64(s)
            u = float_from_bits((a >> np.uint64(12)) | np.uint64(0x3FF0000000000000))
            v = float_from_bits((b >> np.uint64(12)) | np.uint64(0x3FF0000000000000))
            radius = np.sqrt(-2.0 * log(2.0 - u))
            sine, cosine = sin_cos_eighth(0.25 * v - 0.375)
            sine, cosine = quarter_turns(sine, cosine, b)
            even[i] = radius * cosine
            odd[i] = radius * sine

    return fill


# ---- streaming sums over a layout ----


@dataclass(frozen=True)
class Layout:
    """Which normals: n[0] paths from first[0] on, n[1] pairs of steps, n[2] components."""

    name: str
    n: tuple
    first: tuple = (0, 0, 0)

    @property
    def draws(self):
        return 2 * math.prod(self.n)

    @property
    def array(self):
        return np.array([*self.first, *self.n])


def layouts(draws):
    """Four layouts of about this many normals each."""
    half = draws // 2
    return [
        Layout("many paths", (2**20, max(1, half // 2**20), 1)),
        Layout("many steps", (64, half // 64, 1)),
        Layout("many components", (64, 8, half // 512)),
        Layout("at the limits", (LANES, half // LANES // 4, 4), (2**62, 2**40 - half // LANES // 4, 2**24 - 4)),
    ]


@numba.njit(error_model="numpy")
def add_counts_and_powers(z, counts, sums):
    for i in range(z.shape[0]):
        counts[np.int64(np.floor(z[i] * CELLS_PER_UNIT)) + CELLS // 2] += 1
    for i in range(z.shape[0]):
        power = 1.0
        for p in range(POWERS):
            power *= z[i]
            sums[p] += power


@kernel(types.void(function_pointer(*FILL), KEY, INTS, INTS, VECTOR), cache=False)
def tally(fill, key, layout, counts, sums):
    """Counts (CELLS,) per cell and sums (8,) of z, z², …, z⁸."""
    path, pair, component, n_paths, n_pairs, n_components = layout
    for c in range(component, component + n_components):
        for k in range(pair, pair + n_pairs):
            for first in range(path, path + n_paths, LANES):
                z = np.empty((2, min(LANES, path + n_paths - first)))
                fill(key, first, k, c, z[0], z[1])
                block = np.zeros(POWERS)  # sums of sums lose fewer digits
                add_counts_and_powers(z.ravel(), counts, block)
                sums += block


@kernel(types.void(function_pointer(*FILL), KEY, INTS, INTS, INTS), cache=False)
def tally_uniforms(fill, key, layout, counts, joint):
    """Counts per bin, and of the two numbers of a pair of steps in 1024 × 1024 squares."""
    path, pair, component, n_paths, n_pairs, n_components = layout
    for c in range(component, component + n_components):
        for k in range(pair, pair + n_pairs):
            for first in range(path, path + n_paths, LANES):
                u = np.empty((2, min(LANES, path + n_paths - first)))
                fill(key, first, k, c, u[0], u[1])
                for i in range(u.shape[1]):
                    counts[np.int64(u[0, i] * UNIFORM_BINS)] += 1
                    counts[np.int64(u[1, i] * UNIFORM_BINS)] += 1
                    joint[np.int64(u[0, i] * 1024) * 1024 + np.int64(u[1, i] * 1024)] += 1


@numba.njit(error_model="numpy", fastmath={"reassoc", "contract"})
def add_products(a, b, sums):
    products = squares = signs = 0.0
    for i in range(a.shape[0]):
        products += a[i] * b[i]
        squares += 0.5 * (a[i] * a[i] - 1.0) * (b[i] * b[i] - 1.0)
        signs += np.copysign(1.0, a[i] * b[i])
    sums[0] += products
    sums[1] += squares
    sums[2] += signs


@kernel(types.void(function_pointer(*FILL), KEY, KEY, INTS, INTS, BLOCK), cache=False)
def cross(fill, key, other_key, layout, shift, sums):
    """Sums (4, 3) of z z', (z²−1)(z'²−1)/2, sign z z'; rows: both even, both odd, even with odd', odd with even'."""
    path, pair, component, n_paths, n_pairs, n_components = layout
    for c in range(component, component + n_components):
        for k in range(pair, pair + n_pairs):
            for first in range(path, path + n_paths, LANES):
                z = np.empty((2, min(LANES, path + n_paths - first)))
                other = np.empty_like(z)
                fill(key, first, k, c, z[0], z[1])
                fill(other_key, first + shift[0], k + shift[1], c + shift[2], other[0], other[1])
                add_products(z[0], other[0], sums[0])
                add_products(z[1], other[1], sums[1])
                add_products(z[0], other[1], sums[2])
                add_products(z[1], other[0], sums[3])


# ---- tests: rows (what, where, statistic, p-value) ----

EDGES = np.arange(CELLS + 1) / CELLS_PER_UNIT - EDGE
_BEYOND = special.ndtr(-EDGES[CELLS // 2 :])  # the upper tail, to full relative accuracy
CELL_MASS = np.concatenate([(_BEYOND[:-1] - _BEYOND[1:])[::-1], _BEYOND[:-1] - _BEYOND[1:]])


def two_sided(distribution, value):
    """The p-value of a continuous statistic that may be suspiciously large or small."""
    return min(1.0, 2.0 * min(distribution.cdf(value), distribution.sf(value)))


def z_score(z):
    return f"z = {z:+.2f}", 2.0 * stats.norm.sf(abs(z))


def chi_square(counts, expected):
    bins = counts.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    return f"{statistic:.0f} for {bins - 1} d.o.f.", two_sided(stats.chi2(bins - 1), statistic)


def law_tests(counts, sums):
    """Kolmogorov–Smirnov and χ², counts in the tails, moments, the largest: (what, statistic, p-value)."""
    n = int(counts.sum())
    distance = np.abs(np.cumsum(counts) / n - special.ndtr(EDGES[1:])).max()
    yield "Kolmogorov–Smirnov", f"√n D = {math.sqrt(n) * distance:.3f}", stats.kstwobign.sf(math.sqrt(n) * distance)
    bins = max(20, n // LEAST_EXPECTED)
    starts = np.unique(np.floor(special.ndtr(EDGES[:-1]) * bins), return_index=True)[1]
    yield "χ²", *chi_square(np.add.reduceat(counts, starts), n * np.add.reduceat(CELL_MASS, starts))
    for k in range(1, 7):
        for side, count in (
            ("below −", counts[: int((EDGE - k) * CELLS_PER_UNIT)].sum()),
            ("beyond +", counts[int((EDGE + k) * CELLS_PER_UNIT) :].sum()),
        ):
            law = stats.binom(n, special.ndtr(-k))
            p = min(1.0, 2.0 * min(law.cdf(count), law.sf(count - 1)))
            yield f"{side}{k}σ", f"{count}, expected {law.mean():.{0 if k < 5 else 1}f}", p
    moments = np.array([special.factorial2(p - 1) if p % 2 == 0 else 0.0 for p in range(1, 2 * POWERS + 1)])
    errors = np.sqrt((moments[1::2] - moments[:POWERS] ** 2) / n)
    for p, z in enumerate((sums / n - moments[:POWERS]) / errors, start=1):
        yield f"mean of z^{p}", *z_score(z)
    occupied = np.flatnonzero(counts)
    largest = max(-EDGES[occupied[0]], EDGES[occupied[-1] + 1])  # to 8e-6
    none_beyond = math.exp(n * math.log1p(-2.0 * special.ndtr(-largest)))
    yield "largest |z|", f"{largest:.4f}", min(1.0, 2.0 * min(none_beyond, 1.0 - none_beyond))


def law_rows(fill, seed, draws):
    """The law in each layout and in all together."""
    key = seed_and_key(seed)[1]
    all_counts, all_sums = np.zeros(CELLS, np.int64), np.zeros(POWERS)
    for layout in layouts(draws):
        counts, sums = np.zeros(CELLS, np.int64), np.zeros(POWERS)
        tally(fill, key, layout.array, counts, sums)
        yield from ((layout.name, *row) for row in law_tests(counts, sums))
        all_counts += counts
        all_sums += sums
    yield from (("all of them", *row) for row in law_tests(all_counts, all_sums))


def uniform_rows(seed, draws):
    key = seed_and_key(seed)[1]
    for layout in layouts(draws)[:3]:
        counts, joint = np.zeros(UNIFORM_BINS, np.int64), np.zeros(2**20, np.int64)
        tally_uniforms(uniforms, key, layout.array, counts, joint)
        n = layout.draws
        distance = np.abs(np.cumsum(counts) / n - np.arange(1, UNIFORM_BINS + 1) / UNIFORM_BINS).max()
        root = math.sqrt(n) * distance
        yield layout.name, "uniforms: Kolmogorov–Smirnov", f"√n D = {root:.3f}", stats.kstwobign.sf(root)
        yield layout.name, "uniforms: χ²", *chi_square(counts, n / counts.size)
        yield layout.name, "uniforms: χ² of the two of a pair", *chi_square(joint, n / 2 / joint.size)


def relations(seed):
    """Who is compared with whom: (name, other key, shift of path, pair and component)."""
    key = seed_and_key(seed)[1]
    of_another_kind = key + np.array([KIND_KEY, 0], np.uint64)
    of_first_level = key + np.array([0, LEVEL_KEY], np.uint64)
    yield "the same pair of steps", key, (0, 0, 0)
    for d in (1, 2, 2**8, 2**39):
        yield f"{power(d)} pair{'s' * (d > 1)} of steps on", key, (0, d, 0)
    for d in (1, 2, 4, 8, 16, 2**10, 2**32, 2**61):
        yield f"{power(d)} path{'s' * (d > 1)} on", key, (d, 0, 0)
    for d in (1, 2, 2**22):
        yield f"{power(d)} component{'s' * (d > 1)} on", key, (0, 0, d)
    yield "next path, next pair of steps", key, (1, 1, 0)
    for d in (1, 2, 2**32):
        yield f"{power(d)} seed{'s' * (d > 1)} on", seed_and_key(seed + d)[1], (0, 0, 0)
    yield "noise of another kind", of_another_kind, (0, 0, 0)
    yield "first level of refinement", of_first_level, (0, 0, 0)


def power(n):
    return f"2^{n.bit_length() - 1}" if n > 32 else str(n)


def correlation_rows(fill, seed, draws):
    """Products, squares and signs over all relations; each even and odd step with each."""
    layout = Layout("", (2**12, max(1, draws // 2**17), 2))  # an eighth of the draws for each relation
    key = seed_and_key(seed)[1]
    for name, other, shift in relations(seed):
        sums = np.zeros((4, 3))
        cross(fill, key, other, layout.array, np.array(shift), sums)
        z = sums / math.sqrt(layout.draws / 2)
        if name == "the same pair of steps":
            z = z[2:3]  # the others are of numbers with themselves
        for column, what in enumerate(("z z'", "z² z'²", "sign z z'")):
            for row in z:
                yield name, f"correlation of {what}", *z_score(row[column])


def every_row(fill, seed, draws):
    yield from law_rows(fill, seed, draws)
    yield from correlation_rows(fill, seed, draws)


# ---- the report ----


def failed(rows):
    """Bonferroni: the rows whose p-value times the number of rows is below α."""
    return [row for row in rows if row[3] * len(rows) < ALPHA]


def show(rows):
    """Every row of the laws; of the correlations the one with the smallest p-value among its kind."""
    print(f"{'where':32}{'what':36}{'statistic':36}{'p-value':>10}")
    worst = {}
    for row in rows:
        if row[:2] not in worst or row[3] < worst[row[:2]][3]:
            worst[row[:2]] = row
    for where, what, statistic, p in worst.values():
        print(f"{where:32}{what:36}{statistic:36}{p:10.2g}")


def verdict(rows):
    bad = failed(rows)
    smallest = min(row[3] for row in rows)
    return f"{len(bad)} of {len(rows)} tests fail; smallest p-value × tests = {smallest * len(rows):.2g}"


def check(draws, seed):
    assert_own_threefry_is_the_engines(seed_and_key(seed)[1])
    began = time.perf_counter()
    rows = [*every_row(engine, seed, draws), *uniform_rows(seed, draws)]
    seconds = time.perf_counter() - began
    show(rows)
    print(f"\nThe engine's noise, {draws:.0e} normals per layout, {seconds:.0f} s: {verdict(rows)}")
    print("Largest normal that 52-bit uniforms can reach: √(−2 ln 2⁻⁵²) = 8.4905")
    ok = not failed(rows)
    print("\nThe same tests on flawed noise, which must fail")
    for name, fill, control_draws in controls(draws):
        rows = list(every_row(fill, seed, control_draws))
        print(f"{name:40}{control_draws:.0e} normals per layout: {verdict(rows)}")
        ok = ok and bool(failed(rows))
    print("\nAll as it should be" if ok else "\nNOT as it should be")
    return 0 if ok else 1


def controls(draws):
    """(name, noise, normals per layout): few where the flaw is gross."""
    for rounds in (4, 6, 8):
        yield f"Threefry with {rounds} rounds", with_rounds(rounds), max(10**6, draws // 100)
    yield "the same noise for all components", same_for_all_components, max(10**6, draws // 100)
    error = 1e-4 * math.sqrt(1e9 / draws)  # nine standard errors of the second moment of all layouts
    yield f"normals multiplied by 1 + {error:.1g}", scaled(1.0 + error), draws


def assert_own_threefry_is_the_engines(key):
    """The flawed noise differs from the engine's by its flaw alone."""
    a, b = np.empty((2, 64)), np.empty((2, 64))
    engine(key, 2**62, 5, 3, *a)
    with_rounds(20)(key, 2**62, 5, 3, *b)
    np.testing.assert_allclose(a, b, rtol=1e-14)


# ---- the raw words ----

WORDS = types.uint64[:, ::1]


@kernel(types.void(KEY, UINT, UINT, UINT, UINT, WORDS), cache=False)
def fill_words(key, path, c1, path_stride, c1_stride, out):
    """The words out[:, i] (2, n) of counters (path + i path_stride, c1 + i c1_stride)."""
    for i in range(out.shape[1]):
        j = np.uint64(i)
        out[0, i], out[1, i] = threefry(path + j * path_stride, c1 + j * c1_stride, key[0], key[1])


@kernel(types.void(WORDS, UINT, WORDS), cache=False)
def fill_words_of_keys(keys, pair, out):
    """The words out[:, i] (2, n) of path 0 and key keys[i] (n, 2)."""
    for i in range(out.shape[1]):
        out[0, i], out[1, i] = threefry(np.uint64(0), pair, keys[i, 0], keys[i, 1])


def raw_words(order, seed):
    """Arrays of words, without end: what gives the order its name varies fastest."""
    key = seed_and_key(seed)[1]
    if order == "path":  # 2^14 paths at step 0, then at step 1, …
        words = np.empty((2, 2**14), np.uint64)
        for pair in range(2**40):
            fill_words(key, 0, pair, 1, 0, words)
            yield words
    elif order == "step":  # 2^15 steps of path 0, then of path 1, …
        words = np.empty((2, 2**14), np.uint64)
        for path in range(2**63):
            fill_words(key, path, 0, 0, 1, words)
            yield np.ascontiguousarray(words.T)
    elif order == "component":  # 2^10 components of path 0 at step 0, then at step 1, …
        words = np.empty((2, 2**10), np.uint64)
        for pair in range(2**40):
            fill_words(key, 0, pair, 0, 2**40, words)
            yield words
    else:  # step 0 of path 0 from 2^10 seeds, then step 1, …
        keys = np.array([seed_and_key(seed + i)[1] for i in range(2**10)])
        words = np.empty((2, 2**10), np.uint64)
        for pair in range(2**40):
            fill_words_of_keys(keys, pair, words)
            yield words


def write_raw(order, seed):
    try:
        for words in raw_words(order, seed):
            sys.stdout.buffer.write(words.data)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=float, default=1e9, help="normals per layout (default: 1e9)")
    parser.add_argument("--quick", action="store_true", help="the same as --draws 1e7")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, help="test Threefry with this many rounds, instead of the engine's 20")
    parser.add_argument("--raw", choices=["path", "step", "component", "seed"], help="write words in this order")
    arguments = parser.parse_args()
    if arguments.raw:
        write_raw(arguments.raw, arguments.seed)
        return 0
    draws = int(1e7 if arguments.quick else arguments.draws)
    if draws < 10**6:
        parser.error(f"--draws must be at least 1e6, got {arguments.draws:g}")
    if arguments.rounds is not None:
        rows = list(every_row(with_rounds(arguments.rounds), arguments.seed, draws))
        show(rows)
        print(f"\nThreefry with {arguments.rounds} rounds, {draws:.0e} normals per layout: {verdict(rows)}")
        return 1 if failed(rows) else 0
    return check(draws, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
