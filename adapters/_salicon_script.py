"""The part that SimpleNet and its fork TempSAL share: a program at module level over SALICON's files.

The script builds data set, model and loop at module level, so what it imports is patched before it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torchvision.transforms.functional import to_pil_image

from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits, pack
from augsal_transforms.adapters._hook import EditingHook
from augsal_transforms.adapters._patching import replaced
from augsal_transforms.adapters._run import training
from augsal_transforms.editor.results import EditedImage


@contextmanager
def patched_script(
    hook: EditingHook,
    edits: StoredEdits,
    *,
    dataloader: ModuleType,
    models: Sequence[Any],
    path: Callable[[Any, int], Path],
    make: Callable[..., Any] | None = None,
) -> Iterator[EditingHook]:
    """Patch what the script imports while this lasts.

    Args:
        hook: The editing loss.
        edits: The edits.
        dataloader: The module with ``SaliconDataset``.
        models: The classes that the script builds one of; each instance gets the hook.
        path: ``path(dataset, index)`` → the image's file.
        make: Builds a data set in place of the class.
    """
    proxies: list[DatasetProxy] = []
    original = dataloader.SaliconDataset

    def dataset(images: str, *args: Any, **kwargs: Any) -> Any:
        made = (make or original)(images, *args, **kwargs)
        if Path(images).name != "train":
            return made
        proxies.append(DatasetProxy(made, edits, path, carry))
        proxies[-1].announce()
        return proxies[-1]

    dataset.__wrapped__ = original  # type: ignore[attr-defined]
    with ExitStack() as stack:
        stack.enter_context(replaced(dataloader, "SaliconDataset", dataset))
        for model in models:
            # Not the class: its methods call ``super(ItsName, self)`` by the module's name for it.
            stack.enter_context(replaced(model, "__init__", _attaching(model.__init__, hook)))
        yield stack.enter_context(training(hook, proxies, edits.p))


def _attaching(init: Callable[..., None], hook: EditingHook) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        hook.attach(self)

    return wrapped


def carry(dataset: Any, item: Any, edit: EditedImage | None) -> Any:
    """Pack an edit, transformed as the image was, into the image of an item (image, map, fixations)."""
    image, *rest = item
    if edit is None:
        return (pack(image), *rest)
    return (pack(image, dataset.img_transform(to_pil_image(edit.image)), edit.edit_mask), *rest)
