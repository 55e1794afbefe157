"""For which step sizes a scheme holds on to a minimum."""

from dynsim.stability.ranges import step_size_range

__all__ = ["step_size_range"]
