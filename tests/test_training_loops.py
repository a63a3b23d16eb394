"""The README's loops: a bare one, and PyTorch Lightning's where it is installed."""

import pytest
import torch
from helpers.records import filled, picture
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from augsal_transforms import AugmentedSaliencyLoss, EditStore, SaliencyDiffusionAugment, SaliencyLoss


class Pictures(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 4

    def __getitem__(self, index):
        saliency_map = torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(index))
        return self.transform({"image": picture(index), "saliency_map": saliency_map, "image_id": index})


@pytest.fixture
def augment(tmp_path):
    return SaliencyDiffusionAugment(store=filled(EditStore(tmp_path), 4), p=0.6, seed=0)


def loader_of(augment):
    return DataLoader(Pictures(v2.Compose([augment, v2.ToDtype(torch.float32, scale=True)])), batch_size=2)


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1), nn.Sigmoid())


def bare_loop(augment, editing_weight, epochs=3):
    model, criterion = small_model(), AugmentedSaliencyLoss(SaliencyLoss(), editing_weight=editing_weight)
    optimizer, loader = torch.optim.SGD(model.parameters(), lr=0.1), loader_of(augment)
    for epoch in range(epochs):
        augment.set_epoch(epoch)
        for batch in loader:
            prediction = model(batch["image"])
            edited_prediction = model(batch["edited_image"])
            loss = criterion(
                prediction, batch["saliency_map"], edited_prediction, batch["edit_mask"], batch["is_edited"]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def test_a_bare_loop_trains_with_the_editing_loss(augment):
    trained, without = bare_loop(augment, 0.1), bare_loop(augment, 0.0)
    assert augment.counts["edited"] >= 6
    assert augment.counts["by chance"] >= 2
    assert not torch.equal(trained[0].weight, without[0].weight)


@pytest.mark.filterwarnings("ignore")  # Lightning's own
def test_lightning_trains_to_the_weights_of_the_bare_loop(augment, tmp_path):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Training(lightning.LightningModule):
        def __init__(self, model, augment):
            super().__init__()
            self.model, self.augment = model, augment
            self.criterion = AugmentedSaliencyLoss(SaliencyLoss(), editing_weight=0.1)

        def on_train_epoch_start(self):
            self.augment.set_epoch(self.current_epoch)

        def training_step(self, batch, _):
            predictions = self.model(batch["image"]), self.model(batch["edited_image"])
            return self.criterion(
                predictions[0], batch["saliency_map"], predictions[1], batch["edit_mask"], batch["is_edited"]
            )

        def configure_optimizers(self):
            return torch.optim.SGD(self.model.parameters(), lr=0.1)

    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    training = Training(small_model(), augment)
    trainer.fit(training, loader_of(augment))
    expected = bare_loop(augment, 0.1).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in training.model.state_dict().items())
