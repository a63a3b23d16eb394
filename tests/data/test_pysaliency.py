"""Data sets of pysaliency, from its objects and from the HDF5 files that they are saved in, point by point."""

import json
import math
import pickle
import sys
from importlib.util import find_spec

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from augsal_transforms.cli import app
from augsal_transforms.data import PysaliencyDataset, open_layout
from augsal_transforms.data.checks import check_data
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.images import read_size
from augsal_transforms.data.layouts import images_of
from augsal_transforms.data.pysaliency_files import name_files, number_names
from augsal_transforms.data.pysaliency_hdf5 import flatten_paths
from augsal_transforms.data.splits import open_splits

needs_h5py = pytest.mark.skipif(find_spec("h5py") is None, reason="needs h5py")
needs_pysaliency = pytest.mark.skipif(
    find_spec("pysaliency") is None,
    reason="needs pysaliency, which needs setuptools below 81: pip install 'augsal-transforms[pysaliency]'",
)

# The images' sizes (H, W), and the fixations (x, y, n) of two viewers; in whole pixels, below.
SIZES = ((30, 40), (24, 32), (16, 16))
X, Y, N = [4.0, 19.9, 39.2, 31.5], [9.0, 2.1, 29.99, 0.0], [0, 0, 0, 1]
POINTS = {"a": [[4, 9], [19, 2], [39, 29]], "b": [[31, 0]], "c": []}
SPLITS = ["train", "validation", "train"]


def pixels(n):
    """Grey, RGB and RGBA images."""
    values = np.random.default_rng(n).integers(20, 220, (*SIZES[n], 4)).astype(np.uint8)
    return (values[..., 0], values[..., :3], values)[n]


class Fixations:
    """What pysaliency's objects have, where it is not installed."""

    def __init__(self, x=X, y=Y, n=N):
        self.x, self.y, self.n, self.subjects = np.array(x), np.array(y), np.array(n), np.zeros(len(n))


class Stimuli(list):
    def __init__(self, attributes=None, filenames=None):
        super().__init__(pixels(n) for n in range(len(SIZES)))
        self.stimuli, self.shapes, self.attributes = list(self), [values.shape for values in self], attributes or {}
        if filenames:
            self.filenames = filenames


def write_images(folder):
    folder.mkdir(parents=True)
    for n, stem in enumerate(POINTS):
        PIL.Image.fromarray(pixels(n)).save(folder / f"{stem}.png")
    return [f"{folder.name}/{stem}.png" for stem in POINTS]


def write_stimuli(path, filenames=None, attributes=None, inside=None):
    """As ``to_hdf5`` of Stimuli or FileStimuli writes them."""
    import h5py

    attributes = attributes or {}
    with h5py.File(path, "a") as file:
        group = file.create_group(inside) if inside else file
        group.attrs["type"] = np.bytes_("FileStimuli" if filenames else "Stimuli")
        group.attrs["version"] = np.bytes_("2.1" if filenames else "1.1")
        group.attrs["size"] = len(SIZES)
        group.attrs["__attributes__"] = np.bytes_(json.dumps(list(attributes)))
        for name, values in attributes.items():
            group.create_dataset(name, data=np.array([value.encode() for value in values]), dtype=h5py.string_dtype())
        if not filenames:
            for n in range(len(SIZES)):
                group.create_dataset(str(n), data=pixels(n), compression="gzip")
            return
        group.create_dataset("filenames", data=[name.encode() for name in filenames], dtype=h5py.string_dtype())
        shapes = group.create_dataset("shapes", (len(SIZES),), dtype=h5py.vlen_dtype(np.dtype("int64")))
        for n in range(len(SIZES)):
            shapes[n] = np.array(pixels(n).shape)


def write_fixations(path, kind="Fixations", inside=None):
    """As ``to_hdf5`` of each kind of fixations writes them; scanpaths are filled up with NaN."""
    import h5py

    nan = math.nan
    xs, ys = np.array([[4.0, 19.9], [39.2, nan], [31.5, nan]]), np.array([[9.0, 2.1], [29.99, nan], [0.0, nan]])
    with h5py.File(path, "a") as file:
        group = file.create_group(inside) if inside else file
        group.attrs["type"] = np.bytes_(kind)
        group.attrs["version"] = np.bytes_("1.0")
        group.attrs["__attributes__"] = np.bytes_("[]")
        if kind == "Fixations":
            history = {f"{name}_hist": np.full((4, 1), nan) for name in "xyt"}
            for name, values in {"x": X, "y": Y, "t": X, "n": N, "subjects": N, **history}.items():
                group.create_dataset(name, data=values)
        elif kind == "FixationTrains":
            for name, values in {"xs": xs, "ys": ys, "ts": xs, "ns": [0, 0, 1], "subjects": [0, 1, 0]}.items():
                group.create_dataset(f"train_{name}", data=values)
        else:
            group = group.create_group("scanpaths")
            for name, values in {"xs": xs, "ys": ys, "n": [0, 0, 1], "lengths": [2, 1, 1]}.items():
                group.create_dataset(name, data=values)


@pytest.fixture
def folder(tmp_path):
    """A data set as pysaliency keeps it: HDF5 files beside a folder of images."""
    place = tmp_path / "MIT1003"
    write_stimuli(place / "stimuli.hdf5", write_images(place / "Stimuli"), {"split": SPLITS})
    write_fixations(place / "fixations.hdf5")
    return place


def points_of(dataset):
    return {name: dataset.fixations(name).tolist() for name in dataset.names}


def test_objects_give_the_same_points_to_the_pixel():
    dataset = PysaliencyDataset(Stimuli(), Fixations(), sigma=3)
    assert (dataset.layout, dataset.names, dataset.split) == ("pysaliency", ["0", "1", "2"], "train")
    assert list(points_of(dataset).values()) == list(POINTS.values())
    assert [sample["image"].size[::-1] for sample in dataset] == list(SIZES)
    assert [sample["image"].mode for sample in dataset] == ["L", "RGB", "RGBA"]
    made = [np.asarray(sample["saliency_map"]) for sample in dataset]
    assert [values.shape for values in made] == list(SIZES)
    assert (made[0][9, 4], made[0][9, 7], made[2].max()) == (255, round(255 * math.exp(-0.5)), 0)


def test_files_of_stimuli_are_named_by_their_stems_and_splits_are_kept(tmp_path):
    files = [str(tmp_path / name) for name in write_images(tmp_path / "Stimuli")]
    stimuli = Stimuli({"split": SPLITS}, files)
    training = PysaliencyDataset(stimuli, Fixations(), name="MIT1003")
    assert points_of(training) == {"a": POINTS["a"], "c": []}
    assert points_of(PysaliencyDataset(stimuli, Fixations(), "val", sigma=3)) == {"b": POINTS["b"]}
    with pytest.raises(FileNotFoundError, match="Expected stimuli of the split 'test'"):
        PysaliencyDataset(stimuli, Fixations(), "test", sigma=3)


def test_stems_that_repeat_are_named_with_their_folders():
    from pathlib import PurePosixPath as P

    assert name_files([P("s/Action/001.jpg"), P("s/Noisy/001.jpg")]) == ["Action/001", "Noisy/001"]
    assert name_files([P("x/1/001.jpg"), P("y/1/001.jpg")]) == ["x/1/001", "y/1/001"]
    assert name_files([P("s/a.jpg"), P("s/a.png")]) == ["s/a", "s/a"]  # left out by name, as in every layout
    assert number_names(11)[:2] == ["00", "01"]


def test_the_degree_of_a_data_set_that_is_known_is_the_default_sigma(tmp_path):
    datasets = [PysaliencyDataset(Stimuli(), Fixations(), name="mit1003", sigma=sigma) for sigma in (None, 35)]
    assert np.array_equal(*[dataset[1]["saliency_map"] for dataset in datasets])
    with pytest.raises(ValueError, match="`sigma` must be given, in pixels"):
        PysaliencyDataset(Stimuli(), Fixations())


def test_points_outside_and_without_coordinates_are_left_out_and_counted():
    far = Fixations([-0.4, 40.0, math.nan, 39.9, 1e300], [1.0, 1.0, 1.0, 29.9, 1.0], [0] * 5)
    placed = PysaliencyDataset(Stimuli(), far, sigma=3).placed("0")
    assert (placed.points.tolist(), placed.left_out) == ([[39, 29]], 4)


@pytest.mark.parametrize(
    ("fixations", "words"),
    [
        (Fixations(n=[0, 0, 0, 3]), "`n` of fixations must be the number of one of 3 images"),
        (Fixations(n=[0, 0, 0, -1]), "`n` of fixations must be the number of one of 3 images"),
        (Fixations(x=[1.0]), "as many numbers, got float64"),
        (Fixations(x=["a"] * 4), "as many numbers, got <U1"),
        (Fixations(x=[0.1, 0.2, 0.3, 0.4]), "x must be in pixels"),
    ],
)
def test_fixations_of_other_stimuli_are_refused(fixations, words):
    with pytest.raises(ValueError, match=words):
        PysaliencyDataset(Stimuli(), fixations, sigma=3)


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="`stimuli` must be pysaliency's Stimuli or FileStimuli, got list"):
        PysaliencyDataset([], Fixations(), sigma=3)
    with pytest.raises(TypeError, match="`fixations` must be pysaliency's, with x, y and n, got list"):
        PysaliencyDataset(Stimuli(), [], sigma=3)
    deep = Stimuli()
    deep.stimuli[1] = deep.stimuli[1].astype(np.uint16)
    dataset = PysaliencyDataset(deep, Fixations(), sigma=3)
    with pytest.raises(ValueError, match="a stimulus must be uint8"):
        dataset[1]


def test_a_data_set_is_sent_to_workers():
    dataset = pickle.loads(pickle.dumps(PysaliencyDataset(Stimuli(), Fixations(), sigma=3)))
    assert list(points_of(dataset).values()) == list(POINTS.values())
    assert np.asarray(dataset[0]["saliency_map"])[9, 4] == 255


def test_paths_end_before_the_nan_at_their_end():
    nan = math.nan
    xs, ys = np.array([[1.0, nan, 3.0, nan], [nan] * 4]), np.array([[1.0, nan, 3.0, nan], [nan] * 4])
    x, y, numbers = flatten_paths(xs, ys, np.array([5, 6]))
    assert (str(x.tolist()), y.shape, numbers.tolist()) == ("[1.0, nan, 3.0]", (3,), [5, 5, 5])


@needs_h5py
@pytest.mark.parametrize("kind", ["Fixations", "FixationTrains", "ScanpathFixations"])
def test_hdf5_files_of_every_kind_are_read(tmp_path, kind):
    write_stimuli(tmp_path / "stimuli.hdf5")
    write_fixations(tmp_path / "fixations.hdf5", kind)
    dataset = FixatedFolder(tmp_path, sigma=3)
    assert (dataset.layout, dataset.names) == ("pysaliency", ["0", "1", "2"])
    assert list(points_of(dataset).values()) == list(POINTS.values())
    assert all(np.array_equal(sample["image"], pixels(n)) for n, sample in enumerate(dataset))
    assert [read_size(dataset.images[name]) for name in dataset.names] == list(SIZES)


@needs_h5py
def test_one_file_may_hold_both(tmp_path):
    path = tmp_path / "both.hdf5"
    write_stimuli(path, inside="stimuli")
    write_fixations(path, inside="gaze")
    assert list(points_of(FixatedFolder(path, sigma=3)).values()) == list(POINTS.values())
    assert len(images_of(path)) == 3
    assert check_data(path, sigma=3).points == 4


@needs_h5py
@pytest.mark.parametrize("file", ["", "stimuli.hdf5"])
def test_a_folder_of_files_has_names_splits_and_the_degree_of_its_name(folder, file):
    dataset = FixatedFolder(folder / file)
    assert points_of(dataset) == {"a": POINTS["a"], "c": []}
    assert dataset.images["a"] == folder / "Stimuli" / "a.png"
    assert np.array_equal(dataset[0]["saliency_map"], FixatedFolder(folder, sigma=35)[0]["saliency_map"])
    training, held_out, own = open_splits(folder)
    assert (training.names, held_out.names, own) == (["a", "c"], ["b"], True)


@needs_h5py
def test_images_of_another_size_than_recorded_are_refused_or_scaled(folder):
    PIL.Image.fromarray(pixels(0)[::2, ::2]).save(folder / "Stimuli" / "a.png")
    with pytest.raises(ValueError, match=r"recorded in a frame of \(30, 40\) .* its image has \(15, 20\)"):
        FixatedFolder(folder).fixations("a")
    assert FixatedFolder(folder, frame="scale").fixations("a").tolist() == [[2, 4], [9, 1], [19, 14]]
    assert [(p.kind, p.name) for p in check_data(folder).problems if p.kind == "sizes differ"] == [
        ("sizes differ", "a")
    ] * 2  # the map and the fixations


@needs_h5py
@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "Stimuli/link.png", "..\\secret.png"])
def test_images_outside_the_folder_are_refused(folder, path):
    PIL.Image.fromarray(pixels(0)).save(folder.parent / "secret.png")
    (folder / "Stimuli" / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "stimuli.hdf5").unlink()
    write_stimuli(folder / "stimuli.hdf5", [path, "Stimuli/b.png", "Stimuli/c.png"])
    with pytest.raises(ValueError, match=r"stimuli\.hdf5 .* names an image outside .* which is not followed"):
        open_layout(folder)


@needs_h5py
def test_links_to_other_files_are_not_followed(folder):
    import h5py

    path = folder / "fixations.hdf5"
    with h5py.File(folder / "other.hdf5", "w") as file:
        file["x"] = X
    with h5py.File(path, "a") as file:
        del file["x"]
        file["x"] = h5py.ExternalLink(str(folder / "other.hdf5"), "x")
    with pytest.raises(ValueError, match=r"fixations\.hdf5 .* `x` must be an array in this file"):
        open_layout(folder)
    (folder / "numbers").write_bytes(np.array(X).tobytes())
    with h5py.File(path, "a") as file:
        del file["x"]
        file.create_dataset("x", (4,), "f8", external=[(str(folder / "numbers"), 0, 32)])
    with pytest.raises(ValueError, match="`x` must be an array in this file"):
        open_layout(folder)
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.hdf5"), "x", (4,))
    with h5py.File(path, "a") as file:
        del file["x"]
        file.create_virtual_dataset("x", layout)
    with pytest.raises(ValueError, match="`x` must be an array in this file"):
        open_layout(folder)


@needs_h5py
def test_files_of_something_else_are_refused_with_their_names(folder):
    import h5py

    for path, words in (
        (folder / "fixations.hdf5", "Fixations or FixationTrains"),
        (folder / "stimuli.hdf5", "FileSt"),
    ):
        whole = path.read_bytes()
        for damage in (whole[: len(whole) // 2], b"", b"no HDF5"):
            path.write_bytes(damage)
            with pytest.raises(ValueError, match=f"{path.name} is not a readable HDF5 file of pysaliency"):
                open_layout(folder)
        with h5py.File(path, "w") as file:
            file["x"] = X
        with pytest.raises(ValueError, match=f"{path.name} .* it holds no {words}"):
            open_layout(folder)
        path.write_bytes(whole)
    with h5py.File(folder / "fixations.hdf5", "a") as file:
        del file["y"]
        file.create_dataset("y", (2**40,), "f8", chunks=(1024,))  # 8 TB of nothing in a small file
    with pytest.raises(ValueError, match="`y` must be an array of at most 200,000,000 numbers"):
        open_layout(folder)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for name in ("stimuli.hdf5", "fixations.hdf5"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImportError, match=r'needs h5py to be read: pip install "augsal-transforms\[pysaliency\]"'):
        open_layout(tmp_path)


@needs_h5py
def test_the_commands_take_it(folder, sd1_folder, tmp_path):
    def augsal(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result.stdout

    report = json.loads(augsal("check-data", folder, "--json", code=3))
    assert [report[key] for key in ("layout", "images", "maps", "fixations", "points")] == ["pysaliency", 2, 2, 2, 3]
    assert [(p["kind"], p["name"]) for p in report["problems"]] == [("empty map", "c")]
    store = tmp_path / "store"
    augsal("generate", "--data", folder, "--split", "val", "--store", store, "--editor", sd1_folder, "--kinds", "color")
    assert json.loads(augsal("stats", "--store", store, "--json"))["images"] == 1
    scores = json.loads(augsal("evaluate", "--data", folder, "--sigma", 3, "--pred", folder / "Stimuli", "--json"))
    assert (scores["fixations"], list(scores["images"])) == (1, ["b"])  # the validation images, where there are some


@needs_pysaliency
def test_pysaliency_s_own_objects_give_its_points(tmp_path):
    import pysaliency

    files = [str(tmp_path / name) for name in write_images(tmp_path / "Stimuli")]
    shapes = [pixels(n).shape for n in range(3)]  # without them pysaliency opens the files and does not close them
    stimuli = pysaliency.FileStimuli(files, shapes=shapes)
    xs, ys, times = [[4.0, 19.9], [39.2], [31.5]], [[9.0, 2.1], [29.99], [0.0]], [[0.0, 1.0], [0.0], [0.0]]
    for fixations in (
        pysaliency.Fixations.create_without_history(X, Y, N),
        pysaliency.FixationTrains.from_fixation_trains(xs, ys, times, [0, 0, 1], [0, 1, 0]),
    ):
        stored = PysaliencyDataset(stimuli, fixations, sigma=3)
        assert points_of(stored) == POINTS
        for n, name in enumerate(stored.names):
            mine = fixations[fixations.n == n]
            assert stored.fixations(name).tolist() == np.stack([mine.x_int, mine.y_int], 1).tolist()
        inside = PysaliencyDataset(pysaliency.Stimuli([pixels(n) for n in range(3)]), fixations, sigma=3)
        assert list(points_of(inside).values()) == list(POINTS.values())
        assert points_of(PysaliencyDataset(stimuli[:2], fixations, sigma=3)) == {name: POINTS[name] for name in "ab"}


@needs_pysaliency
@pytest.mark.parametrize("kind", ["Fixations", "FixationTrains"])
def test_the_files_that_are_written_here_are_those_that_pysaliency_reads(folder, kind):
    import pysaliency

    (folder / "fixations.hdf5").unlink()
    write_fixations(folder / "fixations.hdf5", kind)
    stimuli = pysaliency.read_hdf5(str(folder / "stimuli.hdf5"))
    fixations = pysaliency.read_hdf5(str(folder / "fixations.hdf5"))
    theirs, ours = PysaliencyDataset(stimuli, fixations, name="MIT1003"), FixatedFolder(folder)
    assert (theirs.images, points_of(theirs)) == (ours.images, points_of(ours))
