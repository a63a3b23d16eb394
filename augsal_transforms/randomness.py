"""Private randomness: every draw comes from a generator keyed by its purpose. And the replay of the global ones."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.sharing import OwnLock

# Held while the global generators are set back: another thread's draws would move them in between.
GLOBAL_GENERATORS = OwnLock()


def keyed_generator(*keys: object) -> torch.Generator:
    """A CPU generator seeded by the SHA-256 of its keys: the same in any process and for any order of calls."""
    digest = hashlib.sha256("\x1f".join(str(key) for key in keys).encode(errors="surrogatepass")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw_share(generator: torch.Generator) -> float:
    """A number drawn uniformly from [0, 1); the caller's default device and dtype do not change it."""
    return torch.rand((), generator=generator, dtype=torch.float32, device="cpu").item()


def pixel_hash(image: Tensor) -> str:
    """SHA-256 of an image's pixels, type and shape, as 64 hexadecimal digits."""
    pixels = image.detach().cpu()
    digest = hashlib.sha256(f"{tuple(pixels.shape)}{pixels.dtype}".encode())
    is_bytes = pixels.dtype == torch.uint8  # NumPy puts the channels of a decoded image first in half of torch's time
    plain = np.ascontiguousarray(pixels.numpy() if is_bytes else pixels.contiguous().view(torch.uint8).numpy())
    digest.update(plain.data)
    return digest.hexdigest()


def check_chance(p: Any) -> float:
    """The argument ``p`` as a number in [0, 1].

    Raises:
        TypeError: If it is no number.
        ValueError: If it is outside [0, 1] or NaN.
    """
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"`p` must be a number in [0, 1], the chance of an edit, got {type(p).__name__} {p!r}.")
    if not 0 <= float(p) <= 1:
        raise ValueError(f"`p` must lie in [0, 1], got {p!r}.")
    return float(p)


def check_integer(name: str, value: Any, *, low: int | None = None) -> int:
    """An argument as an integer.

    Args:
        name: The argument's name.
        value: Its value.
        low: The lowest value allowed; ``None`` allows all.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is below ``low``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be an integer, got {type(value).__name__} {value!r}.")
    if low is not None and value < low:
        raise ValueError(f"`{name}` must be {low} or more, got {value!r}.")
    return int(value)


class GlobalState:
    """The states of torch's, NumPy's and Python's global generators on the CPU, as they are now."""

    def __init__(self) -> None:
        self._states = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GlobalState):
            return NotImplemented
        (ours, numpy_ours, python_ours), (theirs, numpy_theirs, python_theirs) = self._states, other._states
        same_numpy = all(np.array_equal(a, b) for a, b in zip(numpy_ours, numpy_theirs, strict=True))
        return torch.equal(ours, theirs) and same_numpy and python_ours == python_theirs

    __hash__ = None  # type: ignore[assignment]

    def restore(self) -> None:
        """Set the generators to these states."""
        torch.set_rng_state(self._states[0])
        np.random.set_state(self._states[1])
        random.setstate(self._states[2])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators for a block, and set them back afterwards. One thread at a time."""
    with GLOBAL_GENERATORS:
        before = GlobalState()
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            before.restore()
