"""For which step sizes a scheme holds on to a minimum, by every criterion, and how far it fluctuates where it cannot."""

from dynsim.stability.linearized import Terms, terms
from dynsim.stability.ranges import step_size_range

__all__ = ["Terms", "step_size_range", "terms"]
