"""Records taken apart and put together again, as strangers do, and in the form that they had before zstd."""

import io
import json
import struct

import PIL.Image
import torch

from augsal_transforms.store.container import checksum_of
from augsal_transforms.store.rectangle import decompress


def take_apart(record):
    """Metadata as JSON, and the bytes and shapes of the tensors."""
    (length,) = struct.unpack_from("<Q", record)
    header = json.loads(record[8 : 8 + length])
    data = record[8 + length :]
    content = {name: data[slice(*header[name]["data_offsets"])] for name in ("region", "rectangle")}
    return json.loads(header["__metadata__"]["record"]), content, {name: header[name]["shape"] for name in content}


def put_together(metadata, content, shapes, *, checksum="xxh3_128", change=lambda header: None):
    """A record whose checksum is right, whatever is in it."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata, sort_keys=True)
    header = {"__metadata__": {"record": text, checksum: checksum_of(text, content, shapes, checksum)}}
    start = 0
    for name, dtype in (("region", "F32"), ("rectangle", "U8")):
        end = start + len(content[name])
        header[name] = {"dtype": dtype, "shape": shapes[name], "data_offsets": [start, end]}
        start = end
    change(header)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + content["region"] + content["rectangle"]


def to_webp(difference, edit_mask):
    """A difference (3, h, w) and its mask (h, w), both uint8, as a lossless WebP."""
    if not edit_mask.numel():
        return b""
    file = io.BytesIO()
    rectangle = torch.cat([difference + 128, edit_mask[None]]).permute(1, 2, 0).contiguous()
    PIL.Image.fromarray(rectangle.numpy()).save(file, "WEBP", lossless=True, exact=True, quality=50, method=2)
    return file.getvalue()


def as_webp(record):
    """The same record in the older form: the rectangle as WebP, the checksum as SHA-256, no fast hash."""
    metadata, content, shapes = take_apart(record)
    del metadata["fast_hash"]
    rectangle = to_webp(*decompress(content["rectangle"], *metadata["size"]))
    content, shapes = {**content, "rectangle": rectangle}, {**shapes, "rectangle": [len(rectangle)]}
    return put_together(metadata, content, shapes, checksum="sha256")
