"""Counter-based random numbers: Threefry-2x64 with 20 rounds (Salmon, Moraes, Dror & Shaw, SC'11).

A number is a pure function of (seed, path, step, component): nothing is stored, so nothing depends on the order,
the blocks, the chunks or the threads in which numbers are asked for. One Threefry call makes two 64-bit words; they
serve the two steps 2k and 2k+1 of one path and component.
"""

import numpy as np

from dynsim._kernels.elementary import log, sin_cos_turn
from dynsim._kernels.jit import float_from_bits, formula

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
def _unit(word):
    return float_from_bits((word >> _TWELVE) | _ONE_BITS) - 1.0  # 52 bits, in [0, 1)


@formula
def fill_uniforms(key, path, pair, component, even, odd):
    """Uniforms on [0, 1) for steps 2·pair and 2·pair + 1 of paths path, path + 1, …, into even (W,) and odd (W,)."""
    k0, k1 = key[0], key[1]
    c0 = np.uint64(path)
    c1 = np.uint64(pair) | (np.uint64(component) << _COMPONENT_SHIFT)
    for i in range(even.shape[0]):
        w0, w1 = threefry(c0 + np.uint64(i), c1, k0, k1)
        even[i] = _unit(w0)
        odd[i] = _unit(w1)


@formula
def fill_normals(key, path, pair, component, scale, even, odd):
    """Like fill_uniforms, but N(0, scale²) by Box–Muller."""
    k0, k1 = key[0], key[1]
    c0 = np.uint64(path)
    c1 = np.uint64(pair) | (np.uint64(component) << _COMPONENT_SHIFT)
    for i in range(even.shape[0]):
        w0, w1 = threefry(c0 + np.uint64(i), c1, k0, k1)
        radius = scale * np.sqrt(-2.0 * log(1.0 - _unit(w0)))
        sine, cosine = sin_cos_turn(_unit(w1))
        even[i] = radius * cosine
        odd[i] = radius * sine
