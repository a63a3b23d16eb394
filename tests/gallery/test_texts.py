import pytest

from augsal_transforms.gallery.texts import Caption, clean, label, mark_word, shorten


def test_a_word_is_marked_where_it_stands_alone():
    assert mark_word("the dogs and a dog", "dog") == Caption("the dogs and a ", "dog", "")
    assert mark_word("a dog and a dog", "dog", start=12) == Caption("a dog and a ", "dog", "")
    assert mark_word("a dog", "cat") == Caption("a dog", "", "")
    assert mark_word("a dog", "") == Caption("a dog", "", "")


def test_what_no_page_can_hold_is_replaced():
    assert clean("a\x00b\x1b[31m\udce9\tc") == "a\ufffdb\ufffd[31m\ufffd\tc"
    clean("\ud83d\ude00").encode()


def test_labels_are_short():
    assert label("x" * 10_000) == "x" * 80 + "…"
    assert label("x" * 80) == "x" * 80


@pytest.mark.parametrize("place", [0, 5000, 9990])
def test_a_shortened_caption_keeps_its_word(place):
    text = "x" * place + " dog " + "y" * (9990 - place)
    short = shorten(mark_word(text, "dog"), 60)
    assert short.word == "dog"
    assert len(short.text) <= 62  # with two ellipses
    assert shorten(Caption("a ", "dog", " runs"), 60) == Caption("a ", "dog", " runs")
    assert shorten(Caption("z" * 100, "", ""), 60).text == "z" * 60 + "…"
