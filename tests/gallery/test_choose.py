from pathlib import Path

import pytest

from augsal_transforms.gallery.choose import MAX_EDITS, evenly, in_order, spread, thin
from augsal_transforms.store.entries import EditEntry


def test_kinds_take_turns_and_every_image_comes_once():
    names = [f"photo-{n}" for n in range(20)]
    kinds = {name: {"contrast"} for name in names} | {name: {"contrast", "color"} for name in names[:3]}
    shown = list(spread(kinds))
    assert sorted(name for name, _ in shown) == sorted(names)
    assert [kind for _, kind in shown[:6]] == ["color", "contrast"] * 3
    assert all(kind in kinds[name] for name, kind in shown)


def test_the_order_is_the_same_whatever_else_the_data_set_has():
    names = [f"photo-{n}" for n in range(50)]
    order = in_order(names)
    assert order != names
    assert in_order(reversed(names)) == order
    assert [name for name in in_order([*names, "another"]) if name != "another"] == order
    assert in_order(["\udce9"]) == ["\udce9"]


@pytest.mark.parametrize(("count", "expected"), [(1, [9]), (2, [0, 9]), (4, [0, 3, 6, 9]), (20, [*range(10)])])
def test_evenly_keeps_both_ends(count, expected):
    assert evenly(range(10), count) == expected


def entries(**counts):
    return [EditEntry(kind, "", n / 10, Path("record")) for kind, count in counts.items() for n in range(count)]


def test_an_image_with_many_edits_shows_as_many_of_each_kind():
    chosen = thin(entries(contrast=30, brightness=30, color=2))
    assert len(chosen) == MAX_EDITS == 12
    assert [sum(one.kind == kind for one in chosen) for kind in ("brightness", "color", "contrast")] == [5, 2, 5]
    alphas = [one.alpha for one in chosen if one.kind == "contrast"]
    assert (alphas[0], alphas[-1]) == (0.0, 2.9)


def test_few_edits_are_all_shown():
    few = entries(contrast=3, brightness=1)
    assert thin(few) == sorted(few)
