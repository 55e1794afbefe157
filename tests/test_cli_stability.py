import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

import dynsim as ds
from dynsim.cli import main
from dynsim.compare.text import with_error


def run(tmp_path, capsys, *arguments):
    """Run, expect exit code 0; return the table and the numbers."""
    assert main(["stability", *map(str, arguments), "--out", str(tmp_path)]) == 0
    (numbers,) = tmp_path.glob("*.json")
    return capsys.readouterr().out, json.loads(numbers.read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Table and numbers for six rows in the plane, found once."""
    folder, out = tmp_path_factory.mktemp("small"), io.StringIO()
    with contextlib.redirect_stdout(out):
        made = ["--n", "6", "--dim", "2", "--disparity", "3", "--fraction", "0.34"]
        assert main(["stability", "linear-regression", *made, "--out", str(folder)]) == 0
    return out.getvalue(), json.loads((folder / "stability-linear-regression.json").read_text())


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Output, numbers and folder for data with more columns than rows."""
    folder, out = tmp_path_factory.mktemp("few"), io.StringIO()
    (folder / "few.csv").write_text("a,b,$c$,y\n1,2,5,1\n2,1,7,3\n")
    with contextlib.redirect_stdout(out):
        data = ["--data", str(folder / "few.csv"), "--target", "y", "--raw"]
        assert main(["stability", "linear-regression", *data, "--out", str(folder)]) == 0
    return out.getvalue(), json.loads((folder / "stability-few.json").read_text()), folder


def problem_of_small():
    return ds.problems.disparate_groups(6, 2, disparity=3, fraction=0.34, rng=0)


def test_every_number_is_that_of_the_functions(small):
    out, numbers = small
    problem = problem_of_small()
    assert "θ* fits all data" in out
    assert numbers["largest_residual_gradient"] == 0
    assert list(numbers["criteria"]) == ["one-step", "lemma", "mean-square", "almost-sure", "deterministic"]
    for criterion, found in numbers["criteria"].items():
        for name, method in (("SGD", ds.SGD(1.0)), ("RR", ds.RR(1.0))):
            span = ds.step_size_range(problem, method, at=problem.minima[0], criterion=criterion)
            assert found[name]["lower"] == pytest.approx(span.lower, rel=1e-6)
            assert found[name]["upper"] == pytest.approx(span.upper, rel=1e-6)


def test_the_table_shows_what_the_numbers_say(small):
    out, numbers = small
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    one_step = numbers["criteria"]["one-step"]
    sgd, rr = one_step["SGD"]["lower"], one_step["RR"]["lower"]
    assert rows["one-step"].split()[1:] == [f"{sgd:.4g}", f"{rr:.4g}", f"{rr / sgd:.3g}"]
    assert "0 (vacuous)" in rows["lemma"]
    assert rows["lemma"].endswith("-")
    assert numbers["criteria"]["lemma"]["RR"]["vacuous"]
    assert "AY (3.11) as printed holds for no step size" in out


def test_the_map_in_the_file_is_that_of_stability_map(small):
    chart = small[1]["map"]
    problem = problem_of_small()
    assert chart["batch_size"] == [1, 4, 6]
    again = ds.stability_map(problem, [ds.SGD(1.0)], chart["step_size"], batch_sizes=chart["batch_size"], criteria=())
    np.testing.assert_allclose(chart["growth"]["SGD"], again.growth[0], rtol=1e-6, atol=1e-9)
    assert np.min(chart["growth"]["SGD"]) < 0 < np.max(chart["growth"]["SGD"])
    assert np.min(chart["growth"]["RR"]) < 0 < np.max(chart["growth"]["RR"])


def test_the_lines_of_the_picture_are_in_the_file_for_all_batch_sizes(small):
    _, numbers = small
    lines, table = numbers["map"]["critical_step_size"], numbers["criteria"]
    problem = problem_of_small()
    for criterion in ("one-step", "mean-square", "deterministic"):
        exact = [
            ds.step_size_range(problem, ds.SGD(1.0, batch_size=B), at=problem.minima[0], criterion=criterion).max
            for B in numbers["map"]["batch_size"]
        ]
        np.testing.assert_allclose(lines[criterion]["SGD"], np.transpose([exact, exact]), rtol=1e-12)
        assert lines[criterion]["RR"][0] == [table[criterion]["RR"]["lower"], table[criterion]["RR"]["upper"]]
    method = dataclasses.replace(ds.RR(1.0), batch_size=4)
    rr = ds.step_size_range(problem, method, at=problem.minima[0], criterion="mean-square")
    low, high = lines["mean-square"]["RR"][1]
    assert low <= rr.upper
    assert high >= rr.lower
    assert high / low < 1.1


def test_the_disparity_widens_the_range_of_RR(tmp_path, capsys):
    ratios = []
    for disparity in (1, 20):
        _, numbers = run(
            tmp_path, capsys, "linear-regression", "--n", 9, "--dim", 1, "--disparity", disparity, "--batch-size", 2
        )
        assert "lemma" not in numbers["criteria"]  # printed for single draws
        assert numbers["settings"] == {"batch_size": 2, "seed": 0, "standardized": False, "intercept": False}
        found = numbers["criteria"]["one-step"]
        ratios.append(found["RR"]["lower"] / found["SGD"]["upper"])
    assert ratios[1] > 3 * ratios[0]


def test_data_that_do_not_interpolate_get_their_fluctuations(tmp_path, capsys):
    (tmp_path / "d.csv").write_text("a,b\n1,2\n2,5\n7,1\n")
    out, numbers = run(
        tmp_path, capsys, "linear-regression", "--data", tmp_path / "d.csv", "--target", "b", "--format", "svg"
    )
    data = ds.problems.load_data(tmp_path / "d.csv", "b")
    problem = ds.problems.linear_model(data.X, data.y, intercept=True, standardize=True)
    best = np.linalg.lstsq(problem.X, problem.y, rcond=None)[0]
    gradients = (problem.X @ best - problem.y)[:, None] * problem.X
    worst = np.linalg.norm(gradients, axis=1).max()
    assert numbers["largest_residual_gradient"] == pytest.approx(worst, rel=1e-9)
    assert f"θ* does not fit all data: the largest residual gradient ‖∇l_n(θ*)‖ is {worst:.4g}" in out
    assert "d.csv: b by a; 3 rows" in out
    assert "columns standardized to mean 0 and deviation 1, intercept added" in out
    assert numbers["settings"]["standardized"]
    assert numbers["settings"]["intercept"]
    sgd = (
        2
        / np.linalg.eigvals(
            np.linalg.solve(problem.X.T @ problem.X, (problem.X.T * (problem.X**2).sum(axis=1)) @ problem.X)
        ).real.max()
    )
    assert numbers["criteria"]["one-step"]["SGD"]["lower"] == pytest.approx(sgd, rel=1e-9)
    found = numbers["stationary_variance"]
    eta = found["step_size"][1]
    assert found["SGD"][1] == pytest.approx(variance_by_iteration(problem.X, gradients, eta), rel=1e-9)
    assert f"{found['RR'][1]:.4g}" in out
    assert (tmp_path / "stability-d.svg").read_bytes().startswith(b"<?xml")


def variance_by_iteration(X, gradients, eta):
    """Tr S of S = E[(I − ηA) S (I − ηA)] + η² E[g gᵀ], by iterating it."""
    n, d = X.shape
    H = np.einsum("nj,nk->njk", X, X)
    steps = np.eye(d) - eta * H
    noise = eta**2 * gradients.T @ gradients / n
    S = np.zeros((d, d))
    for _ in range(3000):
        S = np.einsum("nij,jk,nlk->il", steps, S, steps) / n + noise
    return np.trace(S)


def test_a_file_that_is_fitted_has_no_fluctuations_and_a_picture(few):
    _, numbers, folder = few
    assert numbers["largest_residual_gradient"] == 0  # to rounding, which counts as fitting
    assert numbers["stationary_variance"] == {"step_size": []}
    assert (folder / "stability-few.png").read_bytes().startswith(b"\x89PNG")


def test_data_with_fewer_rows_than_columns_are_fitted_and_their_null_space_is_told(few):
    out, numbers, _ = few
    X = np.array([[1.0, 2.0, 5.0], [2.0, 1.0, 7.0]])
    assert "few.csv: y by a, b, $c$; 2 rows, dim 3" in out
    assert "columns as they are, no intercept" in out
    assert "null space of dimension 1 left out" in out
    assert "θ* fits all data" in out
    assert numbers["null_space"] == 1
    assert not numbers["settings"]["standardized"]
    assert numbers["criteria"]["deterministic"]["SGD"]["lower"] == pytest.approx(
        2 / np.linalg.eigvalsh(X @ X.T / 2)[-1], rel=1e-12
    )
    # one-step, AY (3.10): 2 over the largest eigenvalue of Σ‖x‖² x xᵀ relative to Σ x xᵀ, which is max‖x‖² for 2 rows
    assert numbers["criteria"]["one-step"]["SGD"]["lower"] == pytest.approx(2 / (X**2).sum(axis=1).max(), rel=1e-9)


def test_a_constant_column_is_named(tmp_path, capsys):
    (tmp_path / "d.csv").write_text("a,b,c,y\n1,2,5,1\n2,1,5,3\n3,5,5,4\n")
    arguments = ["--data", str(tmp_path / "d.csv"), "--target", "y", "--out", str(tmp_path)]
    assert main(["stability", "linear-regression", *arguments]) == 2
    assert "column 'c' of d.csv is constant, so it cannot be standardized" in capsys.readouterr().err


def test_two_valleys_without_an_exact_chain_say_so(tmp_path, capsys):
    out, numbers = run(tmp_path, capsys, "two-valleys", "--K", 1e6)
    assert numbers["holds"][0]["critical_step_size"] == pytest.approx(1e-12)
    assert "-: not known, no exact chain of up to 20000 states that rounding resolves." in out


def test_two_valleys_lists_where_each_scheme_holds_and_how_long(tmp_path, capsys):
    out, numbers = run(tmp_path, capsys, "two-valleys", "--K", 4)
    problem = ds.problems.two_valleys(K=4.0)
    sgd = numbers["holds"][0]
    assert (sgd["scheme"], sgd["minimum"]) == ("SGD", 0.25)
    assert sgd["critical_step_size"] == pytest.approx(1 / 4**2)
    assert [hold["scheme"] for hold in numbers["holds"]] == ["SGD", "RR", "Balanced"] * 2
    found = ds.stability.escape_times(problem, ds.SGD(1.0), [0.25], step_sizes=sgd["step_size"])
    assert sgd["log_mean_steps_to_leave"] == pytest.approx(found.log_mean.tolist(), rel=1e-9)
    assert f"{found.mean[0]:.4g}" in out
    assert (np.diff(sgd["log_mean_steps_to_leave"]) < 0).all()
    assert (tmp_path / "stability-two-valleys.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linear-regresion"], "PROBLEM is not known: got 'linear-regresion'; did you mean 'linear-regression'?"),
        (["linear-regression", "--disparity", "0"], "disparity must be at least 1, got 0"),
        (["linear-regression", "--disparity", "-3"], "disparity must be at least 1, got -3"),
        (["linear-regression", "--disparity", "nan"], "disparity must be a finite number, got nan"),
        (["linear-regression", "--raw"], "--raw goes with --data"),
        (["linear-regression", "--n", "0"], "n must be a whole number, at least 2, got 0"),
        (["linear-regression", "--dim", "0"], "dim must be a whole number, at least 1, got 0"),
        (["linear-regression", "--fraction", "1"], "fraction must lie strictly between 0 and 1, got 1.0"),
        (["linear-regression", "--batch-size", "0"], "batch_size must be a whole number, at least 1, got 0"),
        (["linear-regression", "--seed", "-1"], "seed must be a whole number, at least 0, got -1"),
        (["linear-regression", "--target", "a"], "--target goes with --data"),
        (["linear-regression", "--K", "3"], "--K goes with two-valleys"),
        (["linear-regression", "--data", "none.csv", "--target", "a"], "no file and no data set 'none.csv'"),
        (["linear-regression", "--data", "stackloss", "--target", "a"], "stackloss has no column for the target"),
        (["linear-regression", "--data", "stackloss", "--n", "9"], "--n goes with synthetic data, not with --data"),
        (["two-valleys", "--data", "stackloss"], "--data goes with linear-regression"),
        (["two-valleys", "--batch-size", "2"], "--batch-size goes with linear-regression"),
        (["two-valleys", "--a1", "2"], "a1 must lie strictly between 0 and 1, got 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message, tmp_path, capsys):
    assert main(["stability", *arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()


def test_a_number_and_its_error_have_the_same_last_digit():
    assert with_error(0.24713, 0.00123) == "0.2471 ± 0.0012"
    assert with_error(27.1, 0.19) == "27.10 ± 0.19"
    assert with_error(9.96, 12.0) == "10 ± 12"
    assert with_error(0.5, 0.0) == "0.5"
