"""The container of a record: a safetensors file of two tensors, with a text and the checksum of everything."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import xxhash

from augsal_transforms.files import parse_json

MAX_HEADER = 1 << 20  # bytes of the JSON with which a record begins
_TENSORS = ("region", "rectangle")  # in the order of the file, so that the floats are aligned
# A checksum finds accidents; forgers can compute any. Of 60 kB xxh3 takes 0.001 ms, SHA-256, of older records, 0.035.
_CHECKSUMS: dict[str, Callable[[bytes], Any]] = {"xxh3_128": xxhash.xxh3_128, "sha256": hashlib.sha256}
# Name in safetensors, bytes of a value, and number of dimensions.
_FORMS = {"region": ("F32", 4, 3), "rectangle": ("U8", 1, 1)}


def join(text: str, content: dict[str, bytes], shapes: dict[str, list[int]]) -> bytes:
    """A record; the same arguments always give the same bytes.

    Args:
        text: The metadata as JSON.
        content: Bytes of the tensors by name.
        shapes: Their shapes.
    """
    # Built here: safetensors writes the entries of its metadata in an order that differs from call to call.
    header: dict[str, Any] = {"__metadata__": {"record": text, "xxh3_128": checksum_of(text, content, shapes)}}
    start = 0
    for name in _TENSORS:
        end = start + len(content[name])
        header[name] = {"dtype": _FORMS[name][0], "shape": shapes[name], "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(content[name] for name in _TENSORS)


def header_length(record: bytes) -> int:
    """Length of the JSON with which a safetensors file begins, after the 8 bytes of this number."""
    length: int = struct.unpack_from("<Q", record)[0]
    return length


def parse_header(record: bytes) -> dict[str, Any]:
    """The JSON with which a safetensors file begins.

    Raises:
        ValueError: If it is too long, incomplete, or no JSON object.
    """
    length = header_length(record)
    header = parse_json(record[8 : 8 + length]) if length <= min(MAX_HEADER, len(record) - 8) else None
    if not isinstance(header, dict):
        raise ValueError("A record begins with the length of its header and a JSON object.")
    return header


def split(record: bytes) -> tuple[str, dict[str, memoryview], dict[str, list[int]]]:
    """Metadata, and the content and shape of each tensor.

    Raises:
        ValueError: If the header does not describe exactly these bytes, or the checksum is of others.
    """
    header = parse_header(record)
    data, end = memoryview(record)[8 + header_length(record) :], 0
    content, shapes = dict[str, memoryview](), dict[str, list[int]]()
    if set(header) != {"__metadata__", *_TENSORS}:
        raise ValueError("A record holds a region and a rectangle.")
    for name in _TENSORS:
        entry, (dtype, count, dimensions) = header[name], _FORMS[name]
        shape, (start, stop) = entry["shape"], entry["data_offsets"]
        if not isinstance(shape, list) or len(shape) != dimensions:
            raise ValueError("A region has three dimensions, a rectangle has one.")
        for side in shape:
            if type(side) is not int or not 0 <= side <= len(data):
                raise ValueError("A side of a tensor is longer than the file.")
            count *= side
        if entry["dtype"] != dtype or start != end or stop - start != count or stop > len(data):
            raise ValueError("The tensors of a record follow each other.")
        content[name], shapes[name], end = data[start:stop], shape, stop
    if end != len(data):
        raise ValueError("A record ends with its last tensor.")
    text, metadata = header["__metadata__"]["record"], header["__metadata__"]
    if not isinstance(text, str):
        raise ValueError("A record's metadata are text.")
    algorithm = next((name for name in _CHECKSUMS if name in metadata), "")
    if checksum_of(text, content, shapes, algorithm) != metadata[algorithm]:
        raise ValueError("A record's bytes are those that its checksum is of.")
    return text, content, shapes


def checksum_of(
    metadata: str, content: Mapping[str, bytes | memoryview], shapes: dict[str, list[int]], algorithm: str = "xxh3_128"
) -> str:
    """Checksum of a record's metadata and of each tensor's name, type, shape and content."""
    digest = _CHECKSUMS[algorithm](metadata.encode())
    for name, dtype in (("rectangle", "torch.uint8"), ("region", "torch.float32")):
        digest.update(f"\n{name} {dtype} {tuple(shapes[name])}\n".encode())
        digest.update(content[name])
    return str(digest.hexdigest())
