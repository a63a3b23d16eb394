import pytest
from raised_saliency import choose, describe


def row(gate, judge=0.0):
    return {"rises": {"gate": gate, "judge": judge}}


def test_a_gate_chooses_among_the_first_two_above_its_margin():
    rows = [row(0.01), row(0.03), row(0.9)]
    assert choose(rows, "first", 0.0) is rows[0]
    assert choose(rows, "first", 0.02) is rows[1]
    assert choose(rows, "most", 0.0) is rows[1]
    assert choose(rows, "most", 0.03) is None


def test_a_line_says_how_many_images_and_by_how_much():
    told = describe([row(0, 0.1), row(0, 0.3), row(0, -0.1)], "judge", images=4)
    assert told.startswith("   3 of 4 images | raised  67% | mean +0.1000")
    assert describe([row(0, 0.1)], "judge", images=4) == "1 of 4 images"


def test_one_of_photographs_and_scenes_is_asked_for(capsys):
    from raised_saliency import main

    with pytest.raises(SystemExit):
        main([])
    assert "give --data with --judges, or --scenes" in capsys.readouterr().err
