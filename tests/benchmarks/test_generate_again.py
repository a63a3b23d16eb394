"""benchmarks/generate_again.py and evaluate_speed.py on a few small images."""

import evaluate_speed
import generate_again


def test_a_second_run_finds_all_edits_by_files_and_by_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(generate_again.time, "sleep", lambda _: None)
    found = {figure.name: figure for figure in generate_again.measure([2, 4], (64, 48), tmp_path)}
    assert found["seconds again over 4 images"].bar == "≤ 60 s for 10,000"
    assert "the same with --check-pixels, 2 images" in found
    assert "time of an image, largest set against smallest" in found


def test_workers_are_compared_and_their_reports_are_equal(tmp_path):
    evaluate_speed.write_data(tmp_path, 3, 64, 48)
    found = {figure.name: figure for figure in evaluate_speed.measure(tmp_path, 2, 1)}
    assert found["different reports"].holds
    assert found["rate with 2 workers against one"].bar == "≥ 1.8 × with 2"
