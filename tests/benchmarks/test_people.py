"""References of people's gaze on a small data set in OSIE's layout."""

import pytest
from helpers.osie import entry, write_osie
from people import MEASURED, main, measure, ordered

STEMS = ["1001", "1002", "1003", "1004"]


def test_photographs_are_ordered_by_their_names_alone():
    assert ordered(STEMS) == ordered(STEMS[::-1])
    assert sorted(ordered(STEMS)) == STEMS


def test_viewers_who_look_alike_predict_each_other_and_the_centre_does_not(tmp_path):
    here = ([9.0, 10.0], [8.0, 9.0])
    there = ([30.0, 31.0], [22.0, 23.0])
    names = ordered(STEMS)
    # The training photographs are looked at in one place, the held-out one in another, by both halves alike.
    entries = [entry(f"{name}.jpg", [here] * 3) for name in names[:3]] + [entry(f"{names[3]}.jpg", [there] * 4)]
    found = measure(write_osie(tmp_path, entries, STEMS), 1, training=3)
    half, centre = (dict(zip(MEASURED, found[name], strict=True)) for name in ("half of the viewers", "centre bias"))
    assert half["cc"] == pytest.approx(1)
    assert half["kld"] == pytest.approx(0, abs=1e-6)
    assert centre["cc"] < 0 < half["nss"]


def test_the_command_prints_a_row_for_each(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["references"])
    assert "--data" in capsys.readouterr().err
