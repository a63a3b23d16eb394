"""``python -m augsal_transforms``, as ``augsal``: what ``torchrun -m`` needs."""

from augsal_transforms.cli import app

if __name__ == "__main__":
    app()
