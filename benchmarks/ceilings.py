"""Measure the limits of a machine: operations a second of products and convolutions, and bytes a second of memory.

    python benchmarks/ceilings.py [--device cuda] [--json FILE]

Other benchmarks express their speed as a share of these limits. On a CPU, seconds are processor time: set
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from counting import bandwidth, rates
from figures import Figure, report

from augsal_transforms.progress import Quiet


def device_name(device: torch.device) -> str:
    """The name of a card, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU thread(s)"


def main(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quiet", action=Quiet)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    found = [Figure("device", f"{device_name(device)}, torch {torch.__version__}")]
    for dtype in (torch.float32, torch.float16, torch.bfloat16) if device.type == "cuda" else (torch.float32,):
        product, convolution = (f"{rate / 1e12:.3g} TFLOP/s" for rate in rates(device, dtype))
        found.append(Figure(str(dtype).removeprefix("torch."), f"product {product}, convolution {convolution}"))
    found.append(Figure("memory", f"{bandwidth(device) / 1e9:.0f} GB/s, read and written"))
    report(found, options.json)
    return found


if __name__ == "__main__":
    main()
