"""However a loop scales, spreads or saves its work, the editing loss keeps its weight."""

import multiprocessing

import pytest
import torch
from helpers.toy import Toy, apart, editing_gradient, gradient_left, packed_batch
from torch import nn
from torch.utils.checkpoint import checkpoint

from augsal_transforms.adapters._hook import EditingHook
from augsal_transforms.adapters._run import training

WEIGHT = 0.1


def objective(prediction):
    return (prediction - 0.3).square().mean()


def effective_weight(added, packed, model=None):
    """The part of the editing loss's gradient that an added gradient is, in units of its weight."""
    expected = WEIGHT * editing_gradient(model or Toy(), packed)
    factor = (added @ expected / (expected @ expected)).item()
    assert torch.allclose(added, factor * expected, rtol=1e-6, atol=1e-12)
    return factor


def added_by(run):
    """What a hooked model's gradient has more than a plain one's, ``run(model, packed)`` having called backward."""
    plain, hooked, packed = Toy(), Toy(), packed_batch()
    run(plain, apart(packed)[0], None)
    hook = EditingHook(WEIGHT)
    with training(hook):
        hook.attach(hooked)
        run(hooked, packed, hook)
    return gradient_left(hooked) - gradient_left(plain), packed


def test_under_a_grad_scaler():
    def run(model, images, hook):
        scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
        scaler.scale(objective(model(images))).backward()

    added, packed = added_by(run)
    assert effective_weight(added / 65536, packed) == pytest.approx(1)


def test_a_scaler_that_is_off_scales_nothing():
    def run(model, images, hook):
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        scaler.scale(objective(model(images))).backward()

    added, packed = added_by(run)
    assert effective_weight(added, packed) == pytest.approx(1)


def test_over_accumulated_batches():
    # Four passes whose loss is divided by 4 are one of the whole: the mean of their editing losses.
    def run(model, images, hook):
        for _ in range(4):
            if hook:
                hook.set_loss_scale(1 / 4)
            (objective(model(images)) / 4).backward()

    added, packed = added_by(run)
    assert effective_weight(added, packed) == pytest.approx(1)


def test_accumulated_under_a_grad_scaler():
    def run(model, images, hook):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for _ in range(2):
            if hook:
                hook.set_loss_scale(1 / 2)
            scaler.scale(objective(model(images)) / 2).backward()

    added, packed = added_by(run)
    assert effective_weight(added / 1024, packed) == pytest.approx(1)


def replica(module):
    """A module as ``DataParallel`` replicates it: its parameters are plain attributes."""
    copy = module._replicate_for_data_parallel()
    for name, parameter in module._parameters.items():
        vars(copy)[name] = parameter
    for name, child in module._modules.items():
        copy._modules[name] = replica(child)
    return copy


class TwoReplicas(nn.DataParallel):
    """What ``DataParallel`` does on two devices, on none."""

    def forward(self, images):
        return torch.cat([replica(self.module)(part) for part in images.chunk(2)])


def test_under_data_parallel():
    def run(model, images, hook):
        objective(TwoReplicas(model)(images)).backward()

    added, packed = added_by(run)
    assert effective_weight(added, packed) == pytest.approx(1)


def test_a_hook_inside_data_parallel_would_count_once_a_replica():
    def run(model, images, hook):
        parallel = TwoReplicas(model)
        if hook:
            hook.detach(parallel)
            hook.attach(model)
        objective(parallel(images)).backward()

    added, packed = added_by(run)
    expected = WEIGHT * editing_gradient(Toy(), packed)
    assert (added @ expected / (expected @ expected)).item() == pytest.approx(2, rel=1e-6)


def rank(number, folder, sender):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=number, world_size=2)
    packed, gradients = packed_batch(), []
    for images in (apart(packed)[0], packed):
        model, hook = Toy(), EditingHook(WEIGHT)
        hook.attach(model)
        parallel = nn.parallel.DistributedDataParallel(model)
        objective(parallel(images.chunk(2)[number])).backward()
        gradients.append(gradient_left(model))
    if number == 0:
        sender.send((gradients[1] - gradients[0]).tolist())
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_over_two_ranks(tmp_path):
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    ranks = [context.Process(target=rank, args=(number, tmp_path, sender)) for number in range(2)]
    for process in ranks:
        process.start()
    assert receiver.poll(60)
    added = torch.tensor(receiver.recv(), dtype=torch.float64)
    for process in ranks:
        process.join()
    assert effective_weight(added, packed_batch()) == pytest.approx(1)


@pytest.mark.parametrize("inside", [True, False])
def test_under_compile(inside):
    def run(model, images, hook):
        compiled = torch.compile(model, backend="eager")
        if hook and not inside:
            hook.detach(model)
            hook.attach(compiled)
        objective(compiled(images)).backward()

    added, packed = added_by(run)
    assert effective_weight(added, packed) == pytest.approx(1)


@pytest.mark.parametrize("reentrant", [True, False])
def test_of_a_model_that_is_checkpointed_as_a_whole(reentrant):
    def run(model, images, hook):
        objective(checkpoint(model, images.requires_grad_(), use_reentrant=reentrant)).backward()

    added, packed = added_by(run)
    assert effective_weight(added, packed.detach()) == pytest.approx(1)


@pytest.mark.parametrize("reentrant", [True, False])
def test_of_a_model_that_checkpoints_its_layers(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.toy = Toy(nn.BatchNorm2d(6))

        def forward(self, images):
            if reentrant:
                images = images.detach().requires_grad_()
            return checkpoint(self.toy, images, use_reentrant=reentrant)

    plain, hooked, packed = Checkpointed(), Checkpointed(), packed_batch()
    objective(plain(apart(packed)[0])).backward()
    hook = EditingHook(WEIGHT)
    with training(hook):
        hook.attach(hooked)
        objective(hooked(packed)).backward()
    added = gradient_left(hooked) - gradient_left(plain)
    assert effective_weight(added, packed, Toy(nn.BatchNorm2d(6))) == pytest.approx(1)
