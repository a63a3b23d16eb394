"""benchmarks/reproduce_table2.py: its data, its networks, and the command from nothing to two tables."""

from pathlib import Path

import pytest
from helpers.upstream_runs import STAND_INS
from reproduce_table2 import data_of, main, models_of, parse
from scipy.io import savemat
from table2.training_set import HeldOut
from table2.trial import score
from torch import nn
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.scenes.observer import blur_fixations, fixate
from augsal_transforms.scenes.scenes import render_scene

MIT1003 = ("ALLSTIMULI/i{n}.jpeg", "ALLFIXATIONMAPS/i{n}_fixMap.jpg", "ALLFIXATIONMAPS/i{n}_fixPts.jpg")
CAT2000 = (
    "trainSet/Stimuli/{category}/{n:03d}.jpg",
    "trainSet/FIXATIONMAPS/{category}/{n:03d}.jpg",
    "trainSet/FIXATIONLOCS/{category}/{n:03d}.mat",
)


def write_undivided(folder, places):
    """Six scenes in the layout of MIT1003 or CAT2000: images, maps and fixations."""
    for n in range(6):
        scene = render_scene(n, seed=77)
        points = fixate(scene.image, scene.objects, seed=n)
        fixation_map = (count_fixations(points, (128, 128)) > 0).byte() * 255
        pictures = (scene.image, blur_fixations(points, (128, 128)), fixation_map)
        for place, picture in zip(places, pictures, strict=True):
            path = folder / place.format(n=n, category=("Action", "Noisy")[n % 2])
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".mat":
                savemat(path, {"fixLocs": picture[0].numpy()})
            else:
                to_pil_image(picture).save(path, quality=95)


class MeanOfChannels(nn.Module):
    def forward(self, images):
        return images.mean(1, keepdim=True).sigmoid()


@pytest.mark.parametrize(("dataset", "places"), [("mit1003", MIT1003), ("cat2000", CAT2000)])
def test_a_fifth_of_an_undivided_data_set_is_held_out(tmp_path, dataset, places):
    write_undivided(tmp_path, places)
    training, held_out, where = data_of(parse(["--data", str(tmp_path), "--dataset", dataset]))
    # A fifth of six rounded up, in CAT2000 one image of each category's three.
    assert (len(training), len(held_out)) == (4, 2)
    assert not set(training.names) & set(held_out.names)
    assert where == f"{dataset}, 2 of 6 images, held out by name"
    scores = score(MeanOfChannels(), HeldOut.read(held_out, 32))
    assert all(value == value for value in scores.values())  # NaN differs from itself


def test_a_data_set_of_another_layout_is_refused(tmp_path):
    write_undivided(tmp_path, MIT1003)
    with pytest.raises(SystemExit, match="has the layout 'mit1003', not --dataset 'cat2000'"):
        data_of(parse(["--data", str(tmp_path), "--dataset", "cat2000"]))


def test_given_checkouts_take_the_place_of_the_compact_networks():
    names = ("unisal", "simplenet", "deepgaze")
    models = models_of(parse(["--smoke", *(part for name in names for part in (f"--{name}", str(STAND_INS / name)))]))
    assert {name: model.learning_rate for name, model in models.items()} == {
        "UNISAL": 1e-3,
        "SimpleNet": 1e-4,
        "DeepGaze IIE": 1e-3,
    }


def test_other_data_than_scenes_are_learned_by_the_compact_networks_without_pretraining(tmp_path):
    models = models_of(parse(["--data", str(tmp_path), "--runs", str(tmp_path)]))
    assert list(models) == ["compact UNISAL", "compact SimpleNet", "compact DeepGaze IIE", "compact TempSAL"]
    assert not list(tmp_path.iterdir())


def run(capsys, folder: Path, *options: object) -> str:
    main(["--smoke", "--runs", str(folder / "runs"), *map(str, options)])
    return capsys.readouterr().out


def test_tables_1_and_2_on_scenes_and_again_without_a_training(sd1_folder, tmp_path, capsys):
    options = ("--editor", sd1_folder, "--unisal", STAND_INS / "unisal")
    output = run(capsys, tmp_path, *options)
    assert "4 images to train on; measured on 4 held-out scenes" in output
    assert "UNISAL: 4 trials, about" in output
    assert output.split("Table 1")[0].count("\nUNISAL  ") == 5  # a row for each metric
    assert "SaliencyPredictor" in output
    again = run(capsys, tmp_path, *options)
    assert "UNISAL: 0 trials" in again
    assert again.split("Table 2")[1] == output.split("Table 2")[1]
    with pytest.raises(ValueError, match=r"were made with editor = .*, not 'bundled'"):
        run(capsys, tmp_path, "--unisal", STAND_INS / "unisal")


@pytest.mark.slow
def test_the_four_compact_networks_are_trained_on_scenes(tmp_path, capsys):
    output = run(capsys, tmp_path)
    for name in ("UNISAL", "SimpleNet", "DeepGaze IIE", "TempSAL"):
        assert f"compact {name}: 4 trials" in output
        assert output.count(f"compact {name} ") == 5  # a row for each metric
