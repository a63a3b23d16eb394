import pytest
from helpers.datasets import write_folder
from helpers.galleries import store_edits

from augsal_transforms import EditStore
from augsal_transforms.data.layouts import open_layout


@pytest.fixture
def dataset(tmp_path):
    """Six images, photo-0 to photo-5."""
    return open_layout(write_folder(tmp_path / "data"))


@pytest.fixture
def store(tmp_path, dataset):
    """Five edits of each of them."""
    store = EditStore(tmp_path / "edits")
    for name in dataset.names:
        store_edits(store, dataset, name)
    return store
