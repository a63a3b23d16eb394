"""How often the host waits for a GPU: each wait leaves it without work until the host has given it more."""

import warnings

import pytest
import torch
from helpers.pictures import EDITS, blob, picture
from helpers.pretended_gpu import PretendedGpu, unchecked

from augsal_transforms import EditConfig, SaliencyEditor

DOWNLOADS = 3  # of each edit: its image, its mask and its region
WAITS = 3  # for one edit of one image


def edit(editor, count=1, size=(64, 64), per_image=1):
    images = [picture(*size, seed=n, dtype=torch.uint8) for n in range(count)]
    wanted = [[EDITS[(n + k) % 3] for k in range(per_image)] for n in range(count)]
    return editor.edit(images, [blob(*size)] * count, ["a red dog beside a cat"] * count, wanted)


def warmed(gpu, editor, dtype=torch.float32):
    """The editor on the GPU, with what is computed once for all batches."""
    moved = gpu.editor(editor, dtype)
    with gpu:
        edit(moved)
    return moved


def seen(gpu, moved, **given):
    gpu.seen.clear()
    with gpu:
        results = edit(moved, **given)
    assert {result.image.device.type for result in results} == {"cpu"}
    return gpu.seen


@pytest.fixture(scope="module")
def gpu():
    return PretendedGpu()


@pytest.fixture(scope="module")
def moved(gpu, editor):
    return warmed(gpu, editor)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="one image", marks=pytest.mark.slow),
        pytest.param({"size": (256, 192)}, id="twelve times the pixels"),
        pytest.param({"count": 3, "per_image": 2}, id="two edits of three images"),
        pytest.param({"per_image": 4}, id="four edits of an image", marks=pytest.mark.slow),
    ],
)
def test_a_batch_is_waited_for_twice_and_once_an_image_whatever_it_holds(gpu, moved, given):
    # Once where the analysis says which word and whether the region is empty, once for the strengths and properties.
    # The guided filter's solver asks of each image whether there is a solution.
    counts, images = seen(gpu, moved, **given), given.get("count", 1)
    edits = images * given.get("per_image", 1)
    assert counts["wait"] == WAITS - 1 + images
    assert counts["upload"] == 0
    assert counts["download"] == DOWNLOADS * edits
    assert counts["late upload"] > 0


@pytest.mark.slow
def test_each_half_precision_result_of_the_vae_is_waited_for_once_more(gpu, editor):
    # It may overflow, and is then computed again: Z, D(Z) and D(Z_out).
    assert seen(gpu, warmed(gpu, editor, torch.float16))["wait"] == WAITS + 3


@pytest.mark.slow
def test_the_steps_of_an_inversion_are_not_waited_for(gpu, moved):
    moved = unchecked(moved, config=EditConfig(steps=3, noise_level=0.8))
    assert seen(gpu, moved)["wait"] == WAITS


def test_a_gate_is_waited_for_once_a_pass(gpu, moved, predictor):
    moved = unchecked(moved, gate=gpu.network(predictor.readouts, torch.float32))
    assert seen(gpu, moved)["wait"] == WAITS + 2


@pytest.mark.parametrize(
    ("asks", "waits"),
    [
        (lambda values: [float(values[n]) for n in range(5)], 5),
        (lambda values: [values[n].item() for n in range(5)], 5),
        (lambda values: [values.sum().tolist(), values.tolist()], 2),
        (lambda values: bool(values.any()), 1),
        (lambda values: torch.linalg.solve(torch.outer(values, values), values), 1),
    ],
    ids=["float", "item", "tolist", "bool", "solve"],
)
def test_every_way_of_asking_for_a_value_is_counted(asks, waits):
    gpu = PretendedGpu()
    values = gpu.tensor(torch.rand(5))
    with gpu:
        asks(values)
    assert gpu.seen["wait"] == waits


def test_what_a_gpu_cannot_do_without_a_wait_or_at_all_is_refused():
    gpu = PretendedGpu()
    values = gpu.tensor(torch.rand(5))
    with gpu, pytest.raises(Exception, match="nonzero"):
        values[values > 0.5]
    with gpu, pytest.raises(Exception, match="device"):
        values + torch.rand(5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_real_gpu_is_waited_for_as_often_as_counted(sd1_folder, editor, dtype):
    on_gpu = SaliencyEditor.from_pretrained(str(sd1_folder), device="cuda", dtype=dtype)
    edit(on_gpu, count=3)  # what a GPU prepares at first
    gpu = PretendedGpu()
    counts = seen(gpu, warmed(gpu, editor, dtype), count=3)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            edit(on_gpu, count=3)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [f"{w.filename}:{w.lineno}" for w in found if "synchronizing CUDA operation" in str(w.message)]
    assert len(waits) <= counts["wait"] + counts["download"], waits
