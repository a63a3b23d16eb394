import copy
import pickle
import struct
import zlib

import PIL.Image
import PIL.ImageOps
import pytest
import torch
from helpers import samples
from helpers.records import EDITS, edited, filled, key_of, picture
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_pil_image, to_tensor

from augsal_transforms import EditStore
from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits, is_unusual, pack, resize

COUNT = 6


@pytest.fixture
def folder(tmp_path):
    for n in range(COUNT):
        to_pil_image(picture(n)).save(tmp_path / f"photo-{n}.png")
    return tmp_path


@pytest.fixture
def store(folder):
    return filled(EditStore(folder / "store"), COUNT)


def proxy(folder, store, p=1.0, seed=0):
    return DatasetProxy(samples.Photos(folder, COUNT), StoredEdits(store, p, seed), samples.photo_path, samples.carry)


def test_an_item_carries_its_image_an_edit_of_it_and_the_mask(folder, store):
    image, number = proxy(folder, store)[1]
    assert number == 1
    assert torch.equal(image[:3], picture(1) / 255)
    results = [edited(picture(1), edit) for edit in EDITS]  # the helper's edits have one mask and one image
    assert torch.equal(image[3:6], results[0].image / 255)
    assert torch.equal(image[6:], results[0].edit_mask)


def test_at_p_0_the_places_of_the_edit_are_zeros(folder, store):
    for n in range(COUNT):
        image, _ = proxy(folder, store, p=0.0)[n]
        assert torch.equal(image[:3], picture(n) / 255)
        assert not image[3:].any()


def test_an_image_that_the_store_lacks_stays_unedited(folder, store):
    assert not proxy(folder, EditStore(folder / "empty"))[0][0][3:].any()


def test_epochs_differ_and_are_the_same_in_any_number_of_workers(folder, store):
    def epochs(workers, method=None):
        loader = DataLoader(proxy(folder, store, p=0.6), num_workers=workers, multiprocessing_context=method)
        return [torch.cat([image for image, _ in loader]) for _ in range(3)]

    reference = epochs(0)
    assert not torch.equal(reference[0], reference[1])
    assert not torch.equal(reference[1], reference[2])
    for workers in (1, 2):
        assert all(map(torch.equal, epochs(workers, "fork"), reference))


def test_draws_are_private(folder, store):
    state = torch.get_rng_state()
    proxy(folder, store)[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_share_of_edits_is_p(folder, store):
    data = proxy(folder, store, p=0.3)
    count = sum(bool(data[n % COUNT][0][3:].any()) for n in range(300))
    assert abs(count - 90) < 33  # four standard deviations


def test_a_proxy_is_to_others_what_it_stands_for(folder, store):
    data = proxy(folder, store)
    assert isinstance(data, samples.Photos)
    assert data.__class__.__name__ == "Photos"
    assert len(data) == COUNT
    assert data.folder == folder
    with pytest.raises(AttributeError, match="absent"):
        data.absent  # noqa: B018


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_proxy_of_a_class_that_is_replaced_in_its_module_goes_to_spawned_workers(folder, store, monkeypatch):
    data = proxy(folder, store)
    original = samples.Photos

    def make(*args):
        return original(*args)

    make.__wrapped__ = original
    monkeypatch.setattr(samples, "Photos", make)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(data.dataset)
    copied = pickle.loads(pickle.dumps(data))
    assert torch.equal(copied[2][0], proxy(folder, store)[2][0])
    (batch, _), *_ = DataLoader(data, num_workers=1, multiprocessing_context="spawn")
    assert torch.equal(batch[0], proxy(folder, store)[0][0])


def test_a_released_proxy_gives_items_as_they_are(folder, store):
    data = proxy(folder, store)
    data.release()
    assert torch.equal(data[0][0], picture(0) / 255)


def test_how_many_images_have_edits_is_told_and_none_is_an_error(folder, store, capsys):
    partial = filled(EditStore(folder / "partial"), 2)
    proxy(folder, partial).announce()
    assert capsys.readouterr().out == "augsal: edits found for 2 of 6 training images\n"
    with pytest.raises(RuntimeError, match=r"holds no edit of any of the 6 training images \(photo-0, photo-1, …\)"):
        proxy(folder, EditStore(folder / "other")).announce()


def test_edits_that_cannot_be_used_are_an_error_at_the_start(folder, store):
    to_pil_image(picture(77)).save(str(folder / "photo-0.png"))
    with pytest.raises(ValueError, match="'photo-0' were made from other pixels"):
        proxy(folder, store).announce()
    to_pil_image(picture(0)).save(str(folder / "photo-0.png"))
    first, *others = store.records()
    first.write_bytes(b"")
    proxy(folder, store).announce()  # one damaged record is a miss
    for path in others:
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(RuntimeError, match="first 6 cannot be read"):
        proxy(folder, store).announce()


def test_edits_of_other_pixels_under_the_same_name_are_refused(folder, store):
    to_pil_image(picture(77)).save(folder / "photo-3.png")
    with pytest.raises(ValueError, match="'photo-3' were made from other pixels"):
        proxy(folder, store)[3]


def test_of_two_images_of_one_name_each_gets_its_own_edits(folder, store):
    other = picture(77)
    for edit in EDITS:
        store.put(key_of(other, edit), other, edited(other, edit), source="photo-0")
    data = proxy(folder, store)
    for _ in range(10):
        image, _ = data[0]
        assert torch.equal(image[3:6, 20:], picture(0)[:, 20:] / 255)  # below the rectangle of the edits


def test_a_damaged_record_is_an_unedited_item(folder, store):
    for path in store.records():
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="A record of 'photo-0' is damaged"):
        image, _ = proxy(folder, store)[0]
    assert not image[3:].any()


def test_p_is_a_chance(store):
    with pytest.raises(ValueError, match=r"`p` must lie in \[0, 1\], got 1.5"):
        StoredEdits(store, 1.5, 0)


def test_the_mask_is_brought_to_the_images_size():
    # (1, 1, 0, 0) at half the size: the antialiasing triangle weighs pixels at ½, ½, 1½ from a new centre
    # 3 : 3 : 1, so the first is (3 + 3) / 7.
    packed = pack(torch.ones(3, 2, 2), torch.ones(3, 2, 2), torch.tensor([[[1.0, 1, 0, 0]] * 4]))
    assert packed.shape == (7, 2, 2)
    assert packed[6, 0].tolist() == pytest.approx([6 / 7, 1 / 7])
    assert torch.equal(resize(packed[6:], (2, 2)), packed[6:])


def test_the_stores_dict_of_deepgaze_is_not_written_to(store):
    from augsal_transforms.adapters.deepgaze2e import _carry

    kept = {"image": picture(0).numpy(), "weight": 1.0}
    item = _carry(None, kept, edited(picture(0), EDITS[0]))
    assert set(kept) == {"image", "weight"}
    assert item["augsal_edit"].dtype == kept["image"].dtype
    assert torch.equal(torch.from_numpy(item["augsal_edit"]), edited(picture(0), EDITS[0]).image)


class TurnedPhotos(samples.Photos):
    """A reader that turns images by their EXIF data, as OpenCV does."""

    def __getitem__(self, index):
        path = samples.photo_path(self, index)
        return to_tensor(PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB").resize((32, 24))), index


def test_a_data_set_that_reads_a_file_differently_is_refused_before_training(folder, store, capsys):
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # upside down
    PIL.Image.open(folder / "photo-4.png").save(folder / "photo-4.png", exif=exif)

    def turned(dataset):
        return DatasetProxy(dataset, StoredEdits(store, 1.0, 0), samples.photo_path, samples.carry)

    with pytest.warns(UserWarning, match="EXIF"):
        turned(samples.Photos(folder, COUNT)).announce()
    state = torch.get_rng_state()
    with (
        pytest.warns(UserWarning, match="EXIF"),
        pytest.raises(ValueError, match=r"read .*photo-4\.png differently: .* 1\.[0-9]+ standard deviations.*upright"),
    ):
        turned(TurnedPhotos(folder, COUNT)).announce()
    assert torch.equal(torch.get_rng_state(), state)


class RandomPhotos(samples.Photos):
    def __getitem__(self, index):
        image, number = super().__getitem__(index)
        return image.flip(-1), number


def test_readers_may_disagree_on_what_pillow_refuses(tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + checked)
    assert is_unusual(tmp_path / "cut.png")
    assert is_unusual(tmp_path / "bomb.png")


def test_a_data_set_that_flips_its_images_is_refused(folder, store):
    flipped = DatasetProxy(RandomPhotos(folder, COUNT), StoredEdits(store, 1.0, 0), samples.photo_path, samples.carry)
    with pytest.raises(ValueError, match="photo-0"):
        flipped.announce()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_copy_counts_its_epochs_with_its_workers(folder, store, copied):
    reference = [torch.cat([image for image, _ in DataLoader(proxy(folder, store, p=0.6))]) for _ in range(1)]
    data = copied(proxy(folder, store, p=0.6))
    loader = DataLoader(data, num_workers=1, multiprocessing_context="fork")
    epochs = [torch.cat([image for image, _ in loader]) for _ in range(3)]
    assert torch.equal(epochs[0], reference[0])
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])
