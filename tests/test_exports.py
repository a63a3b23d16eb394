import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import augsal_transforms


def test_all_is_what_can_be_imported_and_everything_public_is_documented():
    exported = {name: getattr(augsal_transforms, name) for name in dir(augsal_transforms) if not name.startswith("_")}
    about_exporting = {"TYPE_CHECKING", "Any", "Path", "import_module"}
    public = {name for name, value in exported.items() if not inspect.ismodule(value)} - about_exporting
    assert public == set(augsal_transforms.__all__)
    assert augsal_transforms.__all__ == sorted(augsal_transforms.__all__)
    assert all(inspect.getdoc(exported[name]) for name in public)


def test_type_checkers_see_what_is_imported_when_asked_for():
    tree = ast.parse(Path(augsal_transforms.__file__).read_text())
    seen = {
        alias.name: node.module.removeprefix("augsal_transforms.")
        for block in tree.body
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    assert seen == augsal_transforms._HOMES
    assert set(seen) == set(augsal_transforms.__all__)


def test_a_name_that_is_not_exported_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sharpness'"):
        _ = augsal_transforms.Sharpness
    assert not hasattr(augsal_transforms, "Sharpness")


def test_the_adapters_folder_installs_inside_the_package():
    import augsal_transforms.adapters

    assert augsal_transforms.adapters.__doc__


def test_a_checkout_that_shadows_an_install_has_the_adapters_too(tmp_path):
    """A Python started in the checkout's root imports the checkout, whatever is installed."""
    program = "import augsal_transforms.adapters.unisal as a, augsal_transforms as p; print(p.__file__, a.__file__)"
    root = Path(augsal_transforms.__file__).parents[1]
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[1:] = {sys.path!r}; {program}"]
    run = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    package, adapter = map(Path, run.stdout.split())
    assert package.parent.parent == adapter.parent.parent == root


def run(program):
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_needs_neither_diffusion_libraries_nor_a_socket():
    run("""
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened at import")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from augsal_transforms import *
import augsal_transforms.cli
loaded = {"diffusers", "transformers", "scipy", "matplotlib", "huggingface_hub"} & set(sys.modules)
assert not loaded, loaded
""")


def test_help_loads_nothing_heavy():
    run("""
import sys
from typer.testing import CliRunner
from augsal_transforms.cli import app
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0 and "check-data" in result.output, result.output
heavy = {"torch", "kornia", "numpy", "PIL", "diffusers", "transformers", "scipy", "matplotlib", "pandas", "ray"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""")
