"""The states of a run that are looked at, from Trajectories or an array."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.results import Trajectories


@dataclass(frozen=True, eq=False)
class SavedStates:
    """States x (n_paths, n_saved, dim) at times t (n_saved,); ``alive`` (n_paths, n_saved) where they are finite."""

    x: np.ndarray
    t: np.ndarray
    alive: np.ndarray

    @classmethod
    def of(cls, run, dim, every=1):
        """Each ``every``-th state of a run, which may be Trajectories or an array (n_saved, dim), or of several."""
        every = _check.count("every", every)
        if isinstance(run, Trajectories):
            x, t = _check.points("run", run.x, dim), run.t
            alive = np.isfinite(x).all(axis=-1) & (t < run.diverged[:, None])
        else:
            x = _check.points("run", run, dim)
            x = x[None] if x.ndim == 2 else x
            if x.ndim != 3:
                raise ArgumentError(
                    f"run must be Trajectories or have shape (n_saved, {dim}) or (n_paths, n_saved, {dim}), "
                    f"got {np.shape(run)}"
                )
            t, alive = np.arange(x.shape[1]), np.isfinite(x).all(axis=-1)
        if not alive.any():
            raise ArgumentError(f"run must have at least one finite state, got shape {x.shape}")
        return cls(x[:, ::every], t[::every], alive[:, ::every])

    @property
    def whole(self) -> np.ndarray:
        """The paths that stay finite to the end, (n_paths,)."""
        return np.asarray(self.alive.all(axis=1))
