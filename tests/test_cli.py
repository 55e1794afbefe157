import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import dynsim as ds
from dynsim.cli import main

SMALL = ["--n-paths", "200", "--n-steps", "300"]


def refuse(capsys, *arguments):
    """Run, expect exit code 2, and return the one line on standard error."""
    assert main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_compare_writes_a_table_a_picture_and_the_numbers(tmp_path, capsys, file_format):
    out = tmp_path / "new" / "folder"
    assert main(["compare", "two-valleys", *SMALL, "--out", str(out), "--format", file_format]) == 0
    table = capsys.readouterr().out
    for name in ("SGD", "RR", "Balanced", "7.31", "157.5", "0.0588"):
        assert name in table
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[file_format]
    assert (out / f"compare-two-valleys.{file_format}").read_bytes().startswith(start)
    numbers = json.loads((out / "compare-two-valleys.json").read_text())
    assert numbers["settings"]["seed"] == 0
    sgd = numbers["schemes"]["SGD"]
    assert sgd["stationary"]["chain_log_mass"] == pytest.approx(np.log(7.3146e-53), rel=1e-4)
    where = np.array(sgd["in_valley"]["simulated"]) - sgd["in_valley"]["exact"]
    assert (np.abs(where) <= 5 * np.array(sgd["in_valley"]["stderr"])).all()


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tmp_path):
    texts = []
    for seed in (1, 1, 2):
        main(["compare", "two-valleys", *SMALL, "--out", str(tmp_path), "--seed", str(seed), "--threads", str(seed)])
        texts.append((tmp_path / "compare-two-valleys.json").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_compare_leaves_out_the_exact_numbers_where_there_is_no_lattice(tmp_path, capsys):
    arguments = ["compare", "two-valleys", "--a1", "0.3712345", "--K", "4.7123", "--x0", "0.2", *SMALL]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert "RR: the chain has too many states" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "compare-two-valleys.json").read_text())["schemes"]["RR"]["log_mean_steps_to_leave"]
        is None
    )


def test_compare_leaves_out_a_density_that_is_not_unique(tmp_path, capsys):
    assert main(["compare", "two-valleys", "--eps", "1e-12", *SMALL, "--out", str(tmp_path)]) == 0
    assert "RR: the SDE has too little noise" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "compare-two-valleys.json").read_text())
    assert numbers["schemes"]["RR"]["stationary"]["sde_mass"] is None


@pytest.mark.parametrize("name", ["stars-cyg", "stackloss"])
@pytest.mark.parametrize("loss", ["square", "welsch"])
def test_compare_on_the_data_sets(tmp_path, capsys, name, loss):
    assert main(["compare", "--data", name, "--loss", loss, *SMALL, "--out", str(tmp_path)]) == 0
    assert "best fit" in capsys.readouterr().out
    numbers = json.loads((tmp_path / f"compare-{name}.json").read_text())
    best = numbers["best_fit"]["loss"]
    for scheme in numbers["schemes"].values():
        assert min(scheme["loss"]["quantile_10"]) >= best - 1e-12
        assert scheme["loss"]["median"][-1] < 1.25 * best
        assert 0 < scheme["stable_step_sizes"]["lower"] <= scheme["stable_step_sizes"]["upper"]


def test_the_robust_fit_of_the_stars_has_the_slope_of_the_main_sequence():
    """Rousseeuw & Leroy: least squares is −0.4, robust fits are near 3."""
    from dynsim.compare.data import best_fit

    stars = ds.problems.load_data("stars-cyg")
    slopes = []
    for loss in ("square", "welsch"):
        problem = ds.problems.linear_model(stars.X, stars.y, loss, intercept=True, standardize=True)
        slopes.append(problem.coefficients(best_fit(problem))[1])
        assert np.abs(problem.gradient(best_fit(problem))).max() < 1e-5
    assert slopes[0] == pytest.approx(-0.413, abs=1e-3)
    assert 2 < slopes[1] < 4


def test_compare_on_a_file(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    table = np.column_stack([X, X @ [1, 2, 3, 4] + 5 + 0.1 * rng.normal(size=30)])
    path = tmp_path / "my data.csv"
    np.savetxt(path, table, delimiter=",", header="a,b,c,d,y", comments="")
    arguments = ["compare", "--data", str(path), "--target", "y", "--loss", "square", "--step-size", "0.05"]
    assert main([*arguments, "--n-paths", "100", "--n-steps", "3000", "--out", str(tmp_path)]) == 0
    numbers = json.loads((tmp_path / "compare-my data.json").read_text())
    assert numbers["parameters"] == ["intercept", "a", "b", "c", "d"]
    for scheme in numbers["schemes"].values():
        final = {quantile: np.array(values) for quantile, values in scheme["final_coefficients"].items()}
        deviation = (final["quantile_90"] - final["quantile_10"]) / 2.563  # of a normal
        stderr = 1.253 * deviation / np.sqrt(100)  # of its median over 100 paths
        assert (np.abs(final["median"] - numbers["best_fit"]["coefficients"]) < 5 * stderr).all()
        assert (np.abs(final["median"] - [5, 1, 2, 3, 4.1]) < 5 * stderr).sum() < 5  # negative control


def test_paths_that_diverge_are_counted_and_left_out(tmp_path, capsys):
    arguments = ["compare", "--data", "stackloss", "--loss", "square", "--step-size", "1.5", "--n-paths", "20"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "SGD: 20 of 20 paths diverged, the first at step " in table
    assert "nan" not in table
    numbers = json.loads((tmp_path / "compare-stackloss.json").read_text())
    assert numbers["schemes"]["SGD"]["diverged"] == 20
    assert numbers["schemes"]["SGD"]["loss"]["median"][-1] is None


def test_bad_input_is_one_sentence_and_exit_code_2(capsys, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n2,3\n4,1\n")
    for arguments, message in [
        (["compare", "two-valeys"], "PROBLEM is not known: got 'two-valeys'; did you mean 'two-valleys'?"),
        (["compare"], "give either a problem (dynsim problems lists them) or --data"),
        (["compare", "two-valleys", "--data", table], "give either a problem"),
        (["compare", "two-valleys", "--loss", "welsch"], "--loss goes with --data"),
        (["compare", "two-valleys", "--step-size", "-0.1"], "step_size must be a positive finite number, got -0.1"),
        (["compare", "two-valleys", "--step-size", "nan"], "step_size must be a positive finite number, got nan"),
        (["compare", "two-valleys", "--a1", "1.5"], "a1 must lie strictly between 0 and 1, got 1.5"),
        (["compare", "two-valleys", "--K", "0.5"], "K must be above 1"),
        (["compare", "two-valleys", "--x0", "1e200"], "x0 must lie within 1e+06 of 0"),
        (["compare", "two-valleys", "--x0", "nan"], "x0 must be a finite number, got nan"),
        (["compare", "two-valleys", "--n-paths", "0"], "n_paths must be a whole number, at least 1, got 0"),
        (["compare", "two-valleys", "--seed", "-3"], "seed must be a whole number, at least 0, got -3"),
        (["compare", "--data", tmp_path / "none.csv", "--target", "a"], "no file and no data set"),
        (["compare", "--data", table, "--target", "c"], "has no column for the target: got 'c'; it may be 'a', 'b'"),
        (["compare", "--data", table], "target must name the column"),
        (["compare", "--data", table, "--target", "a", "--loss", "cauchy"], "loss is not known: got 'cauchy'"),
        (["compare", "--data", table, "--target", "a", "--step-size", "0"], "step_size must be a positive finite"),
        (["compare", "--data", table, "--target", "a", "--K", "3"], "--K goes with two-valleys"),
        (["compare", "two-valleys", "--out", table], "cannot be written"),
        (["compare", "two-valleys", "--out", table / "below"], "cannot be written"),
    ]:
        assert message in refuse(capsys, *arguments), arguments


def test_old_terminals_get_no_traceback(tmp_path):
    for arguments in (["compare", "--help"], ["problems"], ["compare", "two-valleys", *SMALL, "--out", str(tmp_path)]):
        result = subprocess.run(
            [sys.executable, "-m", "dynsim", *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            check=False,
        )
        assert result.returncode == 0, result.stderr


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "compare-two-valleys.png").mkdir()
    assert "cannot write" in refuse(capsys, "compare", "two-valleys", *SMALL, "--out", tmp_path)


def test_names_with_dollars_are_not_mathematics(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("$\\frac$,b\n1,2\n2,3\n4,1\n")
    for target in ("b", "$\\frac$"):
        assert main(["compare", "--data", str(path), "--target", target, *SMALL, "--out", str(tmp_path)]) == 0


def test_a_start_on_a_kink_is_pointed_out(tmp_path, capsys):
    assert main(["compare", "two-valleys", "--x0", "0.2", *SMALL, "--out", str(tmp_path)]) == 0
    assert "RR: paths can land exactly on a kink" in capsys.readouterr().out


def test_input_is_checked_before_anything_is_written(capsys, tmp_path):
    refuse(capsys, "compare", "two-valleys", "--step-size", "-1", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["compare", "--format", "bmp"], [], ["compare", "--n-paths", "x"]]
)
def test_usage_errors_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: dynsim" in capsys.readouterr().err


def test_version_help_and_problems(capsys):
    for arguments, expected in (
        (["--version"], f"dynsim {ds.__version__}"),
        (["--help"], "compare"),
        (["compare", "--help"], "--step-size"),
        (["problems", "--help"], "usage: dynsim problems"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
        assert expected in capsys.readouterr().out
    assert main(["problems"]) == 0
    listing = capsys.readouterr().out
    for name in ("two-valleys", "stars-cyg", "stackloss", "welsch"):
        assert name in listing


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_stops_cleanly(tmp_path):
    long = [sys.executable, "-m", "dynsim", "compare", "two-valleys", "--n-steps", "100000000", "--out", str(tmp_path)]
    process = subprocess.Popen(long, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=8)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, error) == ("", "dynsim: stopped, nothing written\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="uses a POSIX pipe")
def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m dynsim problems | true"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


def test_classes_and_counts_are_compared_without_a_stable_range(tmp_path, capsys):
    rows = ["a,b,label,count", *(f"{n},{n * n % 7},{n * 5 % 3 % 2},{n % 4}" for n in range(12))]
    (tmp_path / "d.csv").write_text("\n".join(rows))
    for loss, target in (("logistic", "label"), ("poisson", "count")):
        command = [
            "compare",
            "--data",
            str(tmp_path / "d.csv"),
            "--target",
            target,
            "--loss",
            loss,
            "--step-size",
            "0.01",
        ]
        assert main([*command, "--n-paths", "20", "--n-steps", "50", "--out", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert "Lemma 3.2" not in out
        numbers = json.loads((tmp_path / "compare-d.json").read_text())
        assert numbers["schemes"]["SGD"]["stable_step_sizes"] is None
        assert np.isfinite(numbers["best_fit"]["loss"])
