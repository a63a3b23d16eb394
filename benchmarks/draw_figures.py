"""Draw figures of what was measured: throughput against other methods, and the curves of a training.

    python benchmarks/draw_figures.py                                       # throughput.png, from benchmarks/README.md
    python benchmarks/draw_figures.py --throughput edit_throughput.json     # from edit_throughput.py --json
    python benchmarks/draw_figures.py --curves unisal-example/losses.json   # curves.png, from train_unisal_aug.py
    python benchmarks/draw_figures.py --curves OUT/metrics.json             # from augsal train-readouts

The figure of the ablation is drawn by ``ablation.py``, that of the gaze study by ``augsal shift --plot``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

PAGE = Path(__file__).parent / "README.md"
OURS, OTHERS = "#0072B2", "#E69F00"  # of Okabe and Ito's palette; test_draw_figures.py simulates colour blindness
CURVES = (OURS, OTHERS, "#000000", "#999999", "#882255")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)))  # a second sign beside the colour

Curve = tuple[list[int], list[float]]


def read_throughput(path: Path) -> dict[str, float]:
    """Images a second by method, from the JSON of edit_throughput.py or its table on a page.

    Raises:
        ValueError: If the file has no such numbers.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        rates = {cost["name"]: 1 / cost["seconds"] for cost in json.loads(text)["costs"]}
    else:
        table = text.partition("| method | images a second |")[2].partition("\n\n")[0]
        rates = {name: float(rate) for name, rate in re.findall(r"^\| ([^|]+) \| ([\d.e+]+) \|", table, re.MULTILINE)}
    if not rates:
        raise ValueError(f"`path` must hold images a second by method, found none in {path}.")
    return rates


def read_curves(path: Path) -> dict[str, Curve]:
    """Steps and losses by name, from losses.json of train_unisal_aug.py or metrics.json of ``augsal train-readouts``.

    Raises:
        ValueError: If the file has no step.
    """
    table = json.loads(path.read_text(encoding="utf-8"))
    if "history" in table:
        names = [name for name in (table["history"] or [{}])[-1] if name != "step"]
        rows = {name: [(row["step"], row[name]) for row in table["history"] if name in row] for name in names}
        curves = {name: ([step for step, _ in found], [loss for _, loss in found]) for name, found in rows.items()}
    else:
        curves = {name: (list(range(1, len(losses) + 1)), losses) for name, losses in table.items() if losses}
    if not curves:
        raise ValueError(f"`path` must hold losses of at least one step, found none in {path}.")
    return curves


def smooth(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value and of those up to ``width`` − 1 before it."""
    spans = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(span) / len(span) for span in spans]


def draw_throughput(rates: dict[str, float], path: Path) -> None:
    """Draw images a second as dots on a logarithmic axis, the fastest on top."""
    names = sorted(rates, key=lambda name: rates[name])
    figure = Figure(figsize=(7, 1 + 0.27 * len(names)), layout="constrained")
    axis = figure.subplots()
    for label, color, marker in (("ours", OURS, "o"), ("others", OTHERS, "s")):
        chosen = [name for name in names if name.startswith("ours") == (label == "ours")]
        axis.plot([rates[n] for n in chosen], [names.index(n) for n in chosen], marker, color=color, label=label)
    for place, name in enumerate(names):
        label = f"{rates[name]:,.0f}" if rates[name] >= 100 else f"{rates[name]:.3g}"
        axis.annotate(label, (rates[name], place), (7, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("edited images a second (logarithmic)")
    axis.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def draw_curves(curves: dict[str, Curve], path: Path) -> None:
    """Draw losses over steps, as running means over a twentieth of the steps."""
    width = max(1, max(len(steps) for steps, _ in curves.values()) // 20)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for number, (name, (steps, losses)) in enumerate(curves.items()):
        color, style = CURVES[number % len(CURVES)], STYLES[number % len(STYLES)]
        marker = "o" if len(steps) == 1 else ""
        axis.plot(steps, smooth(losses, width), marker=marker, color=color, linestyle=style, label=name)
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.set_xlabel("training step")
    axis.set_ylabel(f"loss (running mean of {width} values)" if width > 1 else "loss")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throughput", type=Path, default=PAGE, help="JSON of edit_throughput.py, or a page")
    parser.add_argument("--curves", type=Path, help="losses.json or metrics.json of a training")
    parser.add_argument("--out", type=Path, default=PAGE.parents[1] / "docs" / "images", help="folder for the figures")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.curves:
        draw_curves(read_curves(options.curves), options.out / "curves.png")
        print(options.out / "curves.png")
    else:
        draw_throughput(read_throughput(options.throughput), options.out / "throughput.png")
        print(options.out / "throughput.png")


if __name__ == "__main__":
    main()
