import pickle
from dataclasses import replace

import pytest
import torch
from helpers.pictures import EDITS, blob, picture

from augsal_transforms import EditConfig, SaliencyEditor
from augsal_transforms.diffusion.loading import load_model
from augsal_transforms.readouts.features import decoder_convolutions, record_features

PROMPTS = ["a red dog on the street", "a cat", "a bus. a dog", "", "a skateboard"]
NOTED = []


def note(graph, inputs):
    """A backend of ``torch.compile`` that notes each graph and runs it as it is."""
    NOTED.append(graph)
    return graph.forward


@pytest.fixture(scope="module")
def compiled(editor, sd1_folder):
    """The real classes; a batch of four has been edited, so what a test finds in NOTED comes on top."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = load_model(sd1_folder, device=torch.device("cpu"), dtype=torch.float32, backend=note)
    made = replace(editor, model=model, config=EditConfig(batch_size=4))
    edit(made, 4)
    assert len(NOTED) == 4  # the encoder, the decoder, the U-Net that records and the one that injects
    yield made
    torch._dynamo.reset()


@pytest.fixture(autouse=True)
def forget():
    NOTED.clear()


def edit(editor, count, start=0, size=(96, 128)):
    images = [picture(*size, seed=start + n, dtype=torch.uint8) for n in range(count)]
    edits = [EDITS[(start + n) % 3] for n in range(count)]
    return editor.edit(images, [blob(*size)] * count, PROMPTS[:count], edits, seed=start)


def check_alike(compiled, editor, count, start):
    """Compiled edits are those of ``editor``, to a grey level, and outside the masks the photographs', to the bit."""
    for n, results in enumerate(zip(edit(compiled, count, start), edit(editor, count, start), strict=True)):
        result, expected = results
        outside = (result.edit_mask == 0).expand_as(result.image)
        assert torch.equal(result.image[outside], picture(seed=start + n, dtype=torch.uint8)[outside])
        assert (result.image.float() - expected.image.float()).abs().max() <= 1
        assert result.strength == pytest.approx(expected.strength, abs=1e-4)
        assert (result.word, result.bound_by) == (expected.word, expected.bound_by)


def test_no_batch_is_compiled_again_whatever_it_holds(compiled, editor):
    for start, count in enumerate((3, 1, 4, 5)):
        check_alike(compiled, editor, count, start)
    assert not NOTED
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.slow
def test_another_size_of_image_is_compiled_once(compiled):
    for start in range(2):
        edit(compiled, 2, start, size=(96, 96))
    assert len(NOTED) == 4


@pytest.mark.slow
def test_all_noise_levels_share_what_is_compiled(compiled, editor):
    config = EditConfig(steps=3, noise_level=0.8, batch_size=4)
    check_alike(replace(compiled, config=config), replace(editor, config=config), 2, 0)
    assert len(NOTED) == 1  # the inversion's first pass, which neither records nor injects


def test_features_are_read_off_a_network_that_was_compiled_without(compiled):
    unet, count = compiled.model.unet, sum(map(len, decoder_convolutions(compiled.model.unet)))
    given = torch.rand(4, 4, 24, 32), torch.tensor([201]), torch.rand(4, 77, 32)
    for _ in range(2):
        with torch.no_grad(), record_features(unet) as taps:
            unet(*given)
        assert len(taps) == count
    assert len(NOTED) == 1


def test_a_compiled_editor_travels_as_one(sd1_folder):
    editor = SaliencyEditor.from_pretrained(str(sd1_folder), compile=True)
    assert pickle.loads(pickle.dumps(editor)).batches.filled
    assert not SaliencyEditor.from_pretrained(str(sd1_folder)).batches.filled


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler
def test_what_inductor_makes_of_the_networks_edits_alike(editor, sd1_folder):
    torch._dynamo.reset()  # compilations are counted per process
    torch._dynamo.utils.counters.clear()
    made = SaliencyEditor.from_pretrained(str(sd1_folder), compile=True, config=EditConfig(batch_size=2))
    check_alike(made, editor, 2, 0)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 4
