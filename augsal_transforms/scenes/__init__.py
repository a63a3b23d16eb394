"""Procedural scenes with captions, objects and a synthetic observer."""

from augsal_transforms.scenes.scenes import Scene, SceneDataset, render_scene
from augsal_transforms.scenes.writer import write_scenes

__all__ = ["Scene", "SceneDataset", "render_scene", "write_scenes"]
