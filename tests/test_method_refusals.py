"""What methods refuse: values out of range, runs that they do not fit, questions that are about SGD alone."""

import numpy as np
import pytest
from test_method_runs import METHODS, STARTS
from test_methods import path

import dynsim as ds
from dynsim import sampling
from dynsim.errors import ArgumentError, NotApplicable


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5, np.nan, "much", None])
def test_momentum_lies_in_0_1(momentum):
    for make in (ds.HeavyBall, ds.Nesterov):
        with pytest.raises(ArgumentError, match=r"momentum must (lie in \[0, 1\)|be a finite number), got"):
            make(0.1, momentum=momentum)


HALF_OPEN = r"must lie in \[0, 1\), got"
MISTAKES = [
    (lambda: ds.RMSProp(0.1, alpha=1.0), f"alpha {HALF_OPEN} 1"),
    (lambda: ds.RMSProp(0.1, eps=0.0), "eps must be a positive finite number, got 0"),
    (lambda: ds.RMSProp(0.1, elementwise="no"), "elementwise must be True or False, got str"),
    (lambda: ds.Adam(0.1, beta1=-0.1), f"beta1 {HALF_OPEN} -0.1"),
    (lambda: ds.Adam(0.1, beta2=1.0), f"beta2 {HALF_OPEN} 1"),
    (lambda: ds.ACClip(0.1, alpha=0.0), "alpha must be a positive finite number, got 0"),
    (lambda: ds.ACClip(0.1, alpha=2.5), r"alpha must lie in \(0, 2\], got 2.5"),
    (lambda: ds.ACClip(0.1, tau0=-1.0), "tau0 must not be negative, got -1"),
    (lambda: ds.noise.AlphaStable(0.0), "alpha must be a positive finite number"),
    (lambda: ds.noise.AlphaStable(2.1), r"alpha must lie in \(0, 2\], got 2.1"),
    (lambda: ds.Clipped(0.1, gamma=0.0), "gamma must be a positive finite number"),
    (lambda: ds.Normalized(0.1, beta=-0.5), "beta must not be negative"),
    (lambda: ds.GClip(0.1, threshold=-1.0), "threshold must be a positive finite number"),
    (lambda: ds.ProjectedGClip(0.1, threshold=1.0, radius=0.0), "radius must be a positive finite number"),
    (lambda: ds.CClip(0.1, threshold=1.0, scales=[1.0, 0.0]), "scales must be positive, got 0"),
    (lambda: ds.SGD(0.1, batch_size="half"), "batch_size is not known: got 'half'; .*'full'"),
    (lambda: ds.SGD(0.1, batch_size=0), "batch_size must be a whole number, at least 1, got 0"),
    (lambda: ds.SGD(0.1, batch_size=2.5), "batch_size must be a whole number"),
    (lambda: ds.SGD(0.1, sampling.GradientNorm(), batch_size="full"), "sampling must not be given, got GradientNorm"),
    (lambda: ds.SGD(0.1, "uniform"), "sampling must be a scheme of dynsim.sampling, .*, got str"),
    (lambda: ds.SGD(0.1, noise=0.3), "noise must be a law of dynsim.noise, .*, got float"),
    (lambda: ds.SGD(-0.1), "step_size must be a positive finite number, got -0.1"),
    (lambda: ds.INGD(delta=0.1, epsilon=1.0, lipschitz=0.5), "lipschitz must be at least epsilon, 1, got 0.5"),
    (lambda: ds.INGD(delta=0.0, epsilon=0.1, lipschitz=1.0), "delta must be a positive finite number"),
    (lambda: ds.StochasticINGD(p=1.0, q=0.0, beta=0.5), "q must be a positive finite number"),
    (lambda: ds.StochasticINGD(p=1.0, q=1.0, beta=1.0), f"beta {HALF_OPEN} 1"),
    (lambda: ds.StochasticINGD.for_target(0.1, 2.0, bound=1.0), "epsilon must be below bound, 1, got 2"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES)
def test_methods_refuse_what_is_out_of_range_when_they_are_made(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


schedule = ds.schedules.Custom
UNFIT = [
    (ds.SGD(schedule(lambda k: 0.1 * (3 - k))), "step_size must be positive .* gives 0 at step 3 of 0 to 9"),
    (ds.HeavyBall(0.1, momentum=schedule(lambda k: 0.3 * k)), r"momentum must be in \[0, 1\) .* gives 1.2 at step 4"),
    (
        ds.Nesterov(0.1, momentum=schedule(lambda k: 0.5 - 0.2 * k)),
        "in every step of the run, but .* gives -0.1 at step 3",
    ),
    (ds.Nesterov(0.1, momentum=schedule(lambda k: np.nan)), "gives nan at step 0"),
    (ds.GClip(0.1, threshold=schedule(lambda k: 3.0 - k)), "must be positive and finite .* gives 0 at step 3"),
    (ds.SGD(0.1, sampling.WithoutReplacement(), batch_size=13), "batch_size must be at most the number of terms, 12"),
    (ds.SGD(0.1, sampling.Reshuffled(), batch_size=13), "without replacement, got 13"),
    (ds.ProjectedGClip(0.1, threshold=1.0, radius=1.0, center=[0.0]), r"center must have shape \(3,\), got \(1,\)"),
    (ds.CClip(0.1, threshold=1.0, scales=[1.0, 2.0]), r"scales must have shape \(3,\), got \(2,\)"),
    (ds.SGD(0.1, noise=ds.noise.Gaussian([1.0, 2.0])), "scale has 2 numbers, one for each coordinate, but dim is 3"),
]


@pytest.mark.parametrize(("method", "message"), UNFIT)
def test_what_does_not_fit_the_run_is_refused_before_it(welsch, method, message):
    with pytest.raises(ArgumentError, match=message):
        ds.iterate(welsch, method, 0.1, n_steps=10)


def test_schedules_that_leave_their_range_after_the_run_do_no_harm(welsch):
    assert path(welsch, ds.SGD(schedule(lambda k: 0.1 * (3 - k))), 0.1, 3).shape == (4, 3)
    assert path(welsch, ds.HeavyBall(0.1, momentum=schedule(lambda k: 0.3 * k)), 0.1, 4).shape == (5, 3)


def test_a_start_where_the_loss_is_not_finite_is_refused():
    problem = ds.problems.exponential_wings()
    start = [[0.0], [1e6], [1.0]]
    with pytest.raises(ArgumentError, match=r"x0 must be where the loss is finite, it is not at \[1000000.0\]"):
        ds.iterate(problem, ds.SGD(0.1), start, n_steps=1, n_paths=3)


def test_rejection_with_a_bound_that_does_not_hold_ends_with_an_error(welsch):
    with pytest.raises(NotApplicable, match="a gradient was larger than its bound in"):
        ds.iterate(welsch, ds.SGD(0.1, sampling.Rejection(0.01)), STARTS, n_steps=10, n_paths=60, rng=0)


OTHERS = {name: method for name, method in METHODS.items() if type(method) is not ds.SGD}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_known_of_sgd_alone_refuses_the_others_by_name(valleys, name):
    method = OTHERS[name]
    with pytest.raises(NotApplicable, match=f"step_size_range is for SGD .*, got {method.name}"):
        ds.step_size_range(valleys, method, at=[0.2])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (ds.SGD(ds.schedules.Geometric(0.1, 0.9)), "needs a constant step size, got Geometric"),
        (ds.SGD(0.04, noise=ds.noise.Gaussian(1.0)), "does not know noise added to the gradient, got Gaussian"),
        (ds.SGD(0.04, batch_size=2), "is for one term drawn in a step, got batch_size=2"),
        (ds.SGD(0.04, batch_size="full"), "is for one term drawn in a step, got batch_size='full'"),
    ],
)
def test_what_is_known_of_plain_sgd_alone_says_what_is_not_plain(valleys, method, message):
    with pytest.raises(NotApplicable, match=message):
        ds.step_size_range(valleys, method, at=[0.2])


def test_dependent_draws_have_no_finite_chain_and_no_step_size_range(valleys):
    method = ds.SGD(0.04, sampling.Reshuffled())
    with pytest.raises(
        NotApplicable, match=r"markov_chain needs steps that do not depend on the draws before, got Reshuffled"
    ):
        ds.markov_chain(valleys, method, x0=0.25)
    with pytest.raises(NotApplicable, match="step_size_range needs steps that do not depend on the draws before"):
        ds.step_size_range(valleys, method, at=[0.2])


def test_a_schedule_of_one_s_own_is_looked_at_in_every_step():
    class Wave(ds.schedules.Schedule):
        def _values(self, k):
            return 0.1 * np.cos(2 * np.pi * k / 10)

    with pytest.raises(
        ArgumentError, match=r"step_size must be positive and finite in every step of the run, but .* step 3"
    ):
        ds.iterate(ds.problems.quadratic([1.0]), ds.SGD(Wave()), 1.0, n_steps=11)
