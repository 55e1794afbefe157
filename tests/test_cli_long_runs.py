"""``dynsim average`` and ``dynsim bifurcation``."""

import json

import numpy as np
import pytest

import dynsim as ds
from dynsim.cli import main


def run(folder, capsys, *arguments):
    """Run, expect exit code 0; return the table and the numbers."""
    assert main([*map(str, arguments), "--out", str(folder)]) == 0
    (numbers,) = folder.glob("*.json")
    return capsys.readouterr().out, json.loads(numbers.read_text())


def test_average_agrees_with_the_exact_chain_where_it_mixes(tmp_path, capsys):
    valleys = ["--a1", "0.4", "--eps", "0.2", "--K", "3"]
    out, numbers = run(
        tmp_path, capsys, "average", "two-valleys", "--scheme", "rr", "--step-size", "0.6", "--x0", "0.4", *valleys
    )
    problem = ds.problems.two_valleys(a1=0.4, eps=0.2, K=3.0)
    exact = ds.markov_chain(problem, ds.RR(0.6), x0=0.4).stationary()
    found = numbers["schemes"]["RR"]
    expected = {
        "loss": float(exact.mass @ problem.loss(exact.x)),
        "θ": float(exact.mean[0]),
        "basin of 0.333": exact.probability(lambda x: x[..., 0] > 0),
    }
    for name, value in expected.items():
        assert found[name]["not_to_be_trusted"] is None
        assert abs(found[name]["value"] - value) < 5 * found[name]["stderr"]
        assert found[name]["stderr"] < 0.05 * abs(value)  # a bar that wide would agree with anything
    other = ds.markov_chain(problem, ds.RR(0.5), x0=0.4).stationary()  # a law that it must be able to tell from RR's
    assert abs(found["θ"]["value"] - float(other.mean[0])) > 5 * found["θ"]["stderr"]
    assert "basin of 0.333" in out
    assert (tmp_path / "average-two-valleys.png").stat().st_size > 10_000


def test_average_says_which_scheme_does_not_mix(tmp_path, capsys):
    out, numbers = run(tmp_path, capsys, "average", "two-valleys", "--n-steps", 4000, "--scheme", "balanced")
    assert "hardly moved" in numbers["schemes"]["Balanced"]["θ"]["not_to_be_trusted"]
    assert "Balanced, θ: not to be trusted" in out
    assert " ± ?" in out


def test_average_runs_until_it_is_accurate(tmp_path, capsys):
    valleys = ["--a1", "0.4", "--eps", "0.2", "--K", "3", "--step-size", "0.6", "--scheme", "sgd"]
    out, numbers = run(tmp_path, capsys, "average", "two-valleys", *valleys, "--until", "0.05")
    assert "SGD: errors of 0.05 of the averages reached after" in out
    assert numbers["settings"]["n_steps"] == 20_000  # the most; the run was shorter
    assert "reached after 20000" not in out
    for found in numbers["schemes"]["SGD"].values():
        assert found["stderr"] < 0.05 * max(abs(found["value"]), found["stderr"] * found["n_effective"] ** 0.5)


def test_average_names_what_is_not_accurate(tmp_path, capsys):
    command = ["average", "egg-carton", "--step-size", "0.015", "--scheme", "sgd", "--n-steps", "1000"]
    out, numbers = run(tmp_path, capsys, *command, "--until", "0.01")
    assert "not reached in 1000 steps for θ1, θ2, basin of (-1.57, 1.57), basin of (1.57, -1.57)" in out
    assert "one term: without noise" in out
    assert numbers["schemes"]["SGD"]["loss"]["value"] == pytest.approx(-100)


def test_bifurcation_finds_the_fixed_point_the_cycle_and_chaos_of_the_egg_carton(tmp_path, capsys):
    out, numbers = run(tmp_path, capsys, "bifurcation", "egg-carton", "--n-values", 3, "--high", 0.04)
    step_size, period = np.array(numbers["step_size"]), np.array(numbers["period"])
    np.testing.assert_allclose(step_size, [0.01, 0.025, 0.04])
    assert numbers["edge_of_stability"] == pytest.approx(0.02)
    assert period.tolist() == [[1, 1], [2, 2], [0, 0]]
    points = np.array(numbers["points"])[1, 0]
    np.testing.assert_allclose(points, -42.566236, atol=1e-5)  # −100 cos x, 2x = 2.5 sin x
    exponents = {float(eta): found[0] for eta, found in numbers["exponents"].items()}
    chaos = [eta for eta, found in exponents.items() if found["value"] > 5 * found["stderr"]]
    assert chaos == [0.04]
    assert "a cycle of 2" in out
    assert "chaos" in out
    assert (tmp_path / "bifurcation-egg-carton.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["average", "egg-carton"], "--step-size must be given"),
        (["average", "two-valley"], "did you mean 'two-valleys'"),
        (["average", "two-valleys", "--scheme", "srg"], "--scheme is not known: got 'srg'"),
        (["average", "two-valleys", "--until", "0"], "until must be a positive finite number"),
        (["average", "two-valleys", "--x0", "1", "2"], "x0 must"),
        (["average", "two-valleys", "--K", "-1"], "K must"),
        (["average", "quadratic", "--step-size", "5", "--n-steps", "4000", "--n-paths", "8"], "is not known"),
        (["average", "egg-carton", "--step-size", "nan"], "step_size must be a positive finite number"),
        (["bifurcation", "two-valleys"], "low and high must be given"),
        (["bifurcation", "egg-carton", "--low", "0.05"], "low must be below high"),
        (["bifurcation", "egg-carton", "--quantity", "los"], "quantity is not known: got 'los'; did you mean 'loss'"),
        (["bifurcation", "egg-carton", "--n-values", "1"], "n_values must be a whole number, at least 2"),
        (["bifurcation", "egg-carton", "--burn-in", "-1"], "burn_in must be a whole number, at least 0"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_wrong_input_is_refused_in_one_sentence(arguments, said, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_step_size_at_which_paths_diverge_is_named(tmp_path, capsys):
    command = ["average", "exponential-wings", "--step-size", "9", "--x0", "3", "--scheme", "sgd", "--n-steps", "200"]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "the step size is too large" in capsys.readouterr().err
