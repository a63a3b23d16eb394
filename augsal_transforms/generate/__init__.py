"""Fill a store with the edits of a data set, on one process or many."""

from augsal_transforms.generate.generation import Generation

__all__ = ["Generation"]
