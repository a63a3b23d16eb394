"""Stores of schema 1, and keys that new fields of the config leave as they are."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import Brightness, Color, Contrast, EditConfig, EditStore
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.generate.jobs import JobReader
from augsal_transforms.generate.known_files import KnownFiles
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.store.identity import config_identity, schema_1_config
from augsal_transforms.store.keys import EditKey, to_bytes
from augsal_transforms.store.maintenance import damaged_records, statistics

OLD = Path(__file__).parent / "store_schema_1"
EDITS = (Contrast(1.5), Brightness(0.15), Brightness(-0.1), Color("red", 0.5))
SCHEMA_1 = {
    **{"steps": 1, "noise_level": "0.2", "resolution": None, "attention_size": 16, "threshold": "0.25"},
    **{"softness": "0.2", "keep_stopwords": False, "pivot": "gamma", "injection": "0.5"},
    **{"color_injection": "0.9", "guidance": "1.0", "deviations": "2.0"},
}
FORMER = {  # identity of the editor that made the store: the bundled one of that time
    "model": "2be1b27c005f8400a6620d3569a8c6265ba6057d74ca6eef2e426416b45bb142",
    "calibration": "83058678f2d714b34c574d9551c93e6ace5fc56ac6a3c11400c6181cc409515a",
    **{"dtype": "float32", "config": {}},
}


@pytest.fixture
def store(tmp_path):
    """A copy of the store that the version before wrote: four edits of each of five scenes."""
    return EditStore(shutil.copytree(OLD, tmp_path / "old", ignore=shutil.ignore_patterns("expected.json")))


def test_edits_of_schema_1_come_back_to_the_bit(store):
    found = {}
    for n in range(5):
        image = render_scene(n, 7).image
        edits = store.edits_of(image)
        assert [(edit.kind, edit.color, edit.alpha) for edit in edits] == [
            *(("brightness", "", -0.1), ("brightness", "", 0.15), ("color", "red", 0.5), ("contrast", "", 1.5))
        ]
        assert [edit.path for edit in store.find(f"scene_{n}")] == [edit.path for edit in edits]
        for edit in edits:
            result = edit.load()
            pixels = result.image.numpy().tobytes() + result.edit_mask.numpy().tobytes()
            found[edit.path.relative_to(store.folder).as_posix()] = hashlib.sha256(pixels).hexdigest()
    assert found == json.loads((OLD / "expected.json").read_text())


def test_edits_of_schema_1_are_counted_and_sound(store):
    counts = statistics(store)
    assert (counts["edits"], counts["images"]) == (20, 5)
    assert counts["kinds"] == {"brightness": 10, "color": 5, "contrast": 5}
    assert list(damaged_records(store)) == []
    shutil.rmtree(store.folder / "stems")
    assert store.rebuild_index() == 20
    assert len(store.find("scene_3")) == 4


def test_edits_of_schema_1_are_not_made_again(store, tmp_path):
    data = tmp_path / "data"
    for kind in ("images", "maps"):
        (data / kind / "train").mkdir(parents=True)
    captions = {}
    for n in range(5):
        scene = render_scene(n, 7)
        saliency_map = observe(scene.image, scene.objects, seed=n)
        to_pil_image(scene.image).save(data / "images" / "train" / f"scene_{n}.png")
        to_pil_image(to_bytes(saliency_map)).save(data / "maps" / "train" / f"scene_{n}.png")
        captions[f"scene_{n}"] = scene.caption if n else ""
    (data / "captions.json").write_text(json.dumps(captions))
    files = SaliencyFolder(data)
    reader = JobReader(files, EDITS, 0, FORMER, 2, KnownFiles(tmp_path), is_finished=lambda image: False)
    jobs = [job for _, job in reader.read_all(files.names)]
    assert sum(len(job.wanted) for job in jobs) == 20
    assert all(key in store for job in jobs for one in job.wanted for key in one)
    key = next(iter(jobs[3].wanted[0]))
    assert store.get(key).metadata["schema"] == 1
    scene = render_scene(3, 7)
    given = scene.image, observe(scene.image, scene.objects, seed=3), scene.caption
    assert key == EditKey.of(*given, EDITS[0], seed=0, editor=FORMER)
    assert EditKey.of(*given, Contrast(1.6), seed=0, editor=FORMER) not in store
    assert EditKey.of(*given, EDITS[0], seed=0, editor={**FORMER, "model": 64 * "0"}) not in store


def test_a_config_is_known_by_what_differs_from_the_defaults():
    assert config_identity(EditConfig()) == {}
    assert config_identity(EditConfig(batch_size=3)) == {}
    assert config_identity(EditConfig(guidance=2, threshold=0.3)) == {"guidance": "2.0", "threshold": "0.3"}
    assert config_identity(EditConfig(guidance=2.0)) == config_identity(EditConfig(guidance=2))
    assert config_identity(EditConfig(resolution=256)) == {"resolution": 256}


def test_a_new_field_with_a_default_changes_no_key():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(EditConfig):
        sharpness: float = 0.5

    assert config_identity(Later()) == {}
    assert config_identity(Later(threshold=0.3)) == config_identity(EditConfig(threshold=0.3))
    assert config_identity(Later(sharpness=0.7)) == {"sharpness": "0.7"}
    assert schema_1_config({"sharpness": "0.7"}) is None  # no record of schema 1 was made with it


def test_a_default_that_changes_gets_another_key():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Changed(EditConfig):
        threshold: float = 0.3

    assert config_identity(Changed()) == {"threshold": "0.3"}
    assert config_identity(Changed(threshold=0.25)) == {}


def test_a_config_is_spelled_as_schema_1_spelled_it():
    assert schema_1_config({}) == SCHEMA_1
    assert schema_1_config({"max_std": "inf", "steps": 6}) == {**SCHEMA_1, "deviations": "inf", "steps": 6}
