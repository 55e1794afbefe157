"""What kind of noise an SDE has, found by looking at σ at random points."""

import numpy as np

from dynsim.sde.scheme import ADDITIVE, COMMUTATIVE, DIAGONAL, GENERAL, SCALAR

_PROBES = 48
_SAME = 1e-12  # relative difference that rounding explains
_STEP = 6e-6  # of central differences, relative to 1 + |x|: ∛ε
_CLOSE = 1e-4  # relative difference of difference quotients that rounding explains


def jumps(sde) -> list[float]:
    """Those of the breaks at which σ jumps."""
    sides = np.array([[[np.nextafter(b, -np.inf)], [np.nextafter(b, np.inf)]] for b in sde.breaks])
    if not sides.size:
        return []
    below, above = np.moveaxis(sde.diffusion(0.0, sides), 1, 0)
    different = np.abs(below - above) > _CLOSE * np.maximum(np.abs(below), np.abs(above))
    return [b for b, differs in zip(sde.breaks, different.any(axis=(1, 2)), strict=True) if differs]


def noise_type(sde, start=None, t_end=0.7) -> str:
    """The most special of additive (σ(t)), scalar (one noise), diagonal (σ_jj(t, x_j)), commutative and general.

    σ is looked at in random points of all sizes and around those of ``start`` (n, dim), at three times up to t_end.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((_PROBES, sde.dim)) * 10.0 ** rng.uniform(-3.0, 3.0, (_PROBES, 1))
    x[::2] = np.abs(x[::2])  # σ may be defined on the positive side only
    if start is not None:
        near = start[:_PROBES] * rng.uniform(0.5, 1.5, start[:_PROBES].shape)
        x = np.concatenate([x, start[:_PROBES], near])
    times = (0.0, 0.37 * t_end, t_end)
    with np.errstate(all="ignore"):
        sigmas = [sde.diffusion(t, x) for t in times]
        inside = np.all([np.isfinite(s).all(axis=(1, 2)) for s in sigmas], axis=0)
        x, sigmas = x[inside], [s[inside] for s in sigmas]
        if len(x) < 2:
            return SCALAR if sde.noise_dim == 1 else GENERAL
        if all(np.abs(s - s[0]).max() <= _SAME * np.abs(s).max() for s in sigmas):
            return ADDITIVE
        if sde.noise_dim == 1:
            return SCALAR
        if sde.noise_dim == sde.dim and _is_diagonal(sde, times, x, sigmas):
            return DIAGONAL
        return COMMUTATIVE if all(_commutes(sde, t, x, s) for t, s in zip(times, sigmas, strict=True)) else GENERAL


def _is_diagonal(sde, times, x, sigmas):
    if any((s[:, ~np.eye(sde.dim, dtype=bool)] != 0).any() for s in sigmas):
        return False
    rolled = np.roll(x, 1, axis=0)
    for j in range(sde.dim):
        moved = rolled.copy()
        moved[:, j] = x[:, j]  # all other coordinates change, so σ_jj must not
        for t, s in zip(times, sigmas, strict=True):
            change = sde.diffusion(t, moved)[:, j, j] - s[:, j, j]
            if not (np.abs(change) <= _SAME * np.abs(s[:, j, j])).all():
                return False
    return True


def _commutes(sde, t, x, sigma):
    """Whether (∇σ_l) σ_j = (∇σ_j) σ_l at all points, up to the error of differences."""
    size = 1.0 + np.abs(x).max(axis=1)
    length = np.abs(sigma).max(axis=(1, 2))
    eps = (_STEP * size / np.where(length > 0, length, 1.0))[:, None]

    def along(j):
        shift = eps * sigma[:, :, j]
        return (sde.diffusion(t, x + shift) - sde.diffusion(t, x - shift)) / (2 * eps[..., None])

    quotients = np.stack([along(j) for j in range(sde.noise_dim)])  # [j, point, :, l] = (∇σ_l) σ_j
    asymmetry = np.abs(quotients - quotients.transpose(3, 1, 2, 0)).max(axis=(0, 2, 3))
    scale = np.abs(quotients).max(axis=(0, 2, 3))
    return bool((asymmetry <= _CLOSE * scale + _CLOSE * _STEP * length**2 / size).all())
