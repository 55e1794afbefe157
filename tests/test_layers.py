"""The layer rule of the design, read off the syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dynsim"
MODULES = sorted(PACKAGE.rglob("*.py"))
KERNEL_IMPORTS = {"contextlib", "functools", "llvmlite", "numba", "numpy", "pathlib", "warnings"}
TOP = {"cli", "plot", "compare", "__main__"}


def imports(path):
    """Dotted names that a module imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    for name in imports(path):
        root, _, rest = name.partition(".")
        if room(path) == "_kernels":
            assert root in {
                "numpy",
                "numba",
                "functools",
                "contextlib",
                "llvmlite",
                "pathlib",
                "warnings",
            } or name.startswith("dynsim._kernels"), name
        else:
            assert root != "numba", name
        if root == "dynsim" and room(path) not in TOP | {"results"}:
            assert rest.split(".")[0] not in TOP, name


def test_results_reach_for_plot_only_when_asked_to_draw():
    tree = ast.parse((PACKAGE / "results.py").read_text(encoding="utf-8"))
    assert not any("plot" in (node.module or "") for node in tree.body if isinstance(node, ast.ImportFrom))


def test_the_public_names_are_all_there():
    import dynsim as ds

    for name in ds.__all__:
        assert getattr(ds, name) is not None
        assert name in dir(ds)
    with pytest.raises(AttributeError, match="no attribute 'sgd'"):
        _ = ds.sgd
