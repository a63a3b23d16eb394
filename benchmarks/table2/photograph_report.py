"""Table and figure of the trials on photographs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from augsal_transforms.metrics import definitions
from table2.paired import METRICS, Comparison
from table2.photograph_variants import WITHOUT, find_variant
from table2.scoring import PRESET

Rows = Mapping[int, Mapping[str, Mapping[str, Comparison]]]
# Blue, vermilion and black of Okabe and Ito, told apart by people with every kind of colour vision.
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#000000", "^"))


def print_table(rows: Rows) -> None:
    """Print a table for each number of training photographs, and the definitions of the metrics."""
    for size, of_size in rows.items():
        if not of_size:
            continue
        arrows = (f"{m} {'↑' if METRICS[m].higher_is_better else '↓'}" for m in METRICS)
        print(f"\n{size} training photographs\n\n| | seeds | {' | '.join(arrows)} |\n|---|---|{'---|' * len(METRICS)}")
        for name, comparisons in of_size.items():
            seeds = next(iter(comparisons.values())).seeds
            cells = [c.mean_text() if name == WITHOUT.name else difference_text(c) for c in comparisons.values()]
            print(f"| {title(name)} | {seeds} | {' | '.join(cells)} |")
    for metric in METRICS:
        print(f"{metric}: {definitions(PRESET)[metric]}")


def title(name: str) -> str:
    """Name of a variant, with what it is compared with."""
    other = find_variant(name).compared_with
    return name if name == WITHOUT.name or other == WITHOUT.name else f"{name}, against *{other}*"


def difference_text(comparison: Comparison) -> str:
    """Difference with its 95 % interval, p after Holm's correction, and the smallest difference that would show."""
    c = comparison
    difference = f"{c.difference:+.4f}".replace("-", "−")
    text = f"{difference} ± {c.ci95:.4f}, p = {c.p_holm:.2g}"
    return f"{f'**{text}**' if c.p_holm < 0.05 else text} ({c.smallest:.4f})"


def draw_figure(rows: Rows, path: Path) -> None:
    """Draw the differences with 95 % intervals over seeds; better is to the right for every metric."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for of_size in rows.values() for name in of_size if name != WITHOUT.name))
    figure, axes = pyplot.subplots(1, len(METRICS), sharey=True, figsize=(13, 1.6 + 0.5 * len(names)), squeeze=False)
    for axis, metric in zip(axes[0], METRICS, strict=True):
        sign = 1 if METRICS[metric].higher_is_better else -1
        axis.axvline(0, color="0.6", linewidth=1)
        for n, ((size, of_size), (color, marker)) in enumerate(zip(rows.items(), LOOKS, strict=False)):
            found = {place: of_size[name][metric] for place, name in enumerate(names) if name in of_size}
            offset = 0.22 * (n - (len(rows) - 1) / 2)
            axis.errorbar(
                [sign * c.difference for c in found.values()],
                [place + offset for place in found],
                xerr=[c.ci95 if c.seeds > 1 else 0 for c in found.values()],
                fmt=marker, color=color, markersize=4, capsize=2, label=f"{size} photographs",
            )  # fmt: skip
        axis.locator_params(axis="x", nbins=3)
        axis.set_title(METRICS[metric].title if sign > 0 else f"{METRICS[metric].title}, sign reversed", fontsize=9)
    axes[0][0].set_yticks(range(len(names)), [title(name).replace("*", "") for name in names])
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)  # the first on top
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="upper right", ncols=len(rows), fontsize=9)
    figure.supxlabel(
        "difference to 'without', or to the variant named; right of the line is better (bars: 95 % intervals)",
        fontsize=9,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
