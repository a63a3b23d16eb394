import copy
import math
import pickle

import pytest
import torch
from helpers.toy import Toy, apart, editing_gradient, gradient, packed_batch
from torch import nn

from augsal_transforms import MaskedEditingLoss
from augsal_transforms.adapters._hook import EditingHook, identity, odds, peak
from augsal_transforms.adapters._run import training


def hooked(model, **options):
    hook = EditingHook(**options)
    hook.attach(model)
    return model, hook


def test_the_prediction_stays_and_the_gradient_of_the_editing_loss_is_added():
    packed = packed_batch()
    plain, (model, hook) = Toy(), hooked(Toy(), editing_weight=0.3)
    prediction, expected = model(packed), plain(apart(packed)[0])
    assert torch.equal(prediction, expected)
    added = gradient(model, prediction.square().mean()) - gradient(plain, expected.square().mean())
    assert torch.allclose(added, 0.3 * editing_gradient(plain, packed), rtol=1e-9, atol=1e-15)
    assert (hook.passes, hook.edited) == (1, 2)
    original, edited, mask = apart(packed)
    assert hook.loss == pytest.approx(MaskedEditingLoss()(plain(original), plain(edited), mask[:, 0]).item())


def test_a_batch_without_an_edit_runs_the_model_once():
    model, hook = hooked(Toy())
    calls = []
    model.net[0].register_forward_hook(lambda *_: calls.append(1))
    model(packed_batch(edited=()))
    assert len(calls) == 1
    model(packed_batch())
    assert len(calls) == 3
    assert (hook.passes, hook.edited) == (2, 2)


def test_a_model_that_synchronises_its_norms_runs_its_second_pass_on_every_rank():
    # A rank whose batch holds an edit would otherwise wait in that pass for the others.
    plain, (model, _) = Toy(nn.SyncBatchNorm(6)), hooked(Toy(nn.SyncBatchNorm(6)))
    calls = []
    model.net[0].register_forward_hook(lambda *_: calls.append(1))
    packed = packed_batch(edited=())
    found = gradient(model, model(packed).sum())
    assert len(calls) == 2
    assert torch.equal(found, gradient(plain, plain(apart(packed)[0]).sum()))


def test_without_gradients_the_model_sees_the_originals_alone():
    model, hook = hooked(Toy())
    packed = packed_batch()
    with torch.no_grad():
        assert torch.equal(model(packed), Toy()(apart(packed)[0]))
    assert (hook.passes, hook.edited) == (0, 0)


def test_whether_a_module_says_it_trains_does_not_matter():
    model, hook = hooked(Toy())
    model(packed_batch()).sum().backward()
    model.training = False
    model(packed_batch()).sum().backward()
    assert hook.edited == 4


def test_images_that_are_not_packed_pass():
    model, hook = hooked(Toy())
    images = packed_batch()[:, :3]
    assert torch.equal(model(images), Toy()(images))
    assert hook.passes == 0


def test_running_statistics_follow_the_originals_alone():
    plain, (model, _) = Toy(nn.BatchNorm2d(6)), hooked(Toy(nn.BatchNorm2d(6)))
    packed = packed_batch()
    model(packed).sum().backward()
    plain(apart(packed)[0])
    assert torch.equal(model.net[1].running_mean, plain.net[1].running_mean)
    assert model.net[1].num_batches_tracked == 1
    assert model.net[1].track_running_stats


def test_dropout_drops_the_same_units_of_both_and_the_random_state_goes_on_as_without():
    seen = []

    def keep(prediction):
        seen.append(prediction)
        return prediction

    packed = packed_batch(edited=(0, 1, 2, 3))
    packed[:, 3:6] = packed[:, :3]
    plain, (model, _) = Toy(nn.Dropout2d(0.6)), hooked(Toy(nn.Dropout2d(0.6)), conversion=keep)
    torch.manual_seed(5)
    prediction = model(packed)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(plain(apart(packed)[0]), prediction)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*seen)
    assert not torch.equal(plain(apart(packed)[0]), prediction)  # the next draws are others


def test_the_returned_prediction_may_be_changed_in_place():
    model, _ = hooked(Toy())
    prediction = model(packed_batch())
    prediction += 1
    prediction.sum().backward()


def test_the_first_of_several_outputs_is_the_prediction():
    class Pair(Toy):
        def forward(self, images):
            prediction = super().forward(images)
            return prediction, prediction * 2

    plain, (model, _) = Toy(), hooked(Pair(), editing_weight=0.3)
    packed = packed_batch()
    prediction, other = model(packed)
    assert torch.equal(other, prediction * 2)
    added = gradient(model, prediction.sum()) - gradient(plain, plain(apart(packed)[0]).sum())
    assert torch.allclose(added, 0.3 * editing_gradient(plain, packed), rtol=1e-9, atol=1e-12)


def test_conversions_by_hand():
    # p = (1/10, 2/10, 3/10, 4/10): p / max p = (1/4, 1/2, 3/4, 1); p / (p + 1/4) = (2/7, 4/9, 6/11, 8/13).
    log_density = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]], dtype=torch.float64).log()
    assert peak(log_density).flatten().tolist() == pytest.approx([1 / 4, 1 / 2, 3 / 4, 1])
    assert odds(log_density).flatten().tolist() == pytest.approx([2 / 7, 4 / 9, 6 / 11, 8 / 13])
    assert identity(log_density) is log_density


def test_the_gradient_through_a_peak_of_exactly_one_is_right_in_single_precision():
    # Without a clamp the peak's 1 / (x (1 − x)) cancels to an error of 99 % on 4096 pixels.
    logits = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.ones_like(logits)

    def gradient_of(logits):
        logits = logits.clone().requires_grad_()
        edited = peak(logits.flatten(1).log_softmax(1).view_as(logits))
        MaskedEditingLoss()(edited.detach() * 0.9, edited, mask.to(logits)).backward()
        return logits.grad.double()

    exact, single = gradient_of(logits), gradient_of(logits.float())
    assert (single - exact).norm() < 1e-4 * exact.norm()


def test_gradients_through_both_sides_are_finite_where_the_mask_is_empty():
    # F.binary_cross_entropy differentiates its target to log 0 · 0 = NaN there.
    packed = packed_batch()
    packed[:, 6, :4] = 0
    model, _ = hooked(Toy(), editing=MaskedEditingLoss(detach="none"))
    assert gradient(model, model(packed).sum()).isfinite().all()


def test_video_does_not_take_edits():
    class Video(nn.Module):
        def forward(self, frames):
            return frames[:, :, :1] * self.factor

        factor = nn.Parameter(torch.ones((), dtype=torch.float64))

    model, hook = hooked(Video(), conversion=peak)
    model(packed_batch()[:, None])  # (B, 1, 7, H, W), a still image
    assert hook.edited == 2
    with pytest.raises(ValueError, match="Edits are of still images"):
        model(packed_batch()[:, None].expand(-1, 3, -1, -1, -1))


def test_a_hooked_model_can_be_copied_and_pickled_and_goes_on():
    model, hook = hooked(Toy(), editing_weight=0.3)
    packed = packed_batch()
    average = copy.deepcopy(model)
    loaded = pickle.loads(pickle.dumps(model))
    expected = gradient(model, model(packed).sum())
    for other in (average, loaded):
        assert torch.equal(gradient(other, other(packed).sum()), expected)
    assert hook.edited == 4  # a copy tells the same hook, another process has its own
    assert list(model.state_dict()) == list(Toy().state_dict())


def test_nothing_is_left_on_a_model_even_after_an_error():
    model, hook = Toy(), EditingHook()
    scale, init = torch.amp.GradScaler.scale, nn.DataParallel.__init__
    with pytest.raises(ZeroDivisionError), training(hook):
        hook.attach(model)
        hook.attach(model)  # once is enough
        assert len(model._forward_hooks) == 1
        raise ZeroDivisionError
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    assert (torch.amp.GradScaler.scale, nn.DataParallel.__init__) == (scale, init)


@pytest.mark.parametrize(("p", "edited"), [(0.5, ()), (None, None)])
def test_a_patch_that_did_nothing_is_an_error(p, edited):
    model, hook = Toy(), EditingHook()
    with pytest.raises(RuntimeError, match="The augmentation did nothing"), training(hook, p=p):
        hook.attach(model)
        if edited is not None:
            model(packed_batch(edited=edited))


@pytest.mark.parametrize("p", [0, None])
def test_doing_nothing_is_right_at_p_0_or_where_nothing_was_drawn(p, capsys):
    model, hook = Toy(), EditingHook()
    with training(hook, p=p):
        hook.attach(model)
        model(packed_batch(edited=()))
    assert "0 edited items in 1 training passes" in capsys.readouterr().out


@pytest.mark.parametrize("weight", [-1, math.inf, math.nan])
def test_the_weight_must_be_finite(weight):
    with pytest.raises(ValueError, match="`editing_weight` must be 0 or more"):
        EditingHook(weight)
