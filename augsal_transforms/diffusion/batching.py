"""Lists of images as batches of equal shape that memory holds, with noise that does not depend on the batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.randomness import keyed_generator, pixel_hash
from augsal_transforms.sharing import OwnLock

# Libraries of a GPU that cannot get memory of their own, and CPUs, say so in errors of the general kind.
_NO_MEMORY = ("STATUS_ALLOC_FAILED", "CUDA error: out of memory", "can't allocate memory", "not enough memory")


class Batches:
    """Runs functions over items in batches of equal shape, and halves the batch size when memory runs out.

    Threads may share an instance: a smaller size that one of them finds holds for all, and is never raised again.

    Args:
        size: Number of items in a batch at first.
        filled: Whether a smaller batch is filled up with copies of its last item, so that compiled networks see one
            size only.
    """

    def __init__(self, size: int, *, filled: bool = False) -> None:
        self.size, self.filled = size, filled
        self._halving = OwnLock()

    def run(self, function: Callable[[list[Any]], list[Any]], items: list[Any], shapes: list[Any]) -> list[Any]:
        """Apply a function to batches of equal shape.

        Args:
            function: Function from a list of items to as many results.
            items: The items.
            shapes: The shape of each item; items of one shape go together.

        Returns:
            The results in the order of the items.

        Raises:
            torch.OutOfMemoryError: If memory does not hold one item.
        """
        results: dict[int, Any] = {}
        for shape in dict.fromkeys(shapes):
            left = [n for n, other in enumerate(shapes) if other == shape]
            while left:
                size = self.size  # read once: another thread may halve it
                chunk = left[:size]
                made = self._attempt(function, [items[n] for n in chunk], size)
                results.update(zip(chunk, made, strict=False))  # nothing was made where memory ran out
                left = left[len(made) :]
        return [results[n] for n in range(len(items))]

    def _attempt(self, function: Callable[[list[Any]], list[Any]], batch: list[Any], size: int) -> list[Any]:
        given = batch + batch[-1:] * (size - len(batch)) if self.filled else batch
        try:
            with _own_settings():
                return function(given)[: len(batch)]
        except RuntimeError as error:
            if len(given) == 1 or not _lacks_memory(error):
                raise
        # Outside the handler: the error's traceback, which holds the batch's tensors, is gone here.
        torch.cuda.empty_cache()  # for the libraries, which do not draw on torch's cache; without a GPU it does nothing
        with self._halving:
            self.size = size = min(self.size, len(given) // 2)
        warnings.warn(f"Memory does not hold a batch of {len(given)}; batches of {size} from here.", stacklevel=2)
        return []


def _lacks_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Run networks as if the caller had set neither autocast nor a default device, as a training loop does.

    Under autocast, float32 networks would run in half precision, and their overflow would not be found.
    """
    with ExitStack() as stack:
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def one_each(name: str, values: Any, items: Sequence[Any]) -> Sequence[Any]:
    """Check that a list has one value for each item, and return it.

    Args:
        name: Name of the argument, for the message.
        values: The list.
        items: The items.

    Raises:
        TypeError: If ``values`` is no list.
        ValueError: If it has another length than ``items``.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"`{name}` must be a list with one entry per image, got {values!r}.")
    if len(values) != len(items):
        raise ValueError(f"`{name}` must have one entry per image, {len(items)}, got {len(values)}.")
    return values


def check_seeds(seed: Any, images: Sequence[Any]) -> list[int]:
    """One seed per image.

    Raises:
        TypeError: If ``seed`` is neither a whole number nor a list of them.
        ValueError: If there is not one per image.
    """
    one_for_all = not isinstance(seed, (list, tuple, range))
    seeds = [seed] * len(images) if one_for_all else one_each("seed", seed, images)
    for value in [seed] if one_for_all else seeds:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"`seed` must be a whole number or a list of them, one per image, got {value!r}.")
    return [int(value) for value in seeds]


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. A GPU is not waited for: it copies after the work that it has been given.

    A tensor in pinned memory must not be changed until the GPU is next waited for; others may be changed at once.
    """
    return values.to(device, non_blocking=device.type == "cuda")


_FLOAT: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever the caller's defaults are


def seeded_noise(images: list[Tensor], seeds: Sequence[int], latent: Tensor) -> Tensor:
    """ε of each image, shaped like ``latent``.

    Each is drawn on the CPU from a generator of its own, so that any device and any batch give the same.
    """
    draws = [keyed_generator("noise", seed, pixel_hash(image)) for image, seed in zip(images, seeds, strict=True)]
    noise = torch.stack([torch.randn(latent.shape[1:], generator=generator, **_FLOAT) for generator in draws])
    return to_device(noise, latent.device)
