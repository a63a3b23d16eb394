"""benchmarks/judges.py: two judges, trained, saved and loaded again."""

import pytest
import torch
from judges import KINDS, load_judge, main
from table2.classical_features import CHANNELS, classical_features

from augsal_transforms.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def trained(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    write_scenes(folder / "scenes", count=6, split="train", seed=5)
    options = ("--data", folder / "scenes", "--smoke", "--parts", 0, 2, 0, 4, "--encoder", encoder, "--out", folder)
    main(list(map(str, options)))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_predicts_at_the_size_of_each_image(trained, encoder, kind):
    judge = load_judge(trained / kind, encoder)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, *size, generator=generator) for size in ((40, 60), (64, 32))]
    maps = judge.predict([(images[0] * 255).round().byte(), images[1]])
    assert [tuple(one.shape) for one in maps] == [(1, 40, 60), (1, 64, 32)]
    assert all(one.min() >= 0 and one.max() == 1 for one in maps)
    assert len(judge.heads) == 2
    alone = judge.predict(images[1:])[0]
    assert torch.allclose(maps[1], alone, atol=1e-5)


def test_without_a_trained_judge_the_error_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Train the judges: python benchmarks/judges\.py --data OSIE"):
        load_judge(tmp_path)


def test_a_grey_image_has_classical_features_of_brightness_alone():
    plain = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    fine, middle, coarse = classical_features(plain)
    assert [tuple(x.shape) for x in (fine, middle, coarse)] == [(1, CHANNELS, n, n) for n in (8, 4, 2)]
    assert fine[0, 0].unique().tolist() == pytest.approx([100 / 255], abs=1e-3)
    assert fine[0, 1:-1, 4, 4].abs().max() < 1e-2  # far from the border, where a blur has less to average


def test_a_red_spot_on_grey_shows_in_red_against_green():
    image = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    image[:, 0, 24:40, 24:40] = 200
    red_green = classical_features(image)[0][0, 1]
    assert red_green[3:5, 3:5].min() > 0.35  # (200 − 100) / 255
    assert red_green[0].abs().max() < 1e-3
