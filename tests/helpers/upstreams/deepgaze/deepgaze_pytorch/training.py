from pathlib import Path

import torch

from .metrics import auc, log_likelihood
from .modules import DeepGazeII


def predict(model, batch):
    image, centerbias = batch.pop("image"), batch.pop("centerbias")
    fixation_mask, weights = batch.pop("fixation_mask"), batch.pop("weight")
    history = {name: batch.pop(name, torch.tensor([])) for name in ("x_hist", "y_hist", "durations")}
    rest = dict(batch)  # whatever else a data set puts into its items
    if isinstance(model, DeepGazeII):
        return model(image, centerbias, **rest), fixation_mask, weights
    return model(image, centerbias, **history, **rest), fixation_mask, weights


def eval_epoch(model, dataset):
    model.eval()
    with torch.no_grad():
        outputs = [predict(model, batch) for batch in dataset]
    return [metric(*output).item() for metric in (log_likelihood, auc) for output in outputs]


def train_epoch(model, dataset, optimizer):
    model.train()
    for batch in dataset:
        optimizer.zero_grad()
        (-log_likelihood(*predict(model, batch))).backward()
        optimizer.step()


def _train(
    this_directory,
    model,
    train_loader,
    train_baseline_log_likelihood,
    val_loader,
    val_baseline_log_likelihood,
    optimizer,
    lr_scheduler,
    minimum_learning_rate,
    device=None,
):
    this_directory = Path(this_directory)
    this_directory.mkdir(parents=True, exist_ok=True)
    while optimizer.param_groups[0]["lr"] >= minimum_learning_rate:
        train_epoch(model, train_loader, optimizer)
        print(model.finalizer.gauss.sigma.item(), eval_epoch(model, val_loader))
        lr_scheduler.step()
    torch.save(model.state_dict(), this_directory / "final.pth")
