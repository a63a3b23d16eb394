"""Threads that share an editor get what one thread gets, to the bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from helpers.pictures import EDITS, blob, picture

from augsal_transforms import EditConfig, SaliencyEditor
from augsal_transforms.editor.calibrate import measure_gain
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

PROMPTS = ["a red dog on the street", "", "a cat", "a bus. a dog", "a skateboard"]


def gated(editor):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8)).eval().requires_grad_(False)
    return replace(editor, gate=readouts)


def calls(editor):
    """Functions that edit, analyse, apply and measure, each with inputs of its own; they return tensors."""
    paper, gate = replace(editor, config=EditConfig(steps=2, noise_level=0.5)), gated(editor)
    shared = editor.analyse([picture(seed=9)], [blob()], ["a red dog"])

    def edit(editor, n):
        image = picture(96, 96 + 32 * (n % 2), seed=n, dtype=torch.uint8)
        given = [image], [blob(*image.shape[-2:], x=0.2 + 0.1 * (n % 5))], [PROMPTS[n % 5]]
        return [
            t for r in editor.edit(*given, [EDITS], seed=n) for t in (r.image, r.edit_mask, torch.tensor(r.strength))
        ]

    def analyse(n):
        (analysis,) = editor.analyse([picture(seed=n)], [blob()], [PROMPTS[n % 5]], seed=n)
        return [analysis.region, analysis.latent, analysis.decoded, *analysis.trajectory[0]]

    def apply(n):
        return [editor.apply(shared, [EDITS[n % 3]])[0].image]

    for n in range(4):
        yield lambda n=n: edit(editor, n)
        yield lambda n=n: edit(paper, n)
        yield lambda n=n: edit(gate, n)
        yield lambda n=n: analyse(n)
        yield lambda n=n: apply(n)
    yield lambda: [measure_gain(editor, [picture(seed=20)])]


@pytest.mark.parametrize("folder", ["sd1_folder", "sd2_folder"])
def test_eight_threads_get_what_one_thread_gets(folder, request):
    editor = SaliencyEditor.from_pretrained(str(request.getfixturevalue(folder)))
    mixed = list(calls(editor))
    before = {name: id(processor) for name, processor in editor.model.unet.attn_processors.items()}
    expected = [call() for call in mixed]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: call(), mixed))
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert {name: id(processor) for name, processor in editor.model.unet.attn_processors.items()} == before


def test_the_networks_are_locked_while_they_are_changed(editor):
    """A thread that holds the lock sees the U-Net with its own processors, while another thread edits."""
    own = {id(processor) for processor in editor.model.unet.attn_processors.values()}
    stop, seen = [False], set()

    def watch():
        while not stop[0]:
            with editor.model.lock:
                seen.update(id(processor) for processor in editor.model.unet.attn_processors.values())

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        for n in range(3):
            editor.edit([picture(seed=n)], [blob()], ["a red dog"], [EDITS])
        stop[0] = True
        watching.result()
    assert seen == own
