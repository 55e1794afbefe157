"""Z Theorem 6.4.6: the weights that SGD with weight decay does not leave."""

import math
from dataclasses import dataclass

from dynsim import _check
from dynsim.errors import ArgumentError, NotApplicable, TooLarge

_SQRT_2 = math.sqrt(2)
_MOST_STEPS = 10**7  # seconds
_LARGEST_LOG = 700.0  # of a float


@dataclass(frozen=True, eq=False)
class WeightBound:
    """The ball of weights that SGD with weight decay does not leave, from :func:`dynsim.theory.theorem_6_4_6`.

    Attributes
    ----------
    largest : float
        The largest w, (γ/(c_ℓ c_σ^L))^{1/(L−2)}.
    loss_bound : float
        log d + c_ℓ (c_σ w)^L, which the loss without the penalty does not exceed.
    printed_loss_bound : float
        The paper's, log d + (γ/(c_ℓ c_σ²))^{L/(L−2)}: it lacks a factor c_ℓ.
    decay, layers : float, int
        γ and L.
    """

    largest: float
    loss_bound: float
    printed_loss_bound: float
    decay: float
    layers: int

    def norm_after(self, n_steps: int, norm: float, step_size: float) -> float:
        """What the largest ‖W_l‖ is at most after so many steps, from ``norm`` ≤ ``largest``.

        r → (1 − ηγ) r + ηγ r (r/w)^{L−2}, which falls to 0 from every r < w: all that the theorem keeps bounded dies
        out, so that it says nothing about networks that have learned.
        """
        n_steps, norm = _check.count("n_steps", n_steps, least=0), _check.positive("norm", norm)
        if norm > self.largest:
            raise ArgumentError(f"norm must be at most {self.largest:g}, got {norm:g}")
        if _check.positive("step_size", step_size) > 1 / self.decay:
            raise ArgumentError(f"step_size must be at most 1/decay = {1 / self.decay:g}, got {step_size:g}")
        if n_steps > _MOST_STEPS:
            raise TooLarge(f"n_steps must be at most {_MOST_STEPS}, one after the other, got {n_steps}")
        for _ in range(n_steps):
            norm *= 1 - step_size * self.decay * (1 - (norm / self.largest) ** (self.layers - 2))
        return norm


def theorem_6_4_6(
    decay: float,
    layers: int,
    *,
    n_classes: int,
    loss_slope: float = _SQRT_2,
    activation_slope: float = 1.0,
) -> WeightBound:
    """Z Theorem 6.4.6: a ball of weights of a deep network that SGD with weight decay γ and η ≤ 1/γ does not leave.

    Within ‖W_l‖ ≤ w the gradient of a layer is at most c_ℓ c_σ^L w^{L−1} ≤ γ w, for inputs of norm at most 1. By Lemma
    6.4.5 the cross-entropy −x_y + log Σ e^{x_j} (the paper's (6.9) has the other sign) is √2-Lipschitz.

    Parameters
    ----------
    decay : float
        γ > 0.
    layers : int
        L, at least 3: the exponent 1/(L − 2) is infinite for two layers and the inequality turns round for one.
    n_classes : int
        d.
    loss_slope, activation_slope : float, optional
        c_ℓ and c_σ.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or a bound is out of that of floats.
    NotApplicable
        For fewer than three layers.

    Examples
    --------
    >>> import dynsim as ds
    >>> ball = ds.theory.theorem_6_4_6(1e-4, 5, n_classes=10)
    >>> round(ball.largest, 4), round(ball.norm_after(200_000, 0.9 * ball.largest, 0.1), 4)
    (0.0414, 0.0078)
    """
    gamma, n_classes = _check.positive("decay", decay), _check.count("n_classes", n_classes)
    layers = _check.count("layers", layers)
    c_loss, c_act = _check.positive("loss_slope", loss_slope), _check.positive("activation_slope", activation_slope)
    if layers < 3:
        raise NotApplicable(
            f"Z Theorem 6.4.6 is for at least 3 layers, got {layers}: its bound is one of w^(L−2), L the layers"
        )
    log_w = (math.log(gamma) - math.log(c_loss) - layers * math.log(c_act)) / (layers - 2)
    log_loss = math.log(c_loss) + layers * (math.log(c_act) + log_w)
    log_printed = (math.log(gamma) - math.log(c_loss) - 2 * math.log(c_act)) * layers / (layers - 2)
    if max(map(abs, (log_w, log_loss, log_printed))) > _LARGEST_LOG:
        raise ArgumentError(
            f"decay = {gamma:g}, loss_slope = {c_loss:g} and activation_slope = {c_act:g} give the bounds "
            f"e^{log_w:.3g} of the weights and e^{log_loss:.3g} of the loss, which no float holds"
        )
    loss, printed = (math.log(n_classes) + math.exp(value) for value in (log_loss, log_printed))
    return WeightBound(math.exp(log_w), loss, printed, gamma, layers)
