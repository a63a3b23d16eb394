"""A stand-in for TempSAL's training, a fork of SimpleNet's, that does not start as it is."""

import argparse
import os

import torch
import wandb
from dataloader import SaliconDataset
from loss import *  # noqa: F403
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--no_epochs", default=2, type=int)
parser.add_argument("--enc_model", default="pnas", type=str)
parser.add_argument("--load_weight", default=1, type=int)
parser.add_argument("--model_path", default="", type=str)
parser.add_argument("--dataset_dir", default="", type=str)
parser.add_argument("--batch_size", default=2, type=int)
parser.add_argument("--no_workers", default=0, type=int)
parser.add_argument("--model_val_path", default="model.pt", type=str)
args = parser.parse_args()

train_img_dir = args.dataset_dir + "images/train/"
val_img_dir = args.dataset_dir + "images/val/"
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

if args.enc_model == "pnas":
    from model import PNASModel

    model = PNASModel(load_weight=args.load_weight)
elif args.enc_model == "pnas_boosted_multi":
    from model import PNASBoostedModelMultilevel

    model = PNASBoostedModelMultilevel(device, args.model_path)

if torch.cuda.device_count() > 1:
    model = nn.DataParallel(model)

train_dataset = SaliconDataset(
    train_img_dir,
    args.dataset_dir + "maps/train/",
    args.dataset_dir + "fixation_maps/train/",
    sorted(name.split(".")[0] for name in os.listdir(train_img_dir)),
)
val_dataset = SaliconDataset(
    val_img_dir,
    args.dataset_dir + "maps/val/",
    args.dataset_dir + "fixation_maps/val/",
    sorted(name.split(".")[0] for name in os.listdir(val_img_dir)),
)
train_loader = torch.utils.data.DataLoader(
    train_dataset, batch_size=args.batch_size, shuffle=True, num_workers=args.no_workers
)
val_loader = torch.utils.data.DataLoader(val_dataset, batch_size=1, num_workers=args.no_workers)


def loss_func(pred_map, gt, fixations, args):
    loss = torch.FloatTensor([0.0]).cuda()
    loss += kldiv(pred_map, gt)  # noqa: F405
    loss += -cc(pred_map, gt)  # noqa: F405
    return loss


def train(model, optimizer, loader):
    model.train()
    for img, gt, fixations in loader:
        optimizer.zero_grad()
        pred_map, vol_pred = model(img)
        assert pred_map.size() == gt.size()
        loss_func(pred_map, gt, fixations, args).backward()
        optimizer.step()


def validate(model, loader):
    model.eval()
    score = sum(cc(model(img)[0], gt) for img, gt, _ in loader) / len(loader)  # noqa: F405
    wandb.log({"CC": score})
    return score


optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
best = None
for _epoch in range(args.no_epochs):
    train(model, optimizer, train_loader)
    with torch.no_grad():
        score = validate(model, val_loader)
        if best is None or best <= score:
            best = score
            trained = model.module if torch.cuda.device_count() > 1 else model
            torch.save(trained.state_dict(), args.model_val_path)
