"""benchmarks/edit_profile.py: the times of operations are the time of the whole."""

import time

import edit_profile
import pytest
import torch
import torch.nn.functional as F
from edit_profile import Stopwatch


def test_operations_are_counted_by_hand():
    # A product of (2, 3) and (3, 5): 2 · 2 · 3 · 5 = 60. A convolution from 2 to 4 channels on 6×6 pixels, its kernel
    # of 3×3: 2 · 36 · 2 · 4 · 9 = 5,184; with one of 1×1: 2 · 36 · 2 · 4 = 576.
    images = torch.rand(1, 2, 6, 6)
    with Stopwatch() as watch:
        torch.rand(2, 3) @ torch.rand(3, 5)
        F.conv2d(images, torch.rand(4, 2, 3, 3), padding=1)
        F.conv2d(images, torch.rand(4, 2, 1, 1))
        F.conv_transpose2d(images, torch.rand(2, 4, 4, 4), stride=2, padding=1)
    counted = {name: count for name, count in watch.operations.items() if count}
    assert counted.keys() == {"mm", "convolution 3×3", "convolution 1×1", "convolution 4×4, transposed"}
    assert (counted["mm"], counted["convolution 3×3"], counted["convolution 1×1"]) == (60, 5184, 576)


def test_times_and_shares_add_up():
    values = torch.rand(200, 200)

    def edit():
        time.sleep(0.01)
        return values @ values + values

    rows = edit_profile.profile(edit, 2, 2, (1e12, 1e12))
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.milliseconds for row in rows) > 5  # of two edits in 10 ms or more
    by_name = {row.operation: row for row in rows}
    assert by_name["Python"].milliseconds > 4
    assert by_name["mm"].rate == pytest.approx(by_name["mm"].share_of_rate)  # of 1 TFLOP/s
    assert by_name["add"].rate == 0
