"""From ``rng`` (SPEC 7) to the 128-bit key of the counter-based noise."""

import numbers

import numpy as np

from dynsim.errors import ArgumentError


def seed_and_key(rng):
    """Return (seed, key): ``rng=seed`` repeats the run, ``key`` (2,) uint64 drives it.

    A ``Generator`` is advanced, so that two runs with the same one differ.
    """
    if isinstance(rng, bool) or (isinstance(rng, numbers.Integral) and rng < 0):
        raise ArgumentError(f"rng must be a nonnegative int, a SeedSequence, a Generator or None, got {rng!r}")
    if rng is None or isinstance(rng, numbers.Integral):
        sequence = np.random.SeedSequence(None if rng is None else int(rng))
    elif isinstance(rng, np.random.SeedSequence):
        sequence = rng
    elif isinstance(rng, np.random.Generator):
        words = rng.integers(0, 2**64, size=2, dtype=np.uint64)
        sequence = np.random.SeedSequence(int(words[0]) << 64 | int(words[1]))
    else:
        raise ArgumentError(f"rng must be an int, a SeedSequence, a Generator or None, got {type(rng).__name__}")
    plain = (
        isinstance(sequence.entropy, int)
        and not sequence.spawn_key
        and sequence.pool_size == np.random.SeedSequence(0).pool_size
    )
    seed = sequence.entropy if plain else sequence
    return seed, sequence.generate_state(2, np.uint64)
