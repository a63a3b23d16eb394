"""The training run: one step descends, a run that is cut off goes on, two processes are one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.osie import entry, write_osie
from typer.testing import CliRunner

from augsal_transforms import SaliencyPredictor
from augsal_transforms.cli import app
from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.scenes.writer import write_scenes
from augsal_transforms.training.readouts import ReadoutTraining
from augsal_transforms.training.samples import TrainingConfig, draw_patches, pool_area, rectangles

STEP = {"readout_steps": 3, "saliency_steps": 4, "batch_size": 4, "head_rate": 1e-3, "feature_rate": 1e-3}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, 6, seed=7, size=64)
    return folder


def training(editor, scenes, out, **options):
    out.mkdir(exist_ok=True)
    dataset = AnnotatedFolder(scenes, index=out / "index.json")
    config = TrainingConfig(**{**STEP, **options})
    return ReadoutTraining(editor, dataset, dataset.classes, config, width=8, folder=out)


def weights(run):
    return {name: value.clone() for name, value in run.readouts.state_dict().items()}


def moved(before, after, prefix):
    return any(not torch.equal(before[name], after[name]) for name in before if name.startswith(prefix))


def test_rectangles_by_hand():
    # Left half of the upper half of a 4×4 image; pooled to 2×2 it fills the first cell. No size: nothing.
    masks = rectangles(torch.tensor([[[0, 0, 0.5, 0.5], [0, 0, 0, 0]]]), (4, 4))
    assert masks[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert pool_area(masks, (2, 2))[0].tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 0]]]


def test_patches_lie_in_the_image():
    patches = draw_patches(50, 4, torch.Generator().manual_seed(0))
    assert patches.min() >= 0
    assert patches.max() <= 1
    assert (patches[..., 2:] - patches[..., :2]).min() >= 0.1 - 1e-6


def test_saliency_goes_on_alone_when_the_readouts_have_had_their_steps(editor, scenes, tmp_path):
    run = training(editor, scenes, tmp_path, readout_steps=1, saliency_steps=1, save_every=1)
    start = weights(run)
    run.run()
    first = weights(run)
    assert all(moved(start, first, part) for part in ("low", "high", "photometric", "classify", "saliency"))
    longer = training(editor, scenes, tmp_path, readout_steps=1, saliency_steps=2)
    longer.run()
    second = weights(longer)
    assert moved(first, second, "saliency")
    assert not any(moved(first, second, part) for part in ("low", "high", "photometric", "classify"))


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(editor, scenes, tmp_path):
    whole = training(editor, scenes, tmp_path / "whole")
    whole.run()
    part = training(editor, scenes, tmp_path / "part", save_every=2)
    save, part._save = part._save, lambda: (save(), (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        part.run()
    again = training(editor, scenes, tmp_path / "part")
    again.run()
    assert again.step == 4
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(again)[name], atol=1e-6), name


def test_losses_fall(editor, scenes, tmp_path):
    rates = {"head_rate": 3e-3, "feature_rate": 3e-3}
    run = training(editor, scenes, tmp_path, readout_steps=12, saliency_steps=12, batch_size=3, **rates)
    batch = torch.utils.data.default_collate([run.samples[n] for n in range(3)])
    first = {name: term.item() for name, term in run.losses(batch).items()}
    for _ in range(12):
        run.descend(run.losses(batch))
    last = run.losses(batch)
    assert last["readouts"].item() < 0.5 * first["readouts"]
    assert last["saliency"].item() < first["saliency"] - 0.03


def test_augmentation_adds_the_editing_loss(editor, scenes, tmp_path):
    run = training(editor, scenes, tmp_path, augment=1.0)
    batch = torch.utils.data.default_collate([run.samples[n] for n in range(4)])
    terms = run.losses(batch)
    assert terms["editing"].item() > 0
    assert run.augment.counts["edited"] == 4


def test_the_command_trains_saves_and_goes_on(sd1_folder, scenes, tmp_path):
    command = ["train-readouts", "--out", str(tmp_path), "--data", str(scenes), "--editor", str(sd1_folder)]
    command += ["--width", "8", "--readout-steps", "2", "--saliency-steps", "2", "--batch-size", "2"]
    for _ in range(2):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "metrics.json").read_text())["step"] == 2
    predictor = SaliencyPredictor.from_pretrained(tmp_path)
    assert "house" in predictor.readouts.config.classes


def test_sigma_makes_the_maps_that_readouts_learn_from(sd1_folder, tmp_path):
    data = write_osie(tmp_path / "osie", [entry("1001.jpg"), entry("1002.jpg")])
    command = ["train-readouts", "--data", str(data), "--editor", str(sd1_folder), "--width", "8"]
    command += ["--readout-steps", "1", "--saliency-steps", "1", "--batch-size", "2"]
    losses = []
    for sigma in ("3", "9"):
        result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / sigma), "--sigma", sigma])
        assert result.exit_code == 0, result.output
        losses.append(json.loads((tmp_path / sigma / "metrics.json").read_text())["history"][-1]["saliency"])
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_sigma_without_data_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["train-readouts", "--out", str(tmp_path), "--sigma", "3"])
    assert result.exit_code == 2
    assert "--sigma is for the maps of --data" in result.output


def test_a_checkpoint_that_is_broken_or_of_other_readouts_is_refused(editor, scenes, tmp_path):
    training(editor, scenes, tmp_path, readout_steps=1, saliency_steps=1).run()
    other = ReadoutTraining(
        editor,
        AnnotatedFolder(scenes, index=tmp_path / "index.json"),
        tuple(f"class {n}" for n in range(len(AnnotatedFolder(scenes, index=tmp_path / "index.json").classes))),
        TrainingConfig(**STEP),
        width=8,
        folder=tmp_path,
    )
    with pytest.raises(ValueError, match=r"readouts\.pt: .*other classes.*Remove the file"):
        other.run()
    (tmp_path / "readouts.pt").write_bytes((tmp_path / "readouts.pt").read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cannot go on from .*readouts\.pt"):
        training(editor, scenes, tmp_path).run()
    assert not list(tmp_path.glob("*.incomplete"))


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(TypeError, match="`workers` must be a whole number"):
        TrainingConfig(workers=1.5)
    with pytest.raises(ValueError, match="`head_rate` must be finite"):
        TrainingConfig(head_rate=float("nan"))
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more"):
        TrainingConfig(batch_size=0)
    with pytest.raises(ValueError, match="`schedule`"):
        TrainingConfig(schedule="linear")


PROCESS = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from augsal_transforms import SaliencyEditor
from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.training.samples import TrainingConfig
from augsal_transforms.training.readouts import ReadoutTraining

editor, scenes, out = sys.argv[1:]
torch.autocast = lambda *args, **options: torch.inference_mode(False)  # bfloat16 would hide a difference


def gradients():
    dataset = AnnotatedFolder(Path(scenes), index=Path(out) / "index.json")
    model, config = SaliencyEditor.from_pretrained(editor), TrainingConfig(batch_size=4)
    run = ReadoutTraining(model, dataset, dataset.classes, config, width=8, folder=Path(out))
    batch = torch.utils.data.default_collate([run.samples[n] for n in next(run._batches())])
    sum(run.losses(batch).values()).backward()
    return {name: p.grad for name, p in run.readouts.named_parameters()}, len(batch["image"])


dist.init_process_group("gloo")
rank = dist.get_rank()
torch.save(gradients(), Path(out) / f"rank-{rank}.pt")
dist.destroy_process_group()
if rank == 0:
    torch.save(gradients(), Path(out) / "alone.pt")
"""


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(sd1_folder, scenes, tmp_path):
    (tmp_path / "process.py").write_text(PROCESS)
    AnnotatedFolder(scenes, index=tmp_path / "index.json")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(tmp_path / "process.py"), str(sd1_folder), str(scenes), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments], check=True, env=environment, capture_output=True)
    names = ("alone.pt", "rank-0.pt", "rank-1.pt")
    (one, whole), (two, half), (other, rest) = (torch.load(tmp_path / name, weights_only=True) for name in names)
    assert (whole, half, rest) == (4, 2, 2)
    assert any(gradient.abs().max() > 1e-3 for gradient in one.values())
    for name, gradient in one.items():
        assert torch.allclose(gradient, two[name], atol=1e-5), name
        assert torch.equal(two[name], other[name])


@pytest.mark.slow
def test_one_step_on_the_exact_sd15_configuration(tmp_path):
    """Random weights, 860 M of them, at 512 px: the shapes of spec and paper, and a step that moves the readouts."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from helpers.tiny import save_tiny_pipeline

    from augsal_transforms import SaliencyEditor

    folder = save_tiny_pipeline(tmp_path / "sd15", cross_attention_dim=32)
    UNet2DConditionModel(
        sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=32, attention_head_dim=8
    ).save_pretrained(folder / "unet", safe_serialization=True)
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    ).save_pretrained(folder / "vae", safe_serialization=True)
    scenes = tmp_path / "scenes"
    write_scenes(scenes, 1, seed=7)
    run = training(SaliencyEditor.from_pretrained(str(folder)), scenes, tmp_path / "out", batch_size=1)
    assert run.samples.cells == (64, 64)
    assert list(run.readouts.config.tap_channels) == [(1280,) * 3, (1280,) * 3, (640,) * 3, (320,) * 3]
    before = weights(run)
    run.descend(run.losses(torch.utils.data.default_collate([run.samples[0]])))
    assert all(moved(before, weights(run), part) for part in ("low", "high", "photometric", "classify", "saliency"))
