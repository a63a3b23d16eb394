import PIL.Image
import pytest
import torch
from helpers.pictures import blob, picture

from augsal_transforms import Contrast
from augsal_transforms.gallery.canvas import EXPLANATION, GALLERY, is_figure
from augsal_transforms.gallery.cards import to_card
from augsal_transforms.gallery.explain import explain
from augsal_transforms.gallery.explain_figure import draw_explanation
from augsal_transforms.gallery.page import render
from augsal_transforms.gallery.shown import ShownEdit, ShownImage


def explained(editor, prompt, saliency_map=None, image=None):
    image = picture(dtype=torch.uint8) if image is None else image
    saliency_map = blob() if saliency_map is None else saliency_map
    return explain(editor, editor.analyse([image], [saliency_map], [prompt], seed=0)[0])


def test_every_word_has_its_attention_and_the_selected_one_the_largest_overlap(editor):
    found = explained(editor, "a red dog on the street")
    assert [word.text for word in found.words] == ["a", "red", "dog", "on", "the", "street"]
    states = {word.text: word.state for word in found.words}
    assert {word for word, state in states.items() if state == "skipped"} == {"a", "on", "the"}
    selected = next(word for word in found.words if word.state == "selected")
    assert selected.text == found.analysis.word.text
    assert selected.score == max(word.score for word in found.words if word.state != "skipped")
    assert found.share(selected) == 1.0


def test_the_maps_are_those_of_equation_8(editor):
    found = explained(editor, "a red dog on the street")
    selected = next(word for word in found.words if word.state == "selected")
    region = found.analysis.region[0]
    assert selected.overlap.shape == (72, 96)  # 96×128 pixels, with a longer side of 96
    assert float(region.sum() * selected.overlap.max()) == pytest.approx(selected.score, rel=1e-4)


def test_words_beyond_the_context_are_counted(editor):
    found = explained(editor, "dog " * 100)
    assert (len(found.words), found.cut_off) == (75, 25)  # 77 tokens with a start and an end


def test_a_caption_without_a_thing_and_a_map_of_zeros_are_told_apart(editor):
    assert "no caption" in explained(editor, "").summary
    assert "names nothing" in explained(editor, "the one on the left").summary
    assert "no region" in explained(editor, "a dog", torch.zeros(1, 96, 128)).summary
    assert "“dog”" in explained(editor, "a dog").summary


@pytest.mark.parametrize("prompt", ["", "a $dog$ \\frac{ \u0645\u0631 \u72d7 <b>\n" + "x" * 9000])
def test_any_caption_is_drawn(editor, tmp_path, prompt):
    draw_explanation(explained(editor, prompt), tmp_path / "figure.png")
    with PIL.Image.open(tmp_path / "figure.png") as figure:
        assert figure.width > 1000
        assert len(figure.convert("RGB").getcolors(1 << 24)) > 100
    assert is_figure(tmp_path / "figure.png", EXPLANATION)
    assert not is_figure(tmp_path / "figure.png", GALLERY)


def test_equal_explanations_give_equal_files(editor, tmp_path):
    found = explained(editor, "a dog")
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw_explanation(found, first)
    draw_explanation(found, second)
    assert first.read_bytes() == second.read_bytes()
    assert not is_figure(first, EXPLANATION)


def test_a_page_explains_the_region_where_an_editor_is_at_hand(editor):
    image = picture(dtype=torch.uint8)
    found = explained(editor, "a dog <i>on</i> the street", image=image)
    edit = ShownEdit(editor.apply([found.analysis], [Contrast(1.5)])[0], found.analysis.source.prompt, None)
    page = render([to_card(ShownImage("dog", "contrast", image, None, [edit], explanation=found))], source="x").decode()
    assert "How the region was found" in page
    assert page.count('<li class="skipped">') == 3  # a, on, the
    assert page.count('<li class="selected">') == 1
