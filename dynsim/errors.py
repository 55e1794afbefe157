"""What dynsim raises. Everything derives from :class:`DynsimError`."""


class DynsimError(Exception):
    """Root of all errors that dynsim raises on purpose."""


class ArgumentError(DynsimError, ValueError):
    """An argument that cannot be used: the message names it, what it got and what it may be."""


class DataError(DynsimError, ValueError):
    """A data file that cannot be used: missing, empty, ragged, not numeric, or without the column asked for."""


class NotApplicable(DynsimError):
    """The question does not apply to this problem and method; the message says why."""


class NotInterpolating(NotApplicable):
    """A minimum that does not fit all terms, so that no step size makes a scheme converge to it.

    Attributes
    ----------
    residual : float
        The largest ‖∇l_n(θ*)‖.
    stationary : callable
        ``stationary(step_sizes)``: how far the iterates fluctuate about it, from
        :func:`dynsim.stability.stationary_covariance`.
    """

    def __init__(self, message, residual=float("nan"), stationary=None):
        super().__init__(message)
        self.residual = residual
        self.stationary = stationary


class NotALattice(NotApplicable):
    """The states that a chain can reach are not finitely many."""


class TooLarge(DynsimError):
    """The result would not fit in memory; the message says how large it would be and what makes it smaller."""


class Unresolved(NotApplicable):
    """What the grid does not resolve, or a density that its box cuts off; the message says how much.

    Attributes
    ----------
    result : Density or GridFunction
        What was computed.
    error : float
        By how much: the refinement gap, or the mass outside the box.
    """

    def __init__(self, message, result=None, error=float("nan")):
        super().__init__(message)
        self.result = result
        self.error = error


class TooShort(DynsimError):
    """A run from which the average cannot be told with an honest error; the message says why, and what is needed.

    Attributes
    ----------
    estimate : Estimate
        What the run says all the same. Its error is not to be trusted.
    """

    def __init__(self, message, estimate=None):
        super().__init__(message)
        self.estimate = estimate


class InfiniteVariance(NotApplicable):
    """An average of values so heavy-tailed that they have no variance, hence no standard error of the usual kind.

    Attributes
    ----------
    estimate : Estimate
        The average, with an error that is not to be trusted.
    tail_index : float
        The estimated tail index, below 2.
    """

    def __init__(self, message, estimate=None, tail_index=float("nan")):
        super().__init__(message)
        self.estimate = estimate
        self.tail_index = tail_index


class PoorMixing(UserWarning):
    """Chains that have not forgotten where they started: an average over them depends on their starts."""
