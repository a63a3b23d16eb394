import dataclasses
import json
import os
import shutil

import torch

from augsal_transforms import SaliencyEditor
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts
from augsal_transforms.store.identity import describe, editor_identity, model_fingerprint


def test_an_editor_is_known_by_its_weights_and_settings_and_not_by_its_place(editor, sd2_folder, tmp_path):
    identity = editor_identity(editor)
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    shutil.copytree(editor.model.folder, tmp_path / "copy")
    moved = SaliencyEditor.from_pretrained(str(tmp_path / "copy"))
    assert editor_identity(moved) == identity
    config = editor.config
    assert editor_identity(dataclasses.replace(editor, config=dataclasses.replace(config, batch_size=3))) == identity
    other = [
        editor_identity(dataclasses.replace(editor, config=dataclasses.replace(config, guidance=0.5))),
        editor_identity(SaliencyEditor.from_pretrained(str(sd2_folder))),
        editor_identity(SaliencyEditor.from_pretrained(str(tmp_path / "copy"), dtype=torch.bfloat16)),
    ]
    assert identity not in other
    weights = next((tmp_path / "copy" / "unet").glob("*.safetensors"))
    changed = bytearray(weights.read_bytes())
    step = len(changed) // 200  # a retrained network differs everywhere
    for position in range(len(changed) // 2, len(changed), step):
        changed[position] ^= 1
    weights.write_bytes(changed)
    assert model_fingerprint(tmp_path / "copy") != identity["model"]


def test_a_record_names_the_licence_of_the_weights(bundled, editor):
    assert describe(bundled)["licence"] == "Apache-2.0"
    assert describe(editor)["licence"] == "see the model's card"
    assert describe(bundled)["versions"]["torch"] in torch.__version__


def test_a_models_card_is_read_where_it_is_a_file_of_the_models_folder(sd1_folder, tmp_path):
    copy = SaliencyEditor.from_pretrained(str(shutil.copytree(sd1_folder, tmp_path / "model")))
    card, elsewhere = tmp_path / "model" / "README.md", tmp_path / "card"
    card.write_bytes(b"---\nlicense: mit\n---\n\xff")
    assert describe(copy)["licence"] == "mit"
    card.rename(elsewhere)
    card.symlink_to(elsewhere)
    assert describe(copy)["licence"] == "see the model's card"
    card.unlink()
    os.mkfifo(card)  # which would be waited for
    assert describe(copy)["licence"] == "see the model's card"


def test_the_identity_of_an_editor_never_changes_by_accident(editor):
    """Another field or another spelling orphans every store there is; change SCHEMA of the records if it is meant."""
    identity = editor_identity(editor)
    assert list(identity) == ["model", "calibration", "dtype", "config"]
    assert identity["dtype"] == "float32"
    assert identity["config"] == {}  # what differs from the defaults


def test_a_gate_makes_another_editor_and_another_gate_yet_another(editor):
    def gated(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8))
        return dataclasses.replace(editor, gate=readouts.eval().requires_grad_(False))

    first, other, again = (editor_identity(gated(seed)) for seed in (0, 1, 0))
    assert first == again
    assert len({identity.pop("gate") for identity in (first, other)}) == 2
    assert first == other == editor_identity(editor)


def test_only_what_the_gate_reads_with_makes_its_identity(editor):
    readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8)).eval().requires_grad_(False)
    gated = dataclasses.replace(editor, gate=readouts)
    before = editor_identity(gated)
    next(readouts.saliency.parameters()).add_(1)
    assert editor_identity(gated) == before
    next(readouts.low.parameters()).add_(1)
    assert editor_identity(gated) != before
