"""The examples in the docstrings, in the README and on the pages run and print what they say."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import dynsim

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(dynsim.__path__, "dynsim.")
    if "_kernels" not in module.name and not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


NAMES = (
    *("tutorial", "methods", "own-problem", "sdes", "densities", "step-sizes", "time-averages", "edge-of-stability"),
    *("heavy-tails", "long-runs"),
)
PAGES = ("README.md", *(f"docs/{page}.md" for page in NAMES))


@pytest.mark.parametrize("page", PAGES)
def test_examples_on_pages(page):
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL if "docs" in page else 0
    result = doctest.testfile(str(ROOT / page), module_relative=False, encoding="utf-8", optionflags=options)
    assert result.attempted > 3
    assert result.failed == 0


@pytest.mark.parametrize("name", [n for n in dynsim.__all__ if callable(getattr(dynsim, n))])
def test_every_public_function_shows_an_example_or_says_what_makes_it(name):
    text = inspect.getdoc(getattr(dynsim, name))
    assert "Examples\n--------" in text or any(word in text for word in ("ade by", "from :func:", "Attributes"))
