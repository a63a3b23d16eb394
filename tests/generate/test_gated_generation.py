import json
from dataclasses import replace

import pytest
import torch
from helpers.brightest import Brightest
from helpers.datasets import write_folder
from helpers.records import EDITS, edited, key_of, picture

from augsal_transforms import Brightness, EditStore, SaliencyDiffusionAugment, SaliencyGate
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.editor.results import Trial
from augsal_transforms.generate.estimate import estimate
from augsal_transforms.generate.generation import Generation
from augsal_transforms.store.identity import predictor_fingerprint
from augsal_transforms.store.maintenance import damaged_records, statistics
from augsal_transforms.store.metadata import check_metadata
from augsal_transforms.store.records import decode, encode


@pytest.fixture
def files(tmp_path):
    return SaliencyFolder(write_folder(tmp_path / "data", 3))


def generation_of(editor, files, folder, edits, **options):
    gate = SaliencyGate(Brightest(), **options)
    return Generation(editor, EditStore(folder), files, edits, saliency_gate=gate)


def test_what_is_not_raised_is_counted_noted_and_not_tried_again(bundled, files, tmp_path):
    edits = (Brightness((0.05, 0.2)), Brightness((-0.2, -0.05)))
    made = generation_of(bundled, files, tmp_path / "store", edits)
    made.run(files.names)
    assert made.counts == {"made": 3, "not_raised": 3, "reused": 0}
    (note, *_) = sorted((tmp_path / "store" / "not-raised").iterdir())
    tried = json.loads(note.read_text())["tried"]
    assert len(tried) == 4
    assert all(trial["kind"] == "brightness" and trial["alpha"] < 0 and trial["rise"] < 0 for trial in tried)
    again = generation_of(bundled, files, tmp_path / "store", edits)
    again.run(files.names)
    assert again.counts == {"reused": 3, "not_raised": 3}
    assert again.saliency_gate.predictor.calls == []
    assert estimate(again, files.names).edits == 0
    found = statistics(again.store)
    assert (found["edits"], found["raised"], found["not_raised"]) == (3, 3, 3)
    assert found["rise"] > 0
    assert not list(damaged_records(again.store))


def test_a_record_says_what_was_tried_and_the_transform_reads_it(bundled, files, tmp_path):
    made = generation_of(bundled, files, tmp_path / "store", (Brightness((-0.2, 0.2)),), choose="most")
    made.run(files.names[:1])
    (entry,) = made.store.find(files.names[0])
    raw = files[0]
    augment = SaliencyDiffusionAugment(store=made.store, p=1)
    sample = augment(raw)
    result = made.store.edits_of(sample["image"])[0].load()
    assert torch.equal(sample["edited_image"], result.image)
    assert len(result.tried) == 4
    assert result.rise == max(trial.rise for trial in result.tried) > 0
    assert result.alpha == entry.alpha == max(trial.alpha for trial in result.tried)
    identity = made.store.read(entry.path).metadata["editor"]["saliency_gate"]
    assert identity["choose"] == "most"
    assert identity["candidates"] == [["brightness", "", round(trial.alpha * 1000)] for trial in result.tried]


def test_edits_of_other_gates_and_of_none_are_other_edits(bundled, files, tmp_path):
    store = tmp_path / "store"
    plain = Generation(bundled, EditStore(store), files, (Brightness(0.1),))
    plain.run(files.names)
    for number, options in enumerate(({}, {"choose": "most"}, {"margin": 1e-4}), 1):
        gated = generation_of(bundled, files, store, (Brightness(0.1),), **options)
        gated.run(files.names)
        assert gated.counts == {"made": 3, "reused": 0}
        assert len(gated.store.find(files.names[0])) == 1 + number
    other = SaliencyGate(Brightest())
    other.predictor.fingerprint = "another"
    again = Generation(bundled, plain.store, files, (Brightness(0.1),), saliency_gate=other)
    assert estimate(again, files.names).edits == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rise", "high"),
        ("rise", 1e400),
        ("tried", {}),
        ("tried", [{"kind": "color"}]),
        ("tried", [{"kind": "color", "color": "red", "alpha": 0.3, "strength": 2, "rise": 0.1}]),
        ("tried", [{"kind": "<b>", "color": "", "alpha": 0.3, "strength": 1, "rise": 0.1}]),
    ],
)
def test_a_stranger_s_record_of_what_was_tried_is_checked(field, value):
    original = picture()
    result = replace(edited(original, EDITS[0]), rise=0.1, tried=(Trial("contrast", "", 1.5, 0.5, 0.1),))
    stored = decode(encode(key_of(original, EDITS[0]), original, result))
    assert stored.onto(original).tried == result.tried
    with pytest.raises(ValueError, match=f"`{field}` of a record"):
        check_metadata({**stored.metadata, field: value})


def test_a_predictor_s_fingerprint_follows_its_weights_and_numbers(predictor):
    linear = torch.nn.Linear(2, 1)
    before = predictor_fingerprint(linear)
    with torch.no_grad():
        linear.weight += 1
    assert predictor_fingerprint(linear) != before
    assert predictor_fingerprint(predictor) == predictor_fingerprint(predictor) != before
    with pytest.raises(TypeError, match="a text `fingerprint` that changes"):
        predictor_fingerprint(object.__new__(type("Bare", (), {"predict": len})))
