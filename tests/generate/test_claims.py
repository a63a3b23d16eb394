import json
from pathlib import Path

from augsal_transforms.generate.claims import Claims, Failures


def test_a_name_is_claimed_once_until_it_is_released(tmp_path):
    ours, theirs = Claims(tmp_path), Claims(tmp_path)
    name = "a name/with a slash, and longer than a file name may be" * 20
    assert ours.stamp(name) is None
    assert ours.take(name)
    assert not theirs.take(name)
    assert theirs.take("another")
    first = theirs.stamp(name)
    theirs.release(name)
    theirs.release(name)
    assert theirs.take(name)
    assert ours.stamp(name) > first


def test_failures_are_one_line_an_image_sorted(tmp_path):
    failures = Failures(tmp_path)
    for name in ("b", "a", "b"):
        failures.note(name, Path(f"{name}.jpg"), ValueError(f"{name} is broken"))
    failures.write_table()
    lines = [json.loads(line) for line in failures.table.read_text().splitlines()]
    assert lines == [{"name": name, "path": f"{name}.jpg", "error": f"{name} is broken"} for name in ("a", "b")]
    failures.clear("a")
    failures.clear("b")
    failures.clear("c")
    failures.write_table()
    assert not failures.table.exists()
