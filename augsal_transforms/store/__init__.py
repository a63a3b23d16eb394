"""Edits on disk: the store, its records, their identity, and maintenance."""

from augsal_transforms.store.entries import EditEntry, ImageEdit, draw_edit
from augsal_transforms.store.identity import editor_identity
from augsal_transforms.store.keys import EditKey, image_hash
from augsal_transforms.store.records import StoredEdit
from augsal_transforms.store.store import EditStore

__all__ = [
    "EditEntry",
    "EditKey",
    "EditStore",
    "ImageEdit",
    "StoredEdit",
    "draw_edit",
    "editor_identity",
    "image_hash",
]
