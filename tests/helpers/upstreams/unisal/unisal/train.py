import os
from pathlib import Path
from random import shuffle

import torch
from torch.utils.data import DataLoader

from . import data, model
from .config import Configured


class Trainer(Configured):
    phases = ("train", "valid")

    def __init__(
        self,
        num_epochs=2,
        data_sources=("DHF1K", "SALICON"),
        salicon_batch_size=2,
        num_workers=0,
        tboard=True,
        model_cfg=None,
        prefix="run",
        suffix="unisal",
        new_instance=True,
    ):
        self.num_epochs, self.data_sources, self.salicon_batch_size = num_epochs, data_sources, salicon_batch_size
        self.num_workers, self.tboard, self.model_cfg = num_workers, tboard, model_cfg or {}
        self.model_cfg.setdefault("sources", data_sources)
        self.prefix, self.suffix, self.new_instance = prefix, suffix, new_instance
        self.epoch, self.phase, self._model, self._datasets, self._dataloaders = 0, None, None, {}, {}
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.04, momentum=0.9, weight_decay=1e-4)
        if new_instance:
            self.train_dir.mkdir(parents=True)
            self.save_cfg(self.train_dir)
            self.model.save_cfg(self.train_dir)
            for source in data_sources:
                self.get_dataset("train", source=source).save_cfg(self.train_dir)

    @property
    def train_dir(self):
        return Path(os.environ["TRAIN_DIR"]) / f"{self.prefix}_{self.suffix}"

    @property
    def model(self):
        if self._model is None:
            self._model = model.UNISAL(**self.model_cfg)
        return self._model

    def get_dataset(self, phase, source="DHF1K"):
        if (phase, source) not in self._datasets:
            self._datasets[phase, source] = getattr(data, f"{source}Dataset")(phase=phase)
        return self._datasets[phase, source]

    def get_dataloader(self, phase, source="DHF1K"):
        loaders = self._dataloaders.setdefault(source, {})
        if phase not in loaders:
            loaders[phase] = DataLoader(
                self.get_dataset(phase, source),
                batch_size=self.salicon_batch_size if source == "SALICON" else 2,
                shuffle=phase == "train",
                num_workers=self.num_workers,
                drop_last=True,
            )
        return loaders[phase]

    def fit(self):
        for epoch in range(self.num_epochs):
            self.epoch = epoch
            for phase in self.phases:
                self.phase = phase
                self.fit_phase()
        torch.save({"model_state_dict": self.model.state_dict()}, self.train_dir / "chkpnt_epoch0000.pth")

    def fit_phase(self):
        loaders = {source: self.get_dataloader(self.phase, source) for source in self.data_sources}
        order = [source for source, loader in loaders.items() for _ in loader]
        shuffle(order)
        self.model.train(self.phase == "train")
        batches = {source: iter(loader) for source, loader in loaders.items()}
        for source in order:
            *sample, (heights, widths) = next(batches[source])
            self.fit_sample(sample, grad_clip=2.0, target_size=(heights[0].item(), widths[0].item()), source=source)

    def fit_sample(self, sample, grad_clip=None, **kwargs):
        with torch.set_grad_enabled(self.phase == "train"):
            _, x, sal, fix = sample
            if x.dim() == 4:
                x, sal, fix = x.unsqueeze(1), sal.unsqueeze(1), fix.unsqueeze(1)
            if self.phase == "train":
                for part in (self.model.rnn, self.model.post_rnn):
                    part.requires_grad_(x.shape[1] > 1)
                for name, parameter in self.model.named_parameters():
                    for source in self.data_sources:
                        if source.lower() in name:
                            parameter.requires_grad = source == kwargs["source"]
            prediction = self.model(x.float(), **kwargs)
            (loss,) = self.loss_sequences(prediction, sal, fix, metrics=("kld",))
            loss = loss.mean()
        if self.phase == "train":
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), grad_clip)
            self.optimizer.step()
        return loss.item()

    @staticmethod
    def loss_sequences(pred_seq, sal_seq, fix_seq, metrics):
        return [(sal_seq * (sal_seq.clamp(min=1e-12).log() - pred_seq)).sum((-2, -1)) for _ in metrics]
