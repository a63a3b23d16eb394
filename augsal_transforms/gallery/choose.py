"""Which images a gallery shows: spread over the kinds of edit, and the same ones every time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.store.entries import EditEntry
from augsal_transforms.store.store import EditStore

MAX_EDITS = 12  # of one image; more would make a page of 24 images larger than 6 MB
T = TypeVar("T")


def in_order(names: Iterable[str]) -> list[str]:
    """Names in the order of their SHA-256, so that images added to a data set leave the order of the others."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest())


def spread(kinds: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """Every name once, with the kind of edit that it is shown for; the kinds take turns.

    Args:
        kinds: The kinds of edit of each image, by its name.
    """
    known = sorted({kind for own in kinds.values() for kind in own})
    queues = {kind: deque(in_order(name for name, own in kinds.items() if kind in own)) for kind in known}
    seen = set[str]()
    while queues:
        for kind in list(queues):
            queue = queues[kind]
            while queue and queue[0] in seen:
                queue.popleft()
            if not queue:
                del queues[kind]
                continue
            seen.add(queue[0])
            yield queue.popleft(), kind


def find_images(store: EditStore, dataset: SaliencyFolder) -> tuple[dict[str, list[EditEntry]], dict[str, Path]]:
    """The edits of each image of a data set, found by the stem of its file; no record is read.

    Several images may share a stem: each is listed with the edits of all of them.

    Returns:
        The edits by the image's name, and a record of each image of the store that no name leads to, by its pixel hash.
    """
    by_stem = dict[str, list[EditEntry]]()
    found = dict[str, list[EditEntry]]()
    for name in dataset.names:
        stem = dataset.images[name].stem
        if stem not in by_stem:
            by_stem[stem] = store.find(stem)
        if by_stem[stem]:
            found[name] = by_stem[stem]
    linked = {entry.path.parent.name for entries in by_stem.values() for entry in entries}
    others = groupby(store.records(), key=lambda path: path.parent.name)
    return found, {image: next(paths) for image, paths in others if image not in linked}


def thin(edits: Sequence[EditEntry]) -> list[EditEntry]:
    """At most ``MAX_EDITS`` edits of an image, with as many of each kind and colour, their α evenly spaced."""
    groups = [list(group) for _, group in groupby(sorted(edits), key=lambda edit: (edit.kind, edit.color))]
    groups = evenly(groups, MAX_EDITS)
    quotas = [MAX_EDITS // len(groups)] * len(groups)
    while (free := min(MAX_EDITS, sum(map(len, groups))) - sum(map(min, quotas, map(len, groups)))) > 0:
        short = [n for n, group in enumerate(groups) if quotas[n] < len(group)]
        for n in short[:free]:
            quotas[n] += 1
    return [edit for group, quota in zip(groups, quotas, strict=True) for edit in evenly(group, quota)]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the items, evenly spaced, the last one among them and from two on the first one."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[-1]]
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]
