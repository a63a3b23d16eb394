"""Imports point down: a file imports its own floor or lower (DESIGN: the house)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "augsal_transforms"
FLOORS = {
    "config": 0,
    "randomness": 0,
    "tv_tensors": 0,
    "photometry": 1,
    "losses": 1,
    "data": 1,
    "presets": 0,
    "roc": 1,
    "metrics": 1,
    "editor.edits": 1,
    "editor.region": 1,
    "editor.constraint": 1,
    "editor.canvas": 1,
    "editor.batching": 1,
    "editor.calibration": 1,
    "editor.prompts": 2,
    "editor.attention": 2,
    "editor.diffusion": 2,
    "editor.forwards": 1,
    "editor.crop": 2,
    "editor.passes": 2,
    "editor.results": 2,
    "editor.target": 2,
    "editor.editor": 3,
    "editor.calibrate": 3,
    "readouts.features": 2,
    "readouts.heads": 2,
    "readouts.areas": 2,
    "readouts.samples": 2,
    "readouts.launch": 2,
    "readouts.readouts": 2,
    "readouts.gate": 2,
    "readouts.predictor": 3,
    "identity": 4,
    "records": 4,
    "store": 4,
    "stored": 4,
    "sample": 4,
    "progress": 4,
    "upkeep": 5,
    "workers": 1,
    "transform": 5,
    "augmented_dataset": 5,
    "readouts.training": 6,
    "doctor": 6,
    "generate": 6,
    "ray_engine": 6,
    "evaluation": 6,
    "adapters": 6,
    "cli": 7,
    "__main__": 7,
}
THIRD_PARTY = {
    0: {"torch", "torchvision"},
    1: {"torch", "torchvision", "kornia", "safetensors", "typing_extensions"},
    "data": {"torch", "torchvision", "kornia", "numpy", "PIL", "scipy"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def floor(module: str) -> int:
    return FLOORS.get(module, FLOORS.get(module.split(".")[0], -1))


def imports(path: Path) -> set[str]:
    """What a file imports when it is imported or run, type checking aside."""
    tree = ast.parse(path.read_text())
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


FILES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if module_name(path) not in ("", "cli", "editor", "data", "readouts", "evaluation")
]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    here = module_name(path)
    assert floor(here) >= 0, f"{here} has no floor; give it one in FLOORS"
    names = imports(path)
    assert "augsal_transforms" not in names or floor(here) >= 5, f"{here} imports the whole package"
    for name in names:
        if name.startswith("augsal_transforms."):
            target = name.removeprefix("augsal_transforms.")
            assert floor(target) <= floor(here), (
                f"{here} (floor {floor(here)}) imports {target} (floor {floor(target)})"
            )


@pytest.mark.parametrize("path", [p for p in FILES if floor(module_name(p)) <= 1], ids=module_name)
def test_the_lower_floors_need_no_diffusion_model(path):
    here = module_name(path)
    allowed = THIRD_PARTY["data"] if here.startswith("data.") else THIRD_PARTY[floor(here)]
    import sys

    outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"augsal_transforms"}
    assert outside <= allowed


def test_only_the_diffusion_file_imports_diffusers():
    users = {module_name(p) for p in FILES if {n.split(".")[0] for n in imports(p)} & {"diffusers", "huggingface_hub"}}
    assert users == {"editor.diffusion"}


@pytest.mark.parametrize("path", sorted((ROOT.parent / "adapters").glob("*.py")), ids=lambda path: path.stem)
def test_adapters_import_nothing_above_them(path):
    for name in imports(path):
        assert floor(name.removeprefix("augsal_transforms.")) <= FLOORS["adapters"], f"{path.name} imports {name}"
