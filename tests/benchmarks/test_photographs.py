"""benchmarks/photographs.py and its parts: parts by name, edits, the loss of a batch, and the command to the table."""

from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from photographs import main
from table2.frozen import FrozenHead
from table2.photograph_edits import edit_pixels, rises
from table2.photograph_trial import Batch, EditFeatures, TrainingFeatures, batch_loss
from table2.photograph_variants import PHOTOGRAPH_GRID, WITHOUT, find_variant
from table2.photographs import SCORED, Parts, read_part

from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs") / "scenes"
    write_scenes(folder, count=8, split="train", seed=5)
    return folder


def test_parts_follow_each_other_in_the_order_of_hashes():
    names = [str(1001 + n) for n in range(700)]
    ordered = sorted(names, key=lambda name: sha256(f"osie{name}".encode()).hexdigest())
    assert Parts().names("training", names) == ordered[:300]
    assert Parts().names("tuning", reversed(names)) == ordered[300:400]
    assert Parts().names("proof", names) == ordered[400:520]
    assert Parts().names("judges", names) == ordered[520:]


def test_too_few_photographs_are_refused_with_the_parts():
    with pytest.raises(ValueError, match=r"at least 700 photographs .300 for training.*got 20"):
        Parts().names("proof", [str(n) for n in range(20)])


def test_fixations_are_counted_at_the_size_of_the_scores(scenes):
    data, parts = FixatedFolder(scenes), Parts(training=4, tuning=2, proof=2, judges=0)
    read = read_part(scenes, "tuning", parts)
    for n, name in enumerate(read.names):
        points = data.fixations(name)
        assert read.fixation_maps[n].sum() == len(points)
        x, y = points[0].tolist()  # of 128 pixels a side
        assert read.fixation_maps[n][0, int(y * SCORED[0] / 128), int(x * SCORED[1] / 128)] > 0
    assert read.saliency_maps.amax((1, 2, 3)).tolist() == [1.0, 1.0]


def edit_of(kind, alpha, strength, color=""):
    mask = torch.zeros(1, 2, 2)
    mask[0, 0] = 1.0
    rest = {"region": mask, "word": "", "region_source": "saliency_map", "bound_by": "", "seed": 0}
    rest |= {"properties_before": {}, "properties_after": {}}
    image = torch.zeros(3, 2, 2)
    return EditedImage(image=image, edit_mask=mask, kind=kind, color=color, alpha=alpha, strength=strength, **rest)


def test_plain_brightness_adds_alpha_times_strength_inside_the_mask():
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    changed = edit_pixels(image, edit_of("brightness", 0.2, 0.5))  # 255 × 0.2 × 0.5 = 25.5, rounded to even
    assert changed[:, 0].unique().tolist() == [126]
    assert changed[:, 1].unique().tolist() == [100]


def test_plain_contrast_stretches_about_the_mean_of_the_region():
    image = torch.tensor([[80, 120], [10, 10]], dtype=torch.uint8).expand(3, 2, 2)
    changed = edit_pixels(image, edit_of("contrast", 1.5, 1.0))  # mean 100: 100 ∓ 1.5 × 20
    assert changed[0].tolist() == [[70, 130], [10, 10]]


def test_plain_colour_keeps_what_lies_outside_the_mask():
    image = torch.full((3, 2, 2), 128, dtype=torch.uint8)
    changed = edit_pixels(image, edit_of("color", 0.5, 1.0, "red"))
    assert changed[0, 0, 0] > changed[1, 0, 0]
    assert torch.equal(changed[:, 1], image[:, 1])


def test_a_rise_of_the_region_by_hand():
    before, after = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2), torch.tensor([1.5, 0.5]).view(1, 1, 1, 2)
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert rises(before, after, mask).tolist() == pytest.approx([0.405465], abs=1e-5)  # log (3/4) / (1/2)


CHANNELS = (3, 5)


def random_features(count, generator):
    shapes = ((count, 3, 4, 4), (count, 5, 2, 2))
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 1, 4, 4, generator=generator)
    rows = [{"contrast": [2 * n], "color": [2 * n + 1]} for n in range(6)]
    masks = torch.rand(12, 1, 4, 4, generator=generator)
    features = [random_features(12, generator) for _ in range(2)]
    edits = EditFeatures(
        rows=rows, plain=features[0], mirrored=features[1], edit_masks=masks, saliency_maps=masks.flip(0)
    )
    plain, mirrored = random_features(6, generator), random_features(6, generator)
    gated = replace(edits, rows=[{}, *rows[1:]])
    return TrainingFeatures(plain=plain, mirrored=mirrored, saliency_maps=maps, edits={"editor": edits, "gated": gated})


def draw(name, data, seed=1):
    return Batch.draw(find_variant(name), torch.arange(6), data, seed, step=3)


def test_variants_that_share_a_draw_draw_the_same(data):
    assert torch.equal(draw("with", data).edits, draw("mirroring and with", data).edits)
    assert torch.equal(draw("with", data).edits, draw("rank loss", data).edits)
    assert torch.equal(draw("mirroring", data).is_mirrored, draw("mirroring and with", data).is_mirrored)
    assert not draw("with", data).is_mirrored.any()
    assert draw("mirroring", data).edits.eq(-1).all()


def test_an_edit_belongs_to_its_photograph_and_the_gate_leaves_none_where_none_passes(data):
    drawn = torch.stack([draw("gated edits", data, seed).edits for seed in range(20)])
    assert drawn[:, 0].eq(-1).all()
    edited = drawn[:, 1:] >= 0
    assert 0.3 < edited.float().mean() < 0.7  # p = 0.5
    assert torch.equal((drawn[:, 1:] // 2)[edited], torch.arange(1, 6).expand(20, 5)[edited])


def loss_of(name, data, batch, kept=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = FrozenHead(CHANNELS, width=4)
    variant = find_variant(name)
    kept = [torch.full((len(batch.edits), count, 1, 1), kept) for count in CHANNELS]
    return head, batch_loss(head, variant, variant.criterion(), batch, data, kept)


def test_the_loss_of_a_batch_is_that_of_the_library(data):
    batch = Batch(torch.tensor([4, 2]), torch.tensor([True, False]), torch.tensor([9, -1]))
    head, found = loss_of("annotation pairs", data, batch)
    original = [torch.stack([m[4], p[2]]) for p, m in zip(data.plain, data.mirrored, strict=True)]
    edits = data.edits["editor"]
    maps = torch.stack([data.saliency_maps[4].flip(-1), data.saliency_maps[2]])
    prediction, edited = head(original), head([m[9:10] for m in edits.mirrored])
    criterion = find_variant("with").criterion()
    editing = criterion.editing(prediction[:1], edited, edits.edit_masks[9:10].flip(-1))
    pair = criterion.base(edited, edits.saliency_maps[9:10].flip(-1))
    expected = criterion.base(prediction, maps) + 0.1 * editing / 2 + pair / 2
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_without_an_edit_has_the_loss_of_without(data):
    batch = Batch(torch.tensor([4, 2]), torch.tensor([False, False]), torch.tensor([-1, -1]))
    assert loss_of("with", data, batch)[1].item() == loss_of("without", data, batch)[1].item()


def test_edits_as_plain_images_take_the_place_of_originals(data):
    batch = Batch(torch.tensor([4]), torch.tensor([False]), torch.tensor([9]))
    head, found = loss_of("edits as plain images", data, batch)
    base = find_variant("with").criterion().base
    edited = head([maps[9:10] for maps in data.edits["editor"].plain])
    assert found.item() == pytest.approx(base(edited, data.saliency_maps[4:5]).item())


def test_a_head_predicts_an_image_alike_in_every_batch(data):
    head, _ = loss_of("without", data, Batch(torch.tensor([0]), torch.tensor([False]), torch.tensor([-1])))
    head.standardise(data.plain)
    together = head(data.plain)
    assert together.amax((1, 2, 3)).tolist() == [1.0] * 6
    assert torch.allclose(together[2:3], head([maps[2:3] for maps in data.plain]), atol=1e-6)


def test_every_variant_is_compared_with_one_that_exists():
    assert all(find_variant(variant.compared_with) in PHOTOGRAPH_GRID for variant in PHOTOGRAPH_GRID)
    assert PHOTOGRAPH_GRID[0] is WITHOUT
    with pytest.raises(ValueError, match="no variant 'wth'; the variants are 'without'"):
        find_variant("wth")


def test_the_command_ends_in_a_table_and_trains_nothing_twice(scenes, encoder, sd1_folder, predictor, tmp_path, capsys):
    predictor.save(tmp_path / "predictor")
    names = ("--editor", sd1_folder, "--predictor", tmp_path / "predictor", "--encoder", encoder)
    options = ["--data", scenes, "--smoke", "--parts", 4, 2, 2, 0, "--runs", tmp_path / "runs", *names]
    main(list(map(str, options)))
    output = capsys.readouterr().out
    assert "frozen encoder: efficientnet-lite0" in output
    assert "4 training photographs" in output
    assert "| edits in plain pixels, against *with* | 2 |" in output
    assert output.count(" | 2 | ") == len(PHOTOGRAPH_GRID)
    assert (tmp_path / "runs" / "photographs.png").stat().st_size > 10_000
    trials = sorted((tmp_path / "runs" / "trials-4").glob("*.json"))
    written = [path.stat().st_mtime_ns for path in trials]
    main(list(map(str, options)))
    assert capsys.readouterr().out.split("training photographs")[1] == output.split("training photographs")[1]
    assert [path.stat().st_mtime_ns for path in trials] == written
    with pytest.raises(ValueError, match="were made with editor = "):
        main(["bundled" if str(option) == str(sd1_folder) else str(option) for option in options])


def test_learning_rates_are_tried_on_the_tuning_photographs(scenes, encoder, tmp_path, capsys):
    options = ("--data", scenes, "--smoke", "--tune", "--parts", 4, 2, 2, 0, "--encoder", encoder, "--runs", tmp_path)
    main(list(map(str, options)))
    assert capsys.readouterr().out.count("4 photographs, 0.0") == 3
