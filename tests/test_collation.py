"""collate_edited: batches with the pictures of edited samples alone, and the losses that take them."""

import pytest
import torch
from helpers.records import filled, picture
from helpers.samples import refusal
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from augsal_transforms import (
    AugmentedDataset,
    AugmentedSaliencyLoss,
    EditStore,
    GazeChangeLoss,
    MaskedEditingLoss,
    SaliencyDiffusionAugment,
    SaliencyLoss,
    collate_edited,
)

PICTURES = ("edited_image", "edit_mask")


class Pictures(Dataset):
    def __init__(self, transform, as_tuple=False, count=8):
        self.transform, self.as_tuple, self.count = transform, as_tuple, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        saliency_map = torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(index))
        if self.as_tuple:
            return self.transform((picture(index), saliency_map))
        return self.transform({"image": picture(index), "saliency_map": saliency_map, "image_id": index})


@pytest.fixture
def folder(tmp_path):
    return filled(EditStore(tmp_path), 8).folder


def samples_at(folder, p, **options):
    augment = SaliencyDiffusionAugment(store=folder, p=p, seed=0)
    dataset = Pictures(v2.Compose([augment, v2.ToDtype(torch.float32, scale=True)]), **options)
    return [dataset[n] for n in range(8)]


@pytest.mark.parametrize("p", [0, 0.5, 1])
def test_the_pictures_of_edited_samples_are_carried_and_everything_else_of_all(folder, p):
    samples = samples_at(folder, p)
    batch, whole = collate_edited(samples), default_collate(samples)
    chosen = whole["is_edited"]
    assert bool(chosen.any()) == (p > 0)
    assert bool(chosen.all()) == (p == 1)
    assert batch.keys() == whole.keys()
    for key, value in whole.items():
        if key in PICTURES:
            assert batch[key].dtype == value.dtype
            assert torch.equal(batch[key], value[chosen])
        elif isinstance(value, torch.Tensor):
            assert torch.equal(batch[key], value)
        else:
            assert batch[key] == value


def test_tuples_get_it_in_the_dict_at_their_end(folder):
    samples = samples_at(folder, 0.5, as_tuple=True)
    image, saliency_map, added = collate_edited(samples)
    whole = default_collate(samples)
    assert torch.equal(image, whole[0])
    assert torch.equal(saliency_map, whole[1])
    assert torch.equal(added["edited_image"], whole[2]["edited_image"][whole[2]["is_edited"]])
    assert len(added["edit_kind"]) == 8


@pytest.mark.parametrize("workers", [0, 1])
def test_in_a_loader_of_an_augmented_dataset(folder, workers):
    augment = SaliencyDiffusionAugment(store=folder, p=0.5, seed=0)
    dataset = AugmentedDataset(Pictures(dict), augment, image_transform=v2.ToDtype(torch.float32, scale=True))
    for batch in DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate_edited):
        count = int(batch["is_edited"].sum())
        assert batch["image"].shape == (4, 3, 24, 32)
        assert batch["edited_image"].shape == (count, 3, 24, 32)
        assert batch["edit_mask"].shape == (count, 1, 24, 32)


@pytest.mark.parametrize("sample", [{"image": torch.zeros(3, 4, 4)}, (torch.zeros(3, 4, 4),), torch.zeros(3, 4, 4), ()])
def test_samples_without_the_contracts_keys_are_refused(sample):
    assert "'is_edited', got" in refusal(lambda: collate_edited([sample]))


def test_samples_of_several_augmentations_are_refused(folder):
    samples = samples_at(folder, 0.5)
    paired = [{**sample, "edited_saliency_map": sample["saliency_map"]} for sample in samples]
    for mixed in ([samples[0], paired[1]], [paired[0], samples[1]], []):
        assert "all have the same of the keys edited_image, edit_mask" in refusal(
            lambda mixed=mixed: collate_edited(mixed)
        )
    assert collate_edited(paired)["edited_saliency_map"].shape == collate_edited(samples)["edit_mask"].shape


def predictions(count, *, flags):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(count, 1, 5, 6, generator=generator, dtype=torch.float64) for _ in range(5)]
    return maps, torch.tensor(flags)


def gradients(loss, *leaves):
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(found, leaves, strict=True)]


@pytest.mark.parametrize("flags", [[True, False, True, False], [False] * 4, [True] * 4, [False, False, False, True]])
@pytest.mark.parametrize("supervise", ["all", "unedited"])
def test_the_losses_are_the_same_for_rows_of_the_edited_items(flags, supervise):
    (prediction, saliency_map, edited, mask, edited_map), is_edited = predictions(4, flags=flags)
    prediction.requires_grad_()
    rows = edited[is_edited].requires_grad_()
    edited.requires_grad_()
    augmented = AugmentedSaliencyLoss(SaliencyLoss(), supervise=supervise)
    cases = [
        (lambda e, m, _: MaskedEditingLoss(detach="none")(prediction, e, m, is_edited)),
        (lambda e, m, _: augmented(prediction, saliency_map, e, m, is_edited)),
        (lambda e, m, s: augmented(prediction, saliency_map, e, m, is_edited, s)),
        (lambda e, m, s: GazeChangeLoss()(prediction, e, m, saliency_map, s, is_edited)),
    ]
    for case in cases:
        whole, alone = case(edited, mask, edited_map), case(rows, mask[is_edited], edited_map[is_edited])
        assert torch.equal(whole, alone)
        of_whole, of_rows = gradients(whole, prediction, edited), gradients(alone, prediction, rows)
        assert torch.equal(of_whole[0], of_rows[0])
        assert torch.equal(of_whole[1][is_edited], of_rows[1])


def test_predictions_of_all_items_go_with_masks_of_the_edited_ones():
    (prediction, _, edited, mask, _), is_edited = predictions(4, flags=[True, False, True, False])
    loss = MaskedEditingLoss()
    assert torch.equal(loss(prediction, edited, mask, is_edited), loss(prediction, edited, mask[is_edited], is_edited))


def test_another_number_of_rows_is_refused():
    (prediction, _, edited, mask, _), is_edited = predictions(4, flags=[True, False, True, False])
    message = refusal(lambda: MaskedEditingLoss()(prediction, edited[:3], mask[is_edited], is_edited))
    assert message.startswith("`edited_prediction` must have a row for each of the 4 items, or for each of the 2")
    assert "`is_edited`" in refusal(lambda: MaskedEditingLoss()(prediction, edited[:2], mask[:2]))
    assert refusal(lambda: MaskedEditingLoss()(prediction, edited[is_edited], mask[:1], is_edited))


def test_a_training_loop_learns_the_same_with_rows_as_with_all(folder):
    samples = samples_at(folder, 0.5)

    def learn(collate, predict_edited):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3, padding=1), torch.nn.Sigmoid())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        criterion = AugmentedSaliencyLoss(SaliencyLoss())
        for _ in range(3):
            for batch in DataLoader(samples, batch_size=4, collate_fn=collate):
                prediction = model(batch["image"])
                edited = predict_edited(model, batch, prediction)
                loss = criterion(prediction, batch["saliency_map"], edited, batch["edit_mask"], batch["is_edited"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return model[0].weight

    def rows(model, batch, prediction):
        return model(batch["edited_image"]) if batch["is_edited"].any() else prediction[:0]

    expected = learn(default_collate, lambda model, batch, _: model(batch["edited_image"]))
    assert torch.allclose(learn(collate_edited, rows), expected, atol=1e-6)
