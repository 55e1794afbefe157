"""What methods without memory make of a drawn gradient, in a block u (d, W); rule: their numbers."""

from dynsim._kernels.jit import formula, widest_vectors
from dynsim._kernels.methods.common import length, scale_to


@formula
def clip(u, rule):
    """min(1, τ/‖u‖) u; rule: τ."""
    scale_to(rule[0], u)


@formula
def clip_coordinates(u, rule):
    """u_j within ±τ B_j; rule: the τ B_j."""
    widest_vectors()
    for j in range(u.shape[0]):
        for i in range(u.shape[1]):
            u[j, i] = min(max(u[j, i], -rule[j]), rule[j])


@formula
def normalize(u, rule):
    """u/(‖u‖ + β), 0 at 0; rule: β."""
    for i in range(u.shape[1]):
        size = length(u, i) + rule[0]
        factor = 0.0 if size == 0.0 else 1.0 / size
        for j in range(u.shape[0]):
            u[j, i] *= factor
