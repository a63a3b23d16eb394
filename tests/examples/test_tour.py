import json

from run_tour import NOTEBOOK, run_cells


def test_the_tour_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    kept = sum(len(cell.get("outputs", [])) for cell in notebook["cells"])
    run_cells(notebook)
    shown = json.dumps([cell.get("outputs", []) for cell in notebook["cells"]])
    assert "'made': 10" in shown
    assert "of 10 edited" in shown
    assert "CC of the predicted map" in shown
    assert shown.count("image/jpeg") == 3
    assert kept == sum(len(cell.get("outputs", [])) for cell in notebook["cells"])  # made by run_tour.py, and kept


def test_the_notebook_is_small_enough_for_a_repository():
    assert NOTEBOOK.stat().st_size <= 300_000
