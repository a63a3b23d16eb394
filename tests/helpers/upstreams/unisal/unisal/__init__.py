from . import data, model, train

__all__ = ["data", "model", "train"]
