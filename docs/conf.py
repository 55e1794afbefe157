"""Sphinx configuration."""

import dynsim

project = "dynsim"
author = "the dynsim developers"
copyright = "2026, the dynsim developers"
release = dynsim.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"dynsim {release}"
autodoc_typehints = "none"  # the docstrings give shapes, units and ranges too
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
exclude_patterns = ["_build"]
