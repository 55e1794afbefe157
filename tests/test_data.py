import numpy as np
import pytest

import dynsim as ds


def test_the_data_sets_are_complete():
    stars, stack = (ds.problems.load_data(name) for name in ds.problems.data_sets())
    assert stars.X.shape == (47, 1)
    assert stars.y.mean() == pytest.approx(5.012128, abs=1e-6)
    assert np.corrcoef(stars.X[:, 0], stars.y)[0, 1] < 0  # the four giants turn the sign
    assert stack.X.shape == (21, 3)
    fit = ds.problems.linear_model(stack.X, stack.y, intercept=True)
    # Brownlee's least-squares fit, as in every text since
    np.testing.assert_allclose(fit.least_squares(), [-39.9197, 0.7156, 1.2953, -0.1521], atol=5e-5)


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_is_read(tmp_path):
    table = ds.problems.load_data(write(tmp_path, "\ufeffa, b,c\n1,2,3\n\n4,5,6e0\n 7 ,8,9\n"), "b")
    assert table.features == ("a", "c")
    assert table.X.tolist() == [[1, 3], [4, 6], [7, 9]]
    assert table.y.tolist() == [2, 5, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv is empty"),
        ("\n\n", "table.csv is empty"),
        ("a,b\n", "names but no data"),
        ("1,2\n3,4\n", "numbers in its first line"),
        ("a,b\n1,2\n3\n", "line 3: 1 fields, but there are 2 columns"),
        ("a,b\n1,2\n3,x\n", "line 3, column 'b': 'x' is not a finite number"),
        ("a,b\n1,nan\n3,4\n", "line 2, column 'b': 'nan' is not a finite number"),
        ("a,b\n1,2\n,4\n", "line 3, column 'a': '' is not a finite number"),
        ("a,y\n1,2\n3,4\n", "has no column for the target: got 'b'"),
        ("a,bb\n1,2\n3,4\n", "did you mean 'bb'"),
        ("b\n1\n2\n", "only the target column 'b'"),
        ("a,c,b\n1,2,3\n4,5,6\n", "2 rows, fewer than its 3 columns"),
        ("a,a,b\n1,2,3\n", "more than one column named 'a'"),
        ("a;b\n1;2\n", "fields must be separated by commas"),
        (",b\n1,2\n3,4\n", "a column without a name, number 1"),
        ("a,b\n1_0,2\n3,4\n", "'1_0' is not a finite number"),
    ],
)
def test_a_bad_csv_file_is_refused_with_the_place(tmp_path, text, message):
    with pytest.raises(ds.errors.DataError, match=message):
        ds.problems.load_data(write(tmp_path, text), "b")


def test_files_that_are_not_there_or_not_text_are_refused(tmp_path):
    with pytest.raises(ds.errors.DataError, match="no file and no data set 'stars'; did you mean 'stars-cyg'"):
        ds.problems.load_data("stars", "y")
    with pytest.raises(ds.errors.DataError, match="cannot be read as a text file"):
        ds.problems.load_data(tmp_path, "y")
    (tmp_path / "image").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(ds.errors.DataError, match="cannot be read as a text file"):
        ds.problems.load_data(tmp_path / "image", "y")
    with pytest.raises(ds.errors.ArgumentError, match="target must name the column"):
        ds.problems.load_data(write(tmp_path, "a,b\n1,2\n3,4\n"))
