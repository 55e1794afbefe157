"""What dynsim raises. Everything derives from :class:`DynsimError`."""


class DynsimError(Exception):
    """Root of all errors that dynsim raises on purpose."""


class ArgumentError(DynsimError, ValueError):
    """An argument that cannot be used: the message names it, what it got and what it may be."""


class DataError(DynsimError, ValueError):
    """A data file that cannot be used: missing, empty, ragged, not numeric, or without the column asked for."""


class NotApplicable(DynsimError):
    """The question does not apply to this problem and method; the message says why."""


class NotALattice(NotApplicable):
    """The states that a chain can reach are not finitely many."""


class TooLarge(DynsimError):
    """The result would not fit in memory; the message says how large it would be and what makes it smaller."""
