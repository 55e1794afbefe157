"""The laws of noise against closed forms, integrals of densities, and characteristic functions."""

import functools
import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

import dynsim as ds
from dynsim.errors import ArgumentError, NotApplicable
from dynsim.noise import AlphaStable, Gaussian, Pareto, StudentT, TwoPoint
from dynsim.noise.stable_law import StableLaw

N_DRAWS = 200_000
CONTINUOUS = [
    Gaussian(2.0),
    StudentT(0.8),
    StudentT(2.5, scale=3.0),
    StudentT(1e6),
    Pareto(1.2),
    Pareto(3.5, scale=0.5),
    Pareto(0.5, symmetric=True),
    Pareto(2.5, scale=2.0, symmetric=True),
]
STABLE = [
    AlphaStable(0.5, 1.0),
    AlphaStable(0.5, -1.0, scale=2.0),
    AlphaStable(0.7, -0.5),
    AlphaStable(0.95, 1.0),
    AlphaStable(1.0),
    AlphaStable(1.0, 0.7, scale=2.0),
    AlphaStable(1.0, -1.0),
    AlphaStable(1.05, 0.3),
    AlphaStable(1.5),
    AlphaStable(1.5, 1.0, scale=0.3),
    AlphaStable(1.9, -0.6),
    AlphaStable(2.0, 0.5),
]
LAWS = [*CONTINUOUS, *STABLE]
FALSE_ALARM = 1e-4 / len(LAWS)  # Bonferroni


@functools.cache
def draw(law, seed=0):
    return law.sample(N_DRAWS, rng=seed)


def p_value_on_grid(x, cdf):
    """Kolmogorov–Smirnov with the distance looked at in 80 points only: never smaller than the true p-value."""
    points = np.quantile(x, np.linspace(0.0005, 0.9995, 80))
    distance = np.abs(np.searchsorted(np.sort(x), points, side="right") / x.size - cdf(points)).max()
    return stats.kstwobign.sf(math.sqrt(x.size) * distance)


def unit(law):
    """The law of ξ/s, from elsewhere."""
    if isinstance(law, Gaussian):
        return stats.norm()
    if isinstance(law, StudentT):
        return stats.t(law.df)
    if isinstance(law, Pareto) and not law.symmetric:
        return stats.pareto(law.alpha, loc=-law.alpha / (law.alpha - 1))
    if isinstance(law, Pareto):
        a = law.alpha
        return lambda x: np.where(x < 0, 0.5 * np.abs(x) ** -a, 1 - 0.5 * np.abs(x) ** -a)
    return AlphaStable(law.alpha, law.beta)  # tested by inversion of its characteristic function


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_draws_have_the_law(law):
    reference = unit(law)
    cdf = getattr(reference, "cdf", reference)
    assert p_value_on_grid(draw(law) / law.scale, cdf) > FALSE_ALARM


@pytest.mark.parametrize(
    ("law", "wrong"),
    [
        (Gaussian(2.0), Gaussian(2.08)),
        (StudentT(2.5), StudentT(3.2)),
        (Pareto(1.2), Pareto(1.24)),
        (AlphaStable(1.5), AlphaStable(1.4)),
        (AlphaStable(1.5, 0.5), AlphaStable(1.5, 0.42)),
    ],
    ids=repr,
)
def test_the_test_of_the_law_notices_a_parameter_wrong_by_a_few_percent(law, wrong):
    assert p_value_on_grid(draw(wrong), law.cdf) < FALSE_ALARM


ALL = [*LAWS, TwoPoint(0.01, scale=3.0)]
ORDERS = (0.2, 0.45, 1.0, 1.1, 1.7, 2.0, 3.0)


@pytest.mark.parametrize("law", ALL, ids=repr)
def test_moments_of_draws_are_as_stated(law):
    x = np.abs(draw(law, seed=0))
    for q in ORDERS:
        if 2 * q < law.tail_index:
            error = math.sqrt((law.moment(2 * q) - law.moment(q) ** 2) / x.size)
            assert abs(np.mean(x**q) - law.moment(q)) < 5 * error
            assert abs(np.mean((1.05 * x) ** q) - law.moment(q)) > 5 * error or q * 0.05 * law.moment(q) < 10 * error


@pytest.mark.parametrize(
    "law",
    [
        *(Gaussian(2.0), StudentT(0.8), StudentT(2.5, scale=3.0)),
        *(AlphaStable(1.5, 0.5), AlphaStable(0.7, -0.5), AlphaStable(1.0, 0.7, scale=2.0)),
    ],
    ids=repr,
)
def test_moments_are_integrals_of_the_density(law):
    """∫ |x|^q p dx with x = ±e^y."""
    y = np.linspace(-25, 60, 401 if isinstance(law, AlphaStable) else 40_001)
    x = np.exp(y)
    density = law.pdf(x) + law.pdf(-x)
    for q in (q for q in ORDERS if q < 0.7 * law.tail_index):
        assert integrate.trapezoid(x ** (q + 1) * density, y) == pytest.approx(float(law.moment(q)), rel=1e-3)


@pytest.mark.parametrize("law", [Pareto(1.2), Pareto(3.5, scale=0.5), Pareto(0.5, symmetric=True)], ids=repr)
def test_moments_are_integrals_of_quantiles(law):
    """∫ |x(u)|^q du with u = 1/(1 + e^−v)."""
    v = np.linspace(-34, 34, 20_001)
    u = special.expit(v)
    x = np.abs(law.quantile(u))
    for q in (q for q in ORDERS if q < 0.7 * law.tail_index):
        assert integrate.trapezoid(x**q * u * special.expit(-v), v) == pytest.approx(float(law.moment(q)), rel=1e-3)


def test_moments_are_infinite_from_the_tail_index_on_and_finite_below():
    for law in ALL:
        if law.tail_index < 100:
            assert law.moment(law.tail_index) == np.inf
            assert np.isfinite(law.moment(0.999 * law.tail_index))
        else:
            assert np.isfinite(law.moment(40))


@pytest.mark.parametrize(
    ("law", "tail_index", "mean", "variance"),
    [
        (Gaussian(3.0), np.inf, 0, 9),
        (StudentT(1.0), 1, np.nan, np.inf),
        (StudentT(1.5), 1.5, 0, np.inf),
        (StudentT(4.0, scale=2.0), 4, 0, 8),
        (Pareto(1.5), 1.5, 0, np.inf),
        (Pareto(3.0, scale=2.0), 3, 0, 3),
        (Pareto(1.0, symmetric=True), 1, np.nan, np.inf),
        (Pareto(3.0, scale=2.0, symmetric=True), 3, 0, 12),
        (AlphaStable(2.0, scale=3.0), np.inf, 0, 18),
        (AlphaStable(1.5, 1.0), 1.5, 0, np.inf),
        (AlphaStable(1.0, 0.5), 1, np.nan, np.inf),
        (AlphaStable(0.5, 1.0), 0.5, np.inf, np.inf),
        (AlphaStable(1.0, -1.0), 1, -np.inf, np.inf),
        (TwoPoint(0.2, scale=5.0), np.inf, 0, 4),
    ],
    ids=repr,
)
def test_tail_index_mean_and_variance(law, tail_index, mean, variance):
    assert law.tail_index == tail_index
    np.testing.assert_equal(law.mean, mean)
    assert law.variance == pytest.approx(variance, rel=1e-14)


@pytest.mark.parametrize("law", [law for law in ALL if law.tail_index > 2], ids=repr)
def test_draws_have_mean_0(law):
    x = draw(law)
    error = math.sqrt(law.variance / x.size)
    assert abs(x.mean()) < 5 * error
    assert abs(x.mean() + 0.02 * math.sqrt(law.variance)) > 5 * error


# ---- stable laws ----


def cf_errors(x, phi, t):
    """Real and imaginary parts of the empirical minus the exact characteristic function, in standard errors."""
    exact, doubled = phi(t), phi(2 * t)
    real = np.sqrt((0.5 * (1 + doubled.real) - exact.real**2) / x.size)
    imaginary = np.sqrt((0.5 * (1 - doubled.real) - exact.imag**2) / x.size)
    found = np.exp(1j * np.outer(t, x)).mean(axis=1)
    return np.concatenate([(found - exact).real / real, (found - exact).imag / imaginary])


FREQUENCIES = np.array([-0.9, 0.05, 0.3, 1.0, 2.5])


def characteristic(law):
    """By the definition, for one frequency at a time."""

    def phi(t):
        st, a = t * law.scale, law.alpha
        skew = -2 / math.pi * math.log(abs(st)) if a == 1 else math.tan(math.pi * a / 2)
        return np.exp(-(abs(st) ** a) * (1 - 1j * law.beta * math.copysign(1, st) * skew))

    return lambda t: np.array([phi(s) for s in t])


@pytest.mark.parametrize("law", STABLE, ids=repr)
def test_stable_draws_have_the_characteristic_function(law):
    x = draw(law)
    phi = characteristic(law)
    np.testing.assert_allclose(law.characteristic_function(FREQUENCIES), phi(FREQUENCIES), rtol=1e-12)
    assert np.abs(cf_errors(x, phi, FREQUENCIES)).max() < 5
    assert np.abs(cf_errors(1.05 * x, phi, FREQUENCIES)).max() > 5
    if law.beta and law.alpha < 2:
        assert np.abs(cf_errors(-x, phi, FREQUENCIES)).max() > 5
        assert np.abs(cf_errors(x + 0.1 * law.scale, phi, FREQUENCIES)).max() > 5


def test_the_characteristic_function_at_0_is_1():
    for law in STABLE:
        assert law.characteristic_function(0.0) == 1


@pytest.mark.parametrize(
    ("law", "closed_form"),
    [
        (AlphaStable(2.0, scale=3.0), stats.norm(scale=3 * math.sqrt(2))),
        (AlphaStable(1.0, scale=3.0), stats.cauchy(scale=3)),
        (AlphaStable(0.5, 1.0, scale=3.0), stats.levy(scale=3)),
        (AlphaStable(0.5, -1.0, scale=3.0), stats.levy_l(scale=3)),
    ],
    ids=["normal", "Cauchy", "Lévy", "Lévy, reflected"],
)
def test_stable_laws_with_closed_forms(law, closed_form):
    x, q = np.array([-7.0, -0.5, 0.1, 4.0, 1e6]), np.array([0.01, 0.5, 0.9])
    np.testing.assert_allclose(law.pdf(x), closed_form.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x), closed_form.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(law.quantile(q), closed_form.ppf(q), rtol=1e-12)
    assert p_value_on_grid(draw(law), closed_form.cdf) > FALSE_ALARM


@pytest.mark.parametrize("beta", [1.0, -1.0])
def test_totally_skewed_laws_with_alpha_below_1_keep_to_their_half_line(beta):
    for alpha in (0.2, 0.5, 0.9, 0.999):
        assert (beta * draw(AlphaStable(alpha, beta)) > 0).all()


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [(1.5, 0.0), (1.5, 0.5), (1.2, 1.0), (1.99, -1.0), (1.05, 0.3), (0.95, 1.0), (0.9, -0.3), (1.0, 0.5), (1.0, -1.0)],
)
def test_density_and_distribution_function_invert_the_characteristic_function(alpha, beta):
    """F(x) = ½ − ∫ Im(e^{−itx} φ(t))/(πt) dt, p(x) = ∫ Re(e^{−itx} φ(t))/π dt."""
    law = AlphaStable(alpha, beta)
    phi, end = characteristic(law), 40 ** (1 / alpha)
    for x in (-3.0, -1e-3, 1e-7, 0.0, 0.2, 4.0, 30.0):

        def turned(t, x=x):
            return phi([t])[0] * np.exp(-1j * t * x)

        below = 0.5 - integrate.quad(lambda t: turned(t).imag / t, 0, end, limit=500, epsabs=1e-11)[0] / math.pi
        density = integrate.quad(lambda t: turned(t).real, 0, end, limit=500, epsabs=1e-11)[0] / math.pi
        assert law.cdf(x) == pytest.approx(below, abs=1e-9)
        assert law.pdf(x) == pytest.approx(density, abs=1e-8)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (0.5, -1.0), (0.5, 0.0), (0.3, 0.4)])
def test_stable_laws_of_small_index_are_those_of_scipy(alpha, beta):
    """Its own values are off by up to 1e-3 near 0."""
    x = np.array([-1e4, -3.0, -0.2, 0.2, 5.0, 1e4])
    law, scipys = AlphaStable(alpha, beta), stats.levy_stable(alpha, beta)
    mine = StableLaw(alpha, beta, *law._ends)  # not the closed form
    np.testing.assert_allclose(mine.cdf(x), scipys.cdf(x), atol=1e-8)
    np.testing.assert_allclose(mine.pdf(x), scipys.pdf(x), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("law", [law for law in STABLE if law.alpha < 2], ids=repr)
def test_tails_of_stable_laws_are_powers_far_out(law):
    """P(X > x) → (1 + β) Γ(α) sin(πα/2) x^−α / π, and its derivative."""
    x = 1e9 if law.alpha >= 0.9 else 1e30
    both = 2 * special.gamma(law.alpha) * math.sin(math.pi * law.alpha / 2) / math.pi * (x / law.scale) ** -law.alpha
    assert law.cdf(-x) == pytest.approx((1 - law.beta) / 2 * both, rel=1e-6, abs=1e-25)
    assert law.pdf(x) == pytest.approx(law.alpha / x * (1 + law.beta) / 2 * both, rel=1e-6, abs=1e-45)
    assert law.pdf(-x) == pytest.approx(law.alpha / x * (1 - law.beta) / 2 * both, rel=1e-6, abs=1e-45)


def test_the_moment_for_alpha_1_with_vanishing_skewness_is_cauchys():
    for q in (0.2, 0.5, 0.9):
        assert AlphaStable(1.0, 1e-9).moment(q) == pytest.approx(1 / math.cos(math.pi * q / 2), rel=1e-7)


# ---- tails ----


def tail(law, x):
    """P(|ξ| > x), far out."""
    if isinstance(law, AlphaStable):  # both sides' leading terms; the next is smaller by x^−α
        return 2 / math.pi * special.gamma(law.alpha) * math.sin(math.pi * law.alpha / 2) * x**-law.alpha
    return 2 * unit(law).sf(x) if isinstance(law, StudentT) else unit(law).sf(x) if not law.symmetric else x**-law.alpha


HEAVY = [
    StudentT(0.8),
    StudentT(1.5),
    Pareto(1.2),
    Pareto(0.5, symmetric=True),
    AlphaStable(1.5, 0.3),
    AlphaStable(0.6),
]


@pytest.mark.parametrize("law", HEAVY, ids=repr)
def test_counts_far_out_are_as_expected(law):
    x = np.abs(law.sample(10**6, rng=5))
    for expected in (1000, 100, 10):
        at = (expected / 1e6 / tail(law, 1e6) * 1e6**-law.tail_index) ** (-1 / law.tail_index)
        count = stats.binom(10**6, tail(law, at))
        n = np.count_nonzero(x > at)
        assert min(count.cdf(n), count.sf(n - 1)) > 1e-6
        thinner = np.count_nonzero(x > 2 * at)  # half as far
        assert expected < 1000 or count.cdf(thinner) < 1e-6


@pytest.mark.parametrize("law", [Pareto(0.05, symmetric=True), AlphaStable(0.05, 1.0), StudentT(0.05)], ids=repr)
def test_no_draw_is_so_large_that_its_square_overflows(law):
    x = draw(law)
    assert np.isfinite(x * x).all()
    assert np.abs(x).max() > 1e100


# ---- two points ----


def test_two_points_are_those_of_zhangs_oracle():
    """Z (4.5): x − 1/(2γ) with probability p, else x; its mean is x − p/(2γ)."""
    gamma, p, x = 0.25, 0.03, 0.4
    noise = TwoPoint(p, scale=1 / (2 * gamma))
    gradient = x - p / (2 * gamma) + noise.sample(N_DRAWS, rng=6)
    low = np.abs(gradient - (x - 1 / (2 * gamma))) < 1e-12
    assert np.abs(gradient[~low] - x).max() < 1e-12
    assert abs(low.mean() - p) < 5 * math.sqrt(p * (1 - p) / N_DRAWS)


def test_distribution_of_two_points():
    law = TwoPoint(0.3, scale=2.0)
    low, high = law.values
    np.testing.assert_allclose(law.cdf([low - 1e-9, low, high - 1e-9, high, np.nan]), [0, 0.3, 0.3, 1, np.nan])
    np.testing.assert_array_equal(law.quantile([0, 0.3, 0.31, 1, 1.1]), [low, low, high, high, np.nan])
    with pytest.raises(NotApplicable, match="no density"):
        law.pdf(0.0)


# ---- distribution functions, shapes, scales ----


@pytest.mark.parametrize("law", [*CONTINUOUS, AlphaStable(0.5, 1.0), AlphaStable(1.5, 0.5)], ids=repr)
def test_quantiles_invert_the_distribution_function_and_the_density_is_its_derivative(law):
    q = np.array([0.03, 0.4, 0.6, 0.9])
    x = law.quantile(q)
    np.testing.assert_allclose(law.cdf(x), q, rtol=1e-7)
    h = 1e-4 * np.abs(x)
    np.testing.assert_allclose((law.cdf(x + h) - law.cdf(x - h)) / (2 * h), law.pdf(x), rtol=1e-4)
    assert np.isnan(law.cdf(np.nan))


def test_scales_are_one_for_each_coordinate():
    law, one = AlphaStable(1.5, 0.5, scale=[1.0, 10.0]), AlphaStable(1.5, 0.5)
    assert law.scale == (1.0, 10.0)
    x = law.sample((N_DRAWS, 2), rng=7)
    for j, scale in enumerate(law.scale):
        assert p_value_on_grid(x[:, j] / scale, one.cdf) > FALSE_ALARM
    np.testing.assert_allclose(law.moment(1.0), one.moment(1.0) * np.array([1.0, 10.0]))
    at = np.array([[0.5, 3.0], [-1.0, 20.0]])
    np.testing.assert_allclose(law.cdf(at)[:, 1], one.cdf(at[:, 1] / 10))
    np.testing.assert_allclose(law.pdf(at)[:, 1], one.pdf(at[:, 1] / 10) / 10)
    with pytest.raises(ArgumentError, match="shape must end with 2"):
        law.sample(5)
    with pytest.raises(ArgumentError, match=r"x must have shape \(\.\.\., 2\)"):
        law.cdf(1.0)
    with pytest.raises(ArgumentError, match="scale has 2 numbers, one for each coordinate, but dim is 3"):
        law.params(3)


@given(st.lists(st.integers(0, 5), max_size=3).map(tuple), st.integers(0, 10))
def test_samples_have_the_shape_asked_for_and_repeat_with_the_seed(shape, seed):
    law = StudentT(3.0)
    x = law.sample(shape, rng=seed)
    assert x.shape == shape
    np.testing.assert_array_equal(x, law.sample(shape, rng=seed))


def test_a_longer_sample_begins_like_a_shorter_one():
    law = Pareto(2.0)
    np.testing.assert_array_equal(law.sample(10_001, rng=1)[:77], law.sample(77, rng=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0.0), "scale must be a positive finite number, got 0.0"),
        (lambda: Gaussian("a"), "scale must be a positive finite number, got 'a'"),
        (lambda: Gaussian((1.0, -1.0)), "scale must be positive, one number or one for each coordinate"),
        (lambda: Gaussian(()), "scale must be positive"),
        (lambda: Gaussian((1.0, np.nan)), "scale must be finite"),
        (lambda: Gaussian(np.ones((2, 2))), "scale must have 1 axes"),
        (lambda: StudentT(0), "df must be a positive finite number, got 0"),
        (lambda: Pareto(1.0), "alpha must be above 1, got 1: the one-sided law has no mean"),
        (lambda: Pareto(-1.0, symmetric=True), "alpha must be a positive finite number"),
        (lambda: Pareto(2.0, symmetric=1), "symmetric must be True or False"),
        (lambda: AlphaStable(2.1), r"alpha must lie in \(0, 2\], got 2.1"),
        (lambda: AlphaStable(0), "alpha must be a positive finite number, got 0"),
        (lambda: AlphaStable(1.5, -1.1), r"beta must lie in \[-1, 1\], got -1.1"),
        (lambda: TwoPoint(1.0), "p must lie strictly between 0 and 1, got 1.0"),
        (lambda: Gaussian().moment(0), "order must be a positive finite number"),
        (lambda: Gaussian().cdf("a"), "x must be numbers, got str"),
        (lambda: Gaussian().sample(2.5), "shape must be a whole number"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    "law", [Gaussian(), Pareto(2.0, symmetric=True), AlphaStable(1.5, 0.5), TwoPoint(0.1)], ids=repr
)
def test_laws_draw_themselves(law):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert law.plot(ax) is ax
    assert ax.get_legend().get_texts()[0].get_text() == repr(law).replace("scale=1.0", "").replace(", )", ")").replace(
        ", ,", ","
    )


def test_iterates_on_a_parabola_under_stable_noise_become_stable_with_the_stationary_scale():
    eta, h, alpha = 0.5, 1.2, 1.4
    xi = AlphaStable(alpha, scale=2.0).sample((40, 100_000), rng=8)
    theta = np.zeros(100_000)
    for noise in xi:
        theta = (1 - eta * h) * theta - eta * noise
    scale = oracles.stable_stationary_scale(alpha, 2.0, eta, h)
    assert p_value_on_grid(theta, AlphaStable(alpha, scale=scale).cdf) > FALSE_ALARM
    assert p_value_on_grid(theta, AlphaStable(alpha, scale=1.05 * scale).cdf) < FALSE_ALARM


def test_the_public_module_is_there():
    assert ds.noise.Gaussian is Gaussian
