import pytest
from helpers.browsers import opened, violations
from helpers.galleries import store_edits

from augsal_transforms import Contrast, EditStore
from augsal_transforms.gallery.cards import to_card
from augsal_transforms.gallery.page import render
from augsal_transforms.gallery.shown import Problems, StoredImages

pytestmark = pytest.mark.browser
HOSTILE = "a <script>alert(1)</script> \"'\u202e dog " + "x" * 9000


@pytest.fixture
def path(tmp_path, dataset):
    """A page of three images: contrast at three α, brightness and colour; contrast alone; a stranger's caption."""
    store = EditStore(tmp_path / "edits")
    about = {"bounds": [0.2] * 6}
    store_edits(store, dataset, "photo-0", about=about)
    store_edits(store, dataset, "photo-1", [Contrast(1.2), Contrast(1.8)], about=about)
    store_edits(store, dataset, "photo-2", [Contrast(1.5)], prompt=HOSTILE)
    cards = sorted((to_card(shown) for shown in StoredImages(store, dataset, Problems())), key=lambda card: card.name)
    path = tmp_path / "gallery.html"
    path.write_bytes(render(cards, source="edits", notes=["1 damaged record"]))
    return path


def pixels(card):
    """The picture on the right of a card, as a screenshot in PNG."""
    return card.locator(".after svg").screenshot()


def test_the_slider_changes_the_picture_by_mouse_and_by_keyboard(path):
    with opened(path) as (page, noticed):
        card = page.locator(".card").nth(0)
        card.get_by_role("radio", name="contrast").check()
        slider = card.get_by_role("slider")
        strongest = pixels(card)
        assert slider.get_attribute("aria-valuetext") == "α = 1.8"
        slider.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == "α = 1.5"
        assert pixels(card) != strongest
        slider.press("Home")
        assert card.locator(".now").text_content() == "the original"
        assert card.get_by_text("The original, as it is").is_visible()
        original = pixels(card)
        assert original != strongest
        box = slider.bounding_box()
        page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
        assert slider.get_attribute("aria-valuetext") == "α = 1.8"
        assert pixels(card) == strongest
        assert card.locator(".panel:visible").get_by_text("Asked: contrast, α = 1.8.").count() == 1
        assert noticed == []


def test_the_region_is_shown_and_hidden(path):
    with opened(path) as (page, _):
        card = page.locator(".card").nth(1)
        plain = pixels(card)
        card.get_by_role("checkbox", name="Region").check()
        assert pixels(card) != plain
        assert "dimmed" in card.locator(".after svg").get_attribute("aria-label")
        card.get_by_role("checkbox", name="Region").uncheck()
        assert pixels(card) == plain
        page.get_by_label("All regions").check()
        assert page.locator(".card .region:checked").count() == 3


def test_filters_filter(path):
    with opened(path) as (page, _):
        page.get_by_label("Kind").select_option("color")
        assert page.locator(".card:visible h2").all_text_contents() == ["photo-0"]
        assert page.locator(".card:visible .now").text_content() == "color red, α = 0.4"
        assert page.get_by_text("1 of 3 images").is_visible()
        page.get_by_label("Kind").select_option("contrast")
        assert page.locator(".card:visible").count() == 3
        page.get_by_label("Word").select_option("dog")
        assert page.get_by_text("3 of 3 images").is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "light"), (390, "dark")])
def test_no_rule_of_accessibility_is_broken_and_nothing_is_requested(path, width, scheme):
    with opened(path, width, scheme) as (page, noticed):
        page.get_by_label("All regions").check()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert noticed == []


def test_a_strangers_caption_is_read_as_text(path):
    with opened(path) as (page, noticed):
        assert page.locator(".card").nth(2).locator(".caption").text_content() == HOSTILE
        assert page.locator("script").count() == 1
        assert noticed == []
