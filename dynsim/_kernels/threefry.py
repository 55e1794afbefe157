"""Counter-based random numbers: Threefry-2x64 with 20 rounds (Salmon, Moraes, Dror & Shaw, SC'11).

A number is a pure function of (seed, path, step, component): nothing is stored, so nothing depends on the order,
the blocks, the chunks or the threads in which numbers are asked for. One Threefry call makes two 64-bit words; they
serve the two steps 2k and 2k+1 of one path and component.
"""

import numpy as np

from dynsim._kernels.elementary import log, quarter_turns, sin_cos_eighth
from dynsim._kernels.jit import bits_from_float, float_from_bits, formula, widest_vectors

_PARITY = np.uint64(0x1BD11BDAA9FC1A22)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_TWELVE = np.uint64(12)
_COMPONENT_SHIFT = np.uint64(40)  # 2^40 pairs of steps, 2^24 components


@formula
def _mix(x0, x1, left):
    x0 = x0 + x1
    x1 = (x1 << np.uint64(left)) | (x1 >> np.uint64(64 - left))
    return x0, x0 ^ x1


@formula
def threefry(c0, c1, k0, k1):
    """Threefry-2x64-20: counter (c0, c1) and key (k0, k1), all uint64, to two uint64 words."""
    k2 = k0 ^ k1 ^ _PARITY
    x0 = c0 + k0
    x1 = c1 + k1
    x0, x1 = _mix(x0, x1, 16)
    x0, x1 = _mix(x0, x1, 42)
    x0, x1 = _mix(x0, x1, 12)
    x0, x1 = _mix(x0, x1, 31)
    x0, x1 = x0 + k1, x1 + (k2 + np.uint64(1))
    x0, x1 = _mix(x0, x1, 16)
    x0, x1 = _mix(x0, x1, 32)
    x0, x1 = _mix(x0, x1, 24)
    x0, x1 = _mix(x0, x1, 21)
    x0, x1 = x0 + k2, x1 + (k0 + np.uint64(2))
    x0, x1 = _mix(x0, x1, 16)
    x0, x1 = _mix(x0, x1, 42)
    x0, x1 = _mix(x0, x1, 12)
    x0, x1 = _mix(x0, x1, 31)
    x0, x1 = x0 + k0, x1 + (k1 + np.uint64(3))
    x0, x1 = _mix(x0, x1, 16)
    x0, x1 = _mix(x0, x1, 32)
    x0, x1 = _mix(x0, x1, 24)
    x0, x1 = _mix(x0, x1, 21)
    x0, x1 = x0 + k1, x1 + (k2 + np.uint64(4))
    x0, x1 = _mix(x0, x1, 16)
    x0, x1 = _mix(x0, x1, 42)
    x0, x1 = _mix(x0, x1, 12)
    x0, x1 = _mix(x0, x1, 31)
    return x0 + k2, x1 + (k0 + np.uint64(5))


@formula
def _fill_words(key, path, pair, component, even, odd):
    """The two words of each lane, as the bits of floats.

    A loop of its own: short enough that the processor overlaps several turns of it, which one with what is made of the
    words would not be (1.4 times slower).
    """
    widest_vectors()
    k0, k1 = key[0], key[1]
    c0 = np.uint64(path)
    c1 = np.uint64(pair) | (np.uint64(component) << _COMPONENT_SHIFT)
    for i in range(even.shape[0]):
        w0, w1 = threefry(c0 + np.uint64(i), c1, k0, k1)
        even[i] = float_from_bits(w0)
        odd[i] = float_from_bits(w1)


@formula
def _one_to_two(word):
    return float_from_bits((bits_from_float(word) >> _TWELVE) | _ONE_BITS)  # uniform on [1, 2), 52 bits


@formula
def fill_uniforms(key, path, pair, component, even, odd):
    """Uniforms on [0, 1) for steps 2·pair and 2·pair + 1 of paths path, path + 1, …, into even (W,) and odd (W,)."""
    widest_vectors()
    _fill_words(key, path, pair, component, even, odd)
    for i in range(even.shape[0]):
        even[i] = _one_to_two(even[i]) - 1.0
        odd[i] = _one_to_two(odd[i]) - 1.0


@formula
def fill_normals(key, path, pair, component, scale, even, odd):
    """Like fill_uniforms, but N(0, scale²) by Box–Muller; the angle's quarter comes from the word's two lowest bits."""
    widest_vectors()
    _fill_words(key, path, pair, component, even, odd)
    minus_two_variances = -2.0 * scale * scale
    for i in range(even.shape[0]):
        radius = np.sqrt(minus_two_variances * log(2.0 - _one_to_two(even[i])))
        sine, cosine = sin_cos_eighth(0.25 * _one_to_two(odd[i]) - 0.375)
        sine, cosine = quarter_turns(sine, cosine, bits_from_float(odd[i]))
        even[i] = radius * cosine
        odd[i] = radius * sine
