r"""The generator matrix of an Itô diffusion on a product grid, a Markov chain that jumps between near cells.

    L f = μ·∇f + ½ D : ∇∇f ≈ Σ_k ½ w_k [B(−z_k) (f(x + e_k) − f(x)) + B(z_k) (f(x − e_k) − f(x))]

with D = Σ_k w_k e_k e_kᵀ, Selling's reduction into integer vectors, μ = Σ_k v_k e_k, z_k = 2 v_k / w_k and
B(z) = z/(e^z − 1). All coefficients are those of the cell that one leaves, as Itô's formula has them. The rates are
nonnegative for any positive semidefinite D, their mean displacement per time is μ, and they tend to those of the
upwind scheme as D → 0.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dynsim import _check
from dynsim._typing import ArrayLike
from dynsim.errors import ArgumentError

SCHEMES = ("exponential", "hybrid", "central")  # in the order of the kernel's numbers
SIDES = ("reflecting", "periodic", "absorbing")
_LEAST_REACH = 2


class BadCell(ArgumentError):
    """Coefficients that cannot be used; ``cell`` is the flat index of the first cell that has them."""

    def __init__(self, message: str, cell: int):
        super().__init__(message)
        self.cell = cell


@dataclasses.dataclass(frozen=True)
class GeneratorReport:
    """What a generator matrix is made of.

    Attributes
    ----------
    reach : int
        The longest jump along an axis, in cells.
    added_noise : float
        The largest trace, in units of tr D, of what was added to D for the sake of short jumps. It appears where D is
        nearly singular along a direction that is no ratio of small integers, and is at most of order 1/n, with n the
        least number of cells along an axis.
    n_fallbacks : int
        Cells where the hybrid scheme had to be exponential, or where the central scheme has negative rates.
    """

    reach: int
    added_noise: float
    n_fallbacks: int


def generator(
    drift: ArrayLike, noise: ArrayLike, shape: Sequence[int], sides: Sequence[tuple[str, str]], scheme: str
) -> tuple[sparse.csr_array, np.ndarray, GeneratorReport]:
    """Rates of jumps between the cells of a product grid that approximate an Itô diffusion, to second order.

    A jump across a reflecting side is left out, and what it carried along the side given to jumps along it: no flux
    crosses, to second order where jumps have reach 1, and detailed balance stays. (Clamping the end of the jump to the
    grid would reflect along the normal, not along D n: an error that no refinement cures.) A jump across an absorbing
    side kills, at the rate that puts the zero of the density on the face.

    Parameters
    ----------
    drift : array_like, shape (m, d)
        μ at the cell centers, in cells per time: μ_i / h_i. The dimension d is at most 3.
    noise : array_like, shape (m, d, d)
        D = σσᵀ in the same units, D_ij / (h_i h_j); positive semidefinite, of any rank.
    shape : sequence of int
        Cells along each axis; the m cells are in C order.
    sides : sequence of pairs
        For each axis what its low and its high side are: ``"reflecting"``, ``"absorbing"``, or both ``"periodic"``.
    scheme : {"exponential", "hybrid", "central"}
        Exponentially fitted rates, positive and exact for constant coefficients in detailed balance; or centered
        differences of the drift, more accurate for moments, in cells where that is positive (hybrid) or everywhere,
        where rates may be negative (central).

    Returns
    -------
    rates : scipy.sparse.csr_array, shape (m, m)
        Rates of jumps from row to column, without a diagonal.
    killing : numpy.ndarray, shape (m,)
        Rates into absorbing sides.
    report : GeneratorReport

    Raises
    ------
    BadCell
        If a drift or D is not finite, or D has an eigenvalue below −1e-12 tr D; an ArgumentError with ``cell``.
    ArgumentError
        If an argument has the wrong shape or an unknown name.

    References
    ----------
    Selling (1874); Bonnans, Ottenwaelter & Zidani, ESAIM: M2AN 38 (2004), for the reduction in such schemes;
    Scharfetter & Gummel (1969) for B.

    Examples
    --------
    >>> rates, killing, _ = generator([[0.0]] * 3, [[[2.0]]] * 3, (3,), [("reflecting", "absorbing")], "exponential")
    >>> rates.toarray().tolist(), killing.tolist()
    ([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [0.0, 0.0, 2.0])
    """
    shape = tuple(_check.count("shape", n) for n in shape)
    d, m = len(shape), int(np.prod(shape))
    drift, noise = _coefficients(drift, noise, d, m)
    box = np.column_stack([shape, _side_numbers(sides, d)]).astype(np.int64)
    number = SCHEMES.index(_check.choice("scheme", scheme, SCHEMES))
    from dynsim._kernels import generator as kernels

    most = m * kernels.ENTRIES[d - 1]
    _check.fits_in_memory("the generator", (m, kernels.ENTRIES[d - 1]), instead="use fewer cells")
    if most >= 2**31:
        raise ArgumentError(f"shape must have fewer than {2**31 // kernels.ENTRIES[d - 1]} cells in all, got {shape}")
    indptr, indices = np.zeros(m + 1, dtype=np.int32), np.empty(most, dtype=np.int32)
    rates, killing = np.empty(most), np.empty(m)
    choices = np.array([number, longest_reach(shape)])
    status, cell, *report = kernels.fill_rows(drift, noise, box, choices, indptr, indices, rates, killing)
    if status == kernels.NOT_FINITE:
        raise BadCell(f"drift or noise is not finite in cell {cell}", cell)
    if status == kernels.NOT_SEMIDEFINITE:
        lowest = np.linalg.eigvalsh(noise[cell])[0]
        raise BadCell(f"noise must be positive semidefinite, got an eigenvalue {lowest:.3g} in cell {cell}", cell)
    nnz = indptr[-1]
    matrix = sparse.csr_array((rates[:nnz].copy(), indices[:nnz].copy(), indptr), shape=(m, m))
    matrix.has_canonical_format = True
    return matrix, killing, GeneratorReport(*report)


def longest_reach(shape: Sequence[int]) -> int:
    """How many cells a jump may go along an axis, √(n/2): its error of order (reach/n)² then equals what D gains."""
    return max(_LEAST_REACH, int(np.ceil(np.sqrt(min(shape) / 2))))


def _coefficients(drift, noise, d, m):
    if not 1 <= d <= 3:
        raise ArgumentError(f"shape must have 1 to 3 axes, got {d}")
    drift = np.ascontiguousarray(drift, dtype=np.float64)
    noise = np.ascontiguousarray(noise, dtype=np.float64)
    for name, array, expected in (("drift", drift, (m, d)), ("noise", noise, (m, d, d))):
        if array.shape != expected:
            raise ArgumentError(f"{name} must have shape {expected}, got {array.shape}")
    return drift, noise


def _side_numbers(sides, d):
    if len(sides) != d or any(len(pair) != 2 for pair in sides):
        raise ArgumentError(f"sides must have a pair (low, high) for each of the {d} axes, got {sides!r}")
    numbers = [[SIDES.index(_check.choice("sides", side, SIDES)) for side in pair] for pair in sides]
    for axis, (low, high) in enumerate(sides):
        if (low == "periodic") != (high == "periodic"):
            raise ArgumentError(f"sides of axis {axis} must both be periodic or neither, got {low!r} and {high!r}")
    return numbers
