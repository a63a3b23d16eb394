"""Declared dependencies are those that are imported; a wheel holds the package alone, an sdist the tests too."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [*(ROOT / "augsal_transforms").rglob("*.py"), *(ROOT / "adapters").glob("*.py")]
OPTIONAL = ("salicon", "viz", "hdf5", "ray")  # extras whose libraries the package imports where they are installed


def config():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements):
    """The distributions in a list of requirements, without extras and versions."""
    return {normalised(re.match(r"[\w.-]+", line)[0]) for line in requirements.split("\n") if line}


def imported_distributions():
    """The distributions whose modules the package imports, at the top of a file or inside a function."""
    modules = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module.split(".")[0])
    installed = packages_distributions()
    third_party = modules - set(sys.stdlib_module_names) - {"augsal_transforms"}
    return {normalised(installed.get(module, [module])[0]) for module in third_party}


def test_what_is_declared_is_what_is_imported():
    optional = set().union(*(names(config()["options.extras_require"][extra]) for extra in OPTIONAL))
    assert names(config()["options"]["install_requires"]) | optional == imported_distributions()


def test_every_dependency_of_the_package_has_a_lower_bound():
    extras = config()["options.extras_require"]
    required = "\n".join([config()["options"]["install_requires"], *(extras[extra] for extra in OPTIONAL)])
    assert [line for line in required.split("\n") if line and not re.search(r">=\d", line)] == []


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """File names in a wheel and in an sdist that are built from a copy of this checkout."""
    source, built = tmp_path_factory.mktemp("source") / "checkout", tmp_path_factory.mktemp("built")
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "*.egg-info", "runs")
    )
    program = f"from setuptools import build_meta as b; b.build_wheel({str(built)!r}); b.build_sdist({str(built)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel, tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        return set(wheel.namelist()), {name.partition("/")[2] for name in sdist.getnames()}


def files_of(folder, home, pattern="*"):
    """The files of a folder of the checkout, as they are named where the folder is called ``home``."""
    paths = (path for path in (ROOT / folder).rglob(pattern) if path.is_file() and "__pycache__" not in path.parts)
    return {f"{home}/{path.relative_to(ROOT / folder).as_posix()}" for path in paths}


def test_a_wheel_holds_the_package_and_nothing_else(distributions):
    wheel, _ = distributions
    metadata = {name for name in wheel if name.split("/")[0].endswith(".dist-info")}
    assert wheel - metadata == files_of("augsal_transforms", "augsal_transforms") | files_of(
        "adapters", "augsal_transforms/adapters", "*.py"
    )
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_an_sdist_holds_the_tests_with_all_that_they_use(distributions):
    _, sdist = distributions
    for folder in ("tests", "benchmarks", "examples", "docs", "augsal_transforms", "adapters"):
        assert files_of(folder, folder) - sdist == set()
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", ".ci/run", "mkdocs.yml", "CONTRIBUTING.md"} <= sdist
