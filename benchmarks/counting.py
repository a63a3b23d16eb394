"""Measure the cost of a method: forward passes, operations, time and memory, and the limits of the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop

from augsal_transforms.progress import progress_bar

# The counter knows the fused attention of a GPU, not that of a CPU.
OPERATIONS = {**flop_registry, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop}


@dataclass
class Method:
    """A method of editing images: ``run`` makes ``edits`` edited images with these networks.

    If ``share`` is below 1, a run performs that share of the method, and its cost is divided by it.
    """

    name: str
    run: Callable[[], object]
    unet: Any
    vae: Any
    edits: int = 1
    share: float = 1.0


@dataclass
class Cost:
    """Cost per edited image: samples through each network, operations and seconds; and the peak memory of a run."""

    name: str
    unet: float
    encodes: float
    decodes: float
    operations: float
    seconds: float = float("nan")
    share_of_ceiling: float = float("nan")
    gigabytes: float = float("nan")


@contextmanager
def count_samples(**networks: Any) -> Iterator[dict[str, int]]:
    """Count the samples that pass each named network while the block runs."""
    seen = dict.fromkeys(networks, 0)

    def counter(name: str) -> Callable[..., None]:
        def count(module: Any, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
            seen[name] += len(arguments[0] if arguments else options["sample"])

        return count

    handles = [network.register_forward_hook(counter(name), with_kwargs=True) for name, network in networks.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def measure_cost(method: Method) -> Cost:
    """Run a method once and count; on a GPU measure its peak memory too, with only its own weights on the device."""
    cuda = method.unet.device.type == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    networks = {"unet": method.unet, "encodes": method.vae.encoder, "decodes": method.vae.decoder}
    # The counter knows the fused attention of a GPU, and of a CPU only the products that it is made of.
    attention = nullcontext() if cuda else sdpa_kernel(SDPBackend.MATH)
    with count_samples(**networks) as seen, attention, FlopCounterMode(display=False) as operations:
        method.run()
    per_edit = method.edits * method.share
    cost = Cost(
        method.name,
        **{name: count / per_edit for name, count in seen.items()},
        operations=operations.get_total_flops() / per_edit,
    )
    if cuda:
        weights = sum(p.nbytes for network in (method.unet, method.vae) for p in network.parameters())
        cost.gigabytes = (torch.cuda.max_memory_allocated() - before + weights) / 1e9
    return cost


def seconds(run: Callable[[], object], *, cuda: bool) -> float:
    """Measure seconds: wall-clock time on a GPU, processor time on a CPU, which other work hardly changes."""
    if not cuda:
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def alternate(runs: dict[str, Callable[[], object]], rounds: int, *, cuda: bool) -> dict[str, float]:
    """Measure the median seconds of each method; they take turns, so other work on the machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in progress_bar(list(runs.items()) * rounds, "run"):
        times[name].append(seconds(run, cuda=cuda))
    return {name: statistics.median(values) for name, values in times.items()}


def rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Measure operations per second of a matrix product and of a 3×3 convolution on random values; best of ten each."""
    cuda = device.type == "cuda"
    side, pixels = (8192, 256) if cuda else (1024, 64)
    matrix: Tensor = torch.randn(side, side, device=device).to(dtype)
    images = torch.randn(8, 128, pixels, pixels, device=device).to(dtype, memory_format=torch.channels_last)
    kernels = torch.randn(128, 128, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    product = min(seconds(lambda: matrix @ matrix, cuda=cuda) for _ in progress_bar(range(10), "run", "product"))
    runs = progress_bar(range(10), "run", "convolution")
    convolution = min(seconds(lambda: F.conv2d(images, kernels, padding=1), cuda=cuda) for _ in runs)
    return 2 * side**3 / product, 2 * 8 * pixels**2 * 128**2 * 9 / convolution


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the larger of the two ``rates``.

    On some CPUs the library's matrix product reaches less than half of what its convolutions do.
    """
    return max(rates(device, dtype))


def bandwidth(device: torch.device) -> float:
    """Measure the bytes per second that a sum of two large tensors moves; best of ten."""
    cuda = device.type == "cuda"
    left, right = torch.ones(2, 2**28 if cuda else 2**25, device=device)
    runs = progress_bar(range(10), "run", "memory")
    return 3 * left.nbytes / min(seconds(lambda: torch.add(left, right, out=left), cuda=cuda) for _ in runs)


class Roofline(TorchDispatchMode):
    """Lower bound of the seconds of the operations in the block: the longer of arithmetic and memory, for each one.

    Attributes:
        seconds: Seconds of all operations. A convolution whose images are not in channels_last moves them once more in
            each direction.
        fused: Seconds without the elementwise operations, which a compiler joins to others.
    """

    def __init__(self, peaks: dict[torch.dtype, float], bytes_a_second: float) -> None:
        super().__init__()
        self.peaks, self.bandwidth = peaks, bytes_a_second
        self.seconds = self.fused = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function.is_view:
            return result
        given, made = ([x for x in tree_leaves(tree) if isinstance(x, Tensor)] for tree in ((args, kwargs), result))
        moved = sum(x.nbytes for x in given + made)
        if function._overloadpacket == torch.ops.aten.convolution and not _in_channels_last(given[0]):
            moved += 2 * (given[0].nbytes + made[0].nbytes)
        count = OPERATIONS.get(function._overloadpacket)
        longest = moved / self.bandwidth
        if count:
            operations = count(*args, **(kwargs or {}), out_val=result)
            longest = max(operations / self.peaks[made[0].dtype], longest)
        self.seconds += longest
        self.fused += 0.0 if torch.Tag.pointwise in function.tags else longest
        return result


def _in_channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last)
