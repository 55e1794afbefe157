"""The states of a run that are looked at, from Trajectories or an array."""

from dataclasses import dataclass

import numpy as np

from dynsim import _check
from dynsim.errors import ArgumentError
from dynsim.results import Trajectories

_SPACING = 1e-6  # by how much the times between saves may differ, relatively


def evenly(name: str, t: np.ndarray) -> int:
    """How many of the times of a run are equally spaced: all, or all but the last save, which may be out of step."""
    if t.size < 3:
        return t.size
    spacing = np.diff(np.asarray(t, dtype=np.float64))
    out_of_step = np.abs(spacing - spacing[0]) > _SPACING * abs(spacing[0])
    n = t.size - 1 if out_of_step[-1] else t.size
    if out_of_step[: n - 1].any():
        late = int(np.argmax(out_of_step))
        raise ArgumentError(
            f"{name} must be saved at equally spaced times, but {spacing[0]:g} lies between the first two and "
            f"{spacing[late]:g} after t = {t[late]:g}"
        )
    return n


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

    def even(self) -> "SavedStates":
        """Those at equally spaced times, without a last save that is out of step."""
        n = evenly("run", self.t)
        return SavedStates(self.x[:, :n], self.t[:n], self.alive[:, :n])

    @property
    def whole(self) -> np.ndarray:
        """The paths that stay finite to the end, (n_paths,)."""
        return np.asarray(self.alive.all(axis=1))
