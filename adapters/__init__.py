"""Training loops of published saliency models, patched from outside. Installs as ``augsal_transforms.adapters``."""
