import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from helpers.galleries import store_edits
from helpers.records import edited, picture

from augsal_transforms import Contrast, EditStore
from augsal_transforms.gallery.cards import to_card, to_cards
from augsal_transforms.gallery.page import is_page, render
from augsal_transforms.gallery.shown import Problems, ShownEdit, ShownImage, StoredImages


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text in each of them."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.text, self._open = [], {}, []
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if self._open:
            self.text.setdefault(self._open[-1], []).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def cards_of(store, dataset):
    return [to_card(shown) for shown in StoredImages(store, dataset, Problems())]


def test_equal_stores_give_equal_pages(store, dataset):
    assert render(cards_of(store, dataset), source="edits") == render(cards_of(store, dataset), source="edits")


def test_cards_made_together_are_those_made_one_by_one(store, dataset):
    shown = list(StoredImages(store, dataset, Problems()))
    together = list(to_cards(shown, threads=4))
    assert [image for image, _ in together] == shown
    assert [card for _, card in together] == [to_card(image) for image in shown]


def test_the_page_allows_its_own_style_and_script_and_loads_nothing(store, dataset):
    page = Page(render(cards_of(store, dataset), source="edits"))
    policy = next(tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        content = "".join(page.text[tag])
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert len(page.all("script")) == len(page.all("style")) == 1
    for tag, attrs in page.tags:
        assert not {"style", "onclick", "onload", "srcset", "action"} & attrs.keys()
        for name in ("href", "src"):
            target = attrs.get(name, "#")
            assert target.startswith(("#", "data:")), (tag, target)


def test_every_control_and_picture_has_a_name(store, dataset):
    content = render(cards_of(store, dataset), source="edits").decode()
    page = Page(content.encode())
    assert [tag["lang"] for tag in page.all("html")] == ["en"]
    for tag in page.all("svg"):
        assert tag.get("aria-hidden") == "true" or (tag["role"] == "img" and tag["aria-label"])
    assert all("alt" in tag for tag in page.all("img"))
    controls = len(page.all("input")) + len(page.all("select"))
    assert len(re.findall(r"<label[^>]*>[^<]*<(?:input|select)|<label[^>]*><input[^>]*> \w", content)) == controls
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_step_is_shown_with_its_numbers(store, dataset):
    card = cards_of(store, dataset)[0]
    contrast = next(series for series in card.series if series.kind == "contrast")
    assert [step.label for step in contrast.steps] == ["α = 1.2", "α = 1.5", "α = 1.8"]
    assert contrast.steps[1].asked == "Asked: contrast, α = 1.5. Allowed: 81% of it, bound by brightness."
    assert contrast.steps[1].source == "Region: “dog”, 8% of the image."  # 9 × 12 of 32 × 40 pixels, all but zeros
    assert [row.name for row in contrast.steps[1].rows if row.limits] == ["brightness"]
    assert contrast.steps[1].rows[0].bars == (25.0, 25.0)


@pytest.mark.parametrize(("prompt", "reason"), [("on the", "the caption names nothing"), (" ", "there is no caption")])
def test_a_region_without_a_word_is_shown_with_its_reason(dataset, prompt, reason):
    image = picture(size=(32, 40))
    result = replace(edited(image, Contrast(1.5)), word="", region_source="saliency_map")
    card = to_card(ShownImage("photo", "contrast", image, None, [ShownEdit(result, prompt, None)]))
    assert card.steps[0].source == f"Region: from the saliency map, 8% of the image, because {reason}."


def test_bounds_stand_beside_the_bars(tmp_path, dataset):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-0", about={"bounds": [0.1, 0.2, 0.3, 0.4, 0.5, 2.0]})
    rows = cards_of(store, dataset)[0].steps[0].rows
    # 0.25 ± 0.1 … 0.25 ± 2, cut at 0 and 1, in percent
    assert [row.bounds for row in rows] == [(15, 35), (5, 45), (0, 55), (0, 65), (0, 75), (0, 100)]


HOSTILE = (
    "<script>alert(1)</script> a dog",
    "\"'><img src=x onerror=alert(1)> a dog & {{ 7 * 7 }}",
    "\u202ea dog \u2067شارع\u2066",
    "a dog " + "x" * 9994,
)


@pytest.mark.parametrize("prompt", HOSTILE)
def test_a_strangers_caption_is_text(tmp_path, dataset, prompt):
    store = EditStore(tmp_path / "edits")
    store_edits(store, dataset, "photo-0", prompt=prompt)
    plain = Page(render(cards_of(store, dataset), source=prompt))
    harmless = EditStore(tmp_path / "harmless")
    store_edits(harmless, dataset, "photo-0", prompt="a dog")
    expected = Page(render(cards_of(harmless, dataset), source="a dog"))
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in expected.tags]
    caption = "".join(plain.text["p"])
    before, _, after = prompt.partition("dog")
    assert before in caption
    assert after in caption
    assert plain.text["mark"] == ["dog"]


def test_words_names_and_bounds_of_strangers_are_text(dataset):
    hostile, image = "<b>\x00\udce9", picture(size=(32, 40))
    result = replace(edited(image, Contrast(1.5)), word=hostile, bound_by=hostile)
    huge = dict.fromkeys(result.properties_before, 1e299)
    shown = ShownImage(hostile, "contrast", image, None, [ShownEdit(replace(result, properties_after=huge), "", None)])
    page = Page(render([to_card(shown)], source=hostile, notes=[hostile]))
    assert page.all("b") == []
    assert page.text["bdi"] == ["<b>\ufffd\ufffd"] * 2
    assert "The record does not say which bounds it was made within." in page.text["p"]


def test_a_card_of_noise_stays_within_its_share_of_the_page():
    image = picture(size=(240, 320))
    made = [edited(image, Contrast(1 + n / 10), place=(0, 0, 240, 320), seed=n) for n in range(12)]
    edits = [replace(result, edit_mask=made[0].edit_mask) for result in made]
    shown = ShownImage("noise", "contrast", image, None, [ShownEdit(result, "a dog", None) for result in edits])
    page = render([to_card(shown)], source="noise")
    assert len(page) < 6_000_000 / 24
    assert len(Page(page).all("image")) == 1 + 12 + 1  # the original, the patches, the overlay


def test_an_edit_that_changed_nothing_has_no_patch(dataset):
    image = picture(size=(32, 40))
    result = edited(image, Contrast(1.5))
    result.image.copy_(image)
    card = to_card(ShownImage("same", "contrast", image, torch.ones(1, 32, 40), [ShownEdit(result, "", None)]))
    assert card.steps[0].patch is None
    assert card.steps[0].caption.text == ""
    assert b"<em>no caption</em>" in render([card], source="edits")


def test_predictions_are_shown_with_the_share_inside_the_region(store, dataset, predictor):
    shown = next(iter(StoredImages(store, dataset, Problems())))
    card = to_card(shown, predictor)
    assert card.prediction.startswith("data:image/webp;base64,")
    assert all(re.match(r"Share of the predicted saliency .* \d+\.\d% after\.", step.share) for step in card.steps)


def test_a_page_is_known_for_one(tmp_path, store, dataset):
    (tmp_path / "page.html").write_bytes(render(cards_of(store, dataset)[:1], source="edits"))
    (tmp_path / "other.html").write_bytes(b"<!doctype html><html><body>augsal gallery</body></html>")
    assert is_page(tmp_path / "page.html")
    assert not is_page(tmp_path / "other.html")
