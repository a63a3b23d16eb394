"""``python -m augsal_transforms``, the same as ``augsal``; ``torchrun -m`` needs it."""

from augsal_transforms.cli import app

if __name__ == "__main__":
    app(prog_name="augsal")
