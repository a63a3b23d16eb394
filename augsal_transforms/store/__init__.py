"""Edits on disk: the store, its records, their identity, and maintenance."""

from augsal_transforms.store.identity import editor_identity
from augsal_transforms.store.records import EditKey, StoredEdit, image_hash
from augsal_transforms.store.store import EditStore

__all__ = ["EditKey", "EditStore", "StoredEdit", "editor_identity", "image_hash"]
