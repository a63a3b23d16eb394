import math

import pytest
import torch
from helpers.samples import THOROUGHLY
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from augsal_transforms import AugmentedSaliencyLoss, MaskedEditingLoss, SaliencyLoss
from augsal_transforms.losses import ReadoutLoss, correlation_coefficient, kl_divergence
from augsal_transforms.losses.editing import CLAMP


def maps(*rows):
    """(B, 1, 1, n) float64 maps from rows of numbers."""
    return torch.tensor(rows, dtype=torch.float64)[:, None, None]


def test_cc_by_hand():
    # S' = (0, 1, 2), S = (0, 2, 1), centred (−1, 0, 1) and (−1, 1, 0): CC = 1 / sqrt(2 · 2) = 0.5.
    assert correlation_coefficient(maps([0, 1, 2]), maps([0, 2, 1])).item() == pytest.approx(0.5, abs=1e-12)


def test_kld_by_hand():
    # S = (1/4, 3/4), S' = (1/2, 1/2): 1/4 ln(1/2) + 3/4 ln(3/2) = 0.130812.
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert kl_divergence(maps([2, 2]), maps([1, 3])).item() == pytest.approx(expected, abs=1e-6)


def test_saliency_loss_rewards_correlation():
    # Eq. 4 with the sign of CC turned: 0.2 · KLD − 0.2 · CC.
    prediction, saliency_map = maps([1 / 4, 1 / 4, 1]), maps([1 / 3, 2 / 3, 1])
    expected = 0.2 * kl_divergence(prediction, saliency_map) - 0.2 * correlation_coefficient(prediction, saliency_map)
    assert SaliencyLoss()(prediction, saliency_map).item() == pytest.approx(expected.item(), abs=1e-12)
    assert SaliencyLoss()(saliency_map, saliency_map) < SaliencyLoss()(prediction, saliency_map)


def test_an_empty_map_costs_its_batch_nothing():
    prediction = torch.rand(2, 1, 4, 4, requires_grad=True)
    saliency_map = torch.rand(2, 1, 4, 4)
    saliency_map[1] = 0
    loss = SaliencyLoss()(prediction, saliency_map)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()
    assert not prediction.grad[1].any()


def test_equation_7_by_hand():
    # M = (1, 1/2), S' = (0.8, 0.6), S'_E = (0.5, 0.4): targets (0.8, 0.3), predictions (0.5, 0.2).
    # BCE: −0.8 ln 0.5 − 0.2 ln 0.5 = 0.693147; −0.3 ln 0.2 − 0.7 ln 0.8 = 0.639032; mean 0.666089.
    loss = MaskedEditingLoss()(maps([0.8, 0.6]), maps([0.5, 0.4]), maps([1, 0.5]))
    expected = (math.log(2) + -0.3 * math.log(0.2) - 0.7 * math.log(0.8)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_edited_items_are_summed_and_divided_by_the_batch():
    prediction, edited, mask = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    is_edited = torch.tensor([True, False, True])
    alone = [MaskedEditingLoss()(prediction[n : n + 1], edited[n : n + 1], mask[n : n + 1]) for n in (0, 2)]
    assert torch.allclose(MaskedEditingLoss()(prediction, edited, mask, is_edited), sum(alone) / 3)


def test_without_is_edited_the_items_whose_mask_is_not_empty_count():
    prediction, edited, mask = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    mask[1] = 0
    expected = MaskedEditingLoss()(prediction, edited, mask, torch.tensor([True, False]))
    assert torch.equal(MaskedEditingLoss()(prediction, edited, mask), expected)


@pytest.mark.parametrize("form", ["bce", "released", "rank"])
def test_a_batch_without_an_edit_is_exactly_zero_with_a_gradient_of_zero(form):
    prediction = torch.rand(2, 1, 4, 4, requires_grad=True)
    edited = torch.rand(2, 1, 4, 4, requires_grad=True)
    loss = MaskedEditingLoss(form, detach="none")(prediction, edited, torch.zeros(2, 1, 4, 4), torch.zeros(2).bool())
    loss.backward()
    assert loss.item() == 0
    assert not edited.grad.any()
    assert not prediction.grad.any()


@pytest.mark.parametrize("form", ["bce", "released", "rank"])
def test_nan_in_an_unedited_item_reaches_neither_loss_nor_gradient(form):
    prediction, edited = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    edited[1] = math.nan
    edited.requires_grad_()
    loss = MaskedEditingLoss(form)(prediction, edited, torch.ones(2, 1, 4, 4), torch.tensor([True, False]))
    loss.backward()
    assert loss.isfinite()
    assert edited.grad.isfinite().all()


def test_predictions_of_zero_and_one_stay_finite():
    edited = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)
    loss = MaskedEditingLoss()(torch.tensor([[[[1.0, 0.0]]]]), edited, torch.ones(1, 1, 1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(CLAMP), rel=1e-4)
    assert edited.grad.isfinite().all()


def test_outside_the_mask_nothing_counts():
    prediction, mask = torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    first, second = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    second[..., :2] = first[..., :2]
    assert torch.equal(MaskedEditingLoss()(prediction, first, mask), MaskedEditingLoss()(prediction, second, mask))


@pytest.mark.parametrize(
    ("detach", "original", "edited"), [("original", False, True), ("edited", True, False), ("none", True, True)]
)
def test_the_detached_side_gets_no_gradient(detach, original, edited):
    prediction, edited_prediction = (torch.rand(1, 1, 2, 2, requires_grad=True) for _ in range(2))
    MaskedEditingLoss(detach=detach)(prediction, edited_prediction, torch.ones(1, 1, 2, 2)).backward()
    assert (prediction.grad is not None) == original
    assert (edited_prediction.grad is not None) == edited


def test_rank_penalises_only_a_fall():
    rank = MaskedEditingLoss("rank")
    assert rank(maps([0.4]), maps([0.9]), maps([1])).item() == 0
    assert rank(maps([0.9]), maps([0.4]), maps([0.5])).item() == pytest.approx(0.25)


def test_the_released_form_is_blind_to_the_sign_and_bounded_below():
    # |σ(d) − 1/2| ≤ σ(1) − 1/2 = 0.2311: inside the mask the loss cannot fall below −ln 0.2311 = 1.465.
    released = MaskedEditingLoss("released")
    rise, fall = released(maps([0.1]), maps([0.9]), maps([1])), released(maps([0.9]), maps([0.1]), maps([1]))
    assert rise.item() == pytest.approx(fall.item(), abs=1e-12)
    assert released(maps([0]), maps([1]), maps([1])).item() == pytest.approx(1.465, abs=1e-3)


def test_half_precision_is_computed_in_single():
    prediction, edited, mask = (torch.rand(2, 1, 8, 8).half() for _ in range(3))
    loss = MaskedEditingLoss()(prediction, edited, mask)
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(MaskedEditingLoss()(prediction, edited, mask), loss)


def test_maps_without_a_channel_are_the_same():
    prediction, edited, mask = (torch.rand(2, 1, 8, 8) for _ in range(3))
    assert torch.equal(
        MaskedEditingLoss()(prediction[:, 0], edited[:, 0], mask[:, 0]), MaskedEditingLoss()(prediction, edited, mask)
    )


def test_gradient_of_equation_7_in_float64():
    mask = torch.rand(2, 1, 3, 3).double()
    edited = torch.rand(2, 1, 3, 3, dtype=torch.float64) * 0.8 + 0.1
    prediction = torch.rand(2, 1, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda e: MaskedEditingLoss()(prediction, e, mask), edited.requires_grad_(), raise_exception=True
    )


def wrapper_inputs():
    prediction, saliency_map, edited, mask = (torch.rand(4, 1, 8, 8) for _ in range(4))
    return prediction, saliency_map, edited, mask, torch.tensor([True, False, True, False])


def test_the_wrapper_adds_the_weighted_editing_loss_to_ones_own():
    prediction, saliency_map, edited, mask, is_edited = wrapper_inputs()
    criterion = AugmentedSaliencyLoss(torch.nn.functional.mse_loss, editing_weight=0.3)
    expected = torch.nn.functional.mse_loss(prediction, saliency_map) + 0.3 * MaskedEditingLoss()(
        prediction, edited, mask, is_edited
    )
    assert torch.allclose(criterion(prediction, saliency_map, edited, mask, is_edited), expected)


def test_unedited_supervision_leaves_edited_samples_to_the_editing_loss():
    prediction, saliency_map, edited, mask, is_edited = wrapper_inputs()
    criterion = AugmentedSaliencyLoss(torch.nn.functional.mse_loss, editing_weight=0, supervise="unedited")
    # Two of four items are unedited: the batch mean over four with two terms.
    expected = torch.nn.functional.mse_loss(prediction[~is_edited], saliency_map[~is_edited]) / 2
    assert torch.allclose(criterion(prediction, saliency_map, edited, mask, is_edited), expected)


def test_a_batch_of_edits_alone_keeps_its_graph_under_unedited_supervision():
    prediction = torch.rand(2, 1, 4, 4, requires_grad=True)
    criterion = AugmentedSaliencyLoss(SaliencyLoss(), supervise="unedited", editing_weight=0)
    criterion(prediction, *(torch.rand(2, 1, 4, 4) for _ in range(3)), torch.ones(2).bool()).backward()
    assert not prediction.grad.any()


@pytest.mark.parametrize("supervise", ["all", "unedited"])
@pytest.mark.parametrize("detach", ["original", "none"])
def test_predicting_the_edited_images_alone_gives_the_same_gradients(supervise, detach):
    generator = torch.Generator().manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.GELU(), torch.nn.Conv2d(4, 1, 3, padding=1)
    network = torch.nn.Sequential(*layers, torch.nn.Sigmoid()).double()
    images, edited_images = torch.rand(2, 4, 3, 8, 8, generator=generator, dtype=torch.float64)
    saliency_map, mask = torch.rand(2, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    is_edited = torch.tensor([True, False, True, False])
    criterion = AugmentedSaliencyLoss(SaliencyLoss(), 0.5, supervise, MaskedEditingLoss(detach=detach))

    def gradients(second_pass):
        prediction = network(images)
        network.zero_grad()
        criterion(prediction, saliency_map, second_pass(prediction), mask, is_edited).backward()
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    def predict_edited(prediction):
        edited = prediction.detach().clone()
        edited[is_edited] = network(edited_images[is_edited])
        return edited

    full = gradients(lambda prediction: network(edited_images))
    assert torch.allclose(gradients(predict_edited), full, rtol=1e-10, atol=1e-14)
    assert not torch.allclose(gradients(lambda prediction: network(images)), full, rtol=1e-2)


def test_two_runs_of_one_batch_give_one_loss_under_compile():
    criterion = AugmentedSaliencyLoss(SaliencyLoss())
    inputs = wrapper_inputs()
    compiled = torch.compile(criterion, backend="eager")
    assert torch.allclose(compiled(*inputs), criterion(*inputs))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MaskedEditingLoss("bse"), "`form` must be"),
        (lambda: MaskedEditingLoss(detach="both"), "`detach` must be"),
        (lambda: AugmentedSaliencyLoss(SaliencyLoss(), supervise="some"), "`supervise` must be"),
        (lambda: AugmentedSaliencyLoss(SaliencyLoss(), editing_weight=-1), "`editing_weight` must be"),
        (
            lambda: MaskedEditingLoss()(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), torch.rand(2, 1, 8, 8)),
            "`edit_mask` must be shaped like",
        ),
        (lambda: MaskedEditingLoss()(torch.rand(4), torch.rand(4), torch.rand(4)), r"\(B, 1, H, W\)"),
        (
            lambda: MaskedEditingLoss()(*[torch.rand(2, 1, 4, 4)] * 3, torch.ones(3).bool()),
            "`is_edited` must have shape",
        ),
    ],
)
def test_errors_name_the_argument(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_equation_3_by_hand():
    # One image, one patch. Errors: R, G, B 0.1, 0.2, 0.3; brightness 0.2; local 0.1; global 0.4.
    # λ = 0.1 each: 0.1 (0.01 + 0.04 + 0.09) / 3 + 0.1 · 0.04 + 0.1 · 0.01 + 0.1 · 0.16 = 0.0046667 + 0.021
    # Two objects: logits (0, 0) → log 2 for any class; (log 3, 0) and class 1 → log 4. The third box is none.
    # CE: 0.5 (log 2 + log 4) / 2 = 0.5 · 1.5 log 2
    predicted = torch.tensor([[[0.6, 0.7, 0.8, 0.2, 0.2, 0.5]]])
    properties = torch.tensor([[[0.5, 0.5, 0.5, 0.4, 0.1, 0.1]]])
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [5.0, -5.0]]])
    loss = ReadoutLoss(torch.ones(6))(predicted, properties, logits, torch.tensor([[0, 1, -1]]))
    assert loss.item() == pytest.approx(0.0046667 + 0.021 + 0.75 * math.log(2), abs=1e-6)


def test_readout_distances_are_in_deviations():
    # Twice the deviation, a quarter of the distance; there is no object, so no class term.
    predicted, properties = torch.full((2, 3, 6), 0.4), torch.zeros(2, 3, 6)
    nothing = torch.zeros(2, 1, 4), torch.full((2, 1), -1)
    plain = ReadoutLoss(torch.ones(6))(predicted, properties, *nothing)
    assert plain.item() == pytest.approx(0.4 * 0.16)
    assert ReadoutLoss(torch.full((6,), 2.0))(predicted, properties, *nothing).item() == pytest.approx(plain.item() / 4)


def test_readout_loss_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="one shape"):
        ReadoutLoss(torch.ones(6))(
            torch.zeros(1, 2, 6), torch.zeros(1, 3, 6), torch.zeros(1, 1, 2), torch.zeros(1, 1).long()
        )


UNIT = torch.linspace(0, 1, 32).reshape(2, 1, 4, 4)
WRONG = {
    "logits": (UNIT * 8 - 4, r"\[-4, 4\]. Apply a sigmoid"),
    "a log density": (UNIT.log_softmax(-1), r"got values in \[-1\.[0-9]+, -1\.[0-9]+\]"),
    "8 bits": ((UNIT * 255).to(torch.uint8), r"\[0, 255\]"),
    "tanh": (UNIT * 2 - 1, r"\[-1, 1\]"),
    "a hundredth too much": (UNIT.half() * 1.01, r"\[0, 1\.01"),
    "NaN": (torch.where(UNIT > 0.9, torch.nan, UNIT), "got NaN"),
    "infinite": (torch.where(UNIT > 0.9, torch.inf, UNIT), r"\[0, inf\]"),
}


@pytest.mark.parametrize("name", ["prediction", "edited_prediction", "edit_mask"])
@pytest.mark.parametrize("wrong", WRONG)
def test_the_editing_loss_refuses_maps_outside_0_to_1(name, wrong):
    values, words = WRONG[wrong]
    maps = {"prediction": UNIT, "edited_prediction": UNIT, "edit_mask": UNIT, name: values}
    words = words.replace("Apply a sigmoid", "") if name == "edit_mask" else words
    for loss in (MaskedEditingLoss(), AugmentedSaliencyLoss(torch.nn.MSELoss(), editing=MaskedEditingLoss("rank"))):
        arguments = maps if isinstance(loss, MaskedEditingLoss) else {**maps, "saliency_map": UNIT}
        with pytest.raises(ValueError, match=rf"`{name}` must lie in \[0, 1\], .*{words}"):
            loss(**arguments)


@pytest.mark.parametrize("name", ["prediction", "saliency_map"])
@pytest.mark.parametrize("wrong", WRONG)
def test_the_saliency_loss_refuses_maps_outside_0_to_1(name, wrong):
    with pytest.raises(ValueError, match=rf"`{name}` must lie in \[0, 1\]"):
        SaliencyLoss()(**{"prediction": UNIT, "saliency_map": UNIT, name: WRONG[wrong][0]})


def test_the_range_is_checked_once_for_each_shape_and_dtype():
    loss = MaskedEditingLoss()
    loss(UNIT, UNIT, UNIT)
    assert loss(UNIT * 3, UNIT, UNIT).isfinite()  # not looked at again: a look would wait for the device
    for other in (UNIT[:1] * 3, UNIT.double() * 3):
        with pytest.raises(ValueError, match="`prediction` must lie in"):
            loss(other, other / 3, other / 3)


def test_the_range_check_waits_for_the_first_edited_item():
    loss, nothing = MaskedEditingLoss(), torch.zeros(2, 1, 4, 4)
    logits = UNIT * 8 - 4
    assert loss(logits, logits, nothing) == 0
    with pytest.raises(ValueError, match="`prediction` must lie in"):
        loss(logits, logits, UNIT)
    # The values of unedited items do not count: a caller who predicts the edited images alone may leave anything there.
    half = torch.tensor([False, True])
    assert loss(torch.cat([logits[:1], UNIT[1:]]), torch.cat([logits[:1], UNIT[1:]]), UNIT, half).isfinite()


def test_rounding_is_no_error():
    assert SaliencyLoss()(UNIT * 1.0005, UNIT * 1.0005).isfinite()
    with pytest.raises(ValueError, match=r"`saliency_map` must lie in .*Resize it bilinearly, or clamp it"):
        SaliencyLoss()(UNIT, UNIT - 5e-4)  # its logarithm would be NaN
    assert MaskedEditingLoss()(UNIT > 0.5, UNIT, UNIT > 0.5).isfinite()


@THOROUGHLY
@given(
    st.sampled_from(
        [torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool]
    ),
    st.sampled_from([(2, 1, 4, 4), (2, 4, 4), (1, 1, 1, 1), (2, 3, 4, 4), (0, 1, 4, 4), (4, 4), (2, 1, 1, 4, 4)]),
    st.floats(-300, 300),
    st.floats(0, 300),
    st.sampled_from([None, math.nan, math.inf]),
)
def test_any_prediction_gives_a_finite_loss_or_an_error_that_names_it(dtype, shape, low, span, special):
    values = (
        (torch.linspace(0, 1, math.prod(shape)).reshape(shape) * span + low) if math.prod(shape) else torch.rand(shape)
    )
    if special is not None and values.numel():
        values.view(-1)[0] = special
    values = values.nan_to_num(0, 0).to(dtype) if not dtype.is_floating_point else values.to(dtype)
    other = values.clone().nan_to_num(0.5).float().clamp(0, 1)
    highest = 1.0078125 if dtype == torch.bfloat16 else 1 + 1e-3
    inside = values.numel() and bool(((values >= -1e-6) & (values <= highest)).all())
    right_shape = shape in [(2, 1, 4, 4), (2, 4, 4), (1, 1, 1, 1)]
    for loss in (MaskedEditingLoss(), SaliencyLoss()):
        arguments = (values, other, torch.ones_like(other)) if isinstance(loss, MaskedEditingLoss) else (values, other)
        if right_shape and inside:
            assert loss(*arguments).isfinite()
        else:
            with pytest.raises(ValueError, match="`prediction` must"):
                loss(*arguments)


@pytest.mark.parametrize("wrong", [None, 0.5, "maps", {"out": UNIT}, [UNIT], UNIT.to(torch.complex64), UNIT.numpy()])
def test_what_is_no_tensor_is_named(wrong):
    with pytest.raises(TypeError, match="`prediction` must be a tensor of real numbers"):
        SaliencyLoss()(wrong, UNIT)
    with pytest.raises(TypeError, match="`edited_prediction` must be a tensor of real numbers"):
        MaskedEditingLoss()(UNIT, wrong, UNIT)
    with pytest.raises(TypeError, match="`is_edited` must be a bool tensor"):
        AugmentedSaliencyLoss(SaliencyLoss(), supervise="unedited")(UNIT, UNIT, UNIT, UNIT, [True, False])


def test_readout_loss_refuses_properties_in_8_bits_and_classes_out_of_range():
    nothing = torch.zeros(1, 1, 4), torch.full((1, 1), -1)
    with pytest.raises(ValueError, match=r"`properties` must lie in \[0, 1\], got values in \[128, 128\]"):
        ReadoutLoss(torch.ones(6))(torch.zeros(1, 2, 6), torch.full((1, 2, 6), 128.0), *nothing)
    for wrong in (4, -2):
        with pytest.raises(ValueError, match="`classes` must be integers from −1 to 3"):
            ReadoutLoss(torch.ones(6))(
                torch.zeros(1, 2, 6), torch.zeros(1, 2, 6), nothing[0], torch.full((1, 1), wrong)
            )
    for std in (torch.zeros(6), torch.ones(5), torch.full((6,), math.nan)):
        with pytest.raises(ValueError, match="`std` must be six positive, finite numbers"):
            ReadoutLoss(std)


@pytest.mark.parametrize("supervise", ["all", "unedited"])
@pytest.mark.parametrize("base", [nn.BCELoss(reduction="none"), lambda prediction, saliency_map: 0.5])
def test_a_base_loss_that_is_no_scalar_tensor_is_refused(base, supervise):
    maps, edited = torch.full((2, 1, 4, 4), 0.5), torch.tensor([True, False])
    with pytest.raises(TypeError, match="`base` must return a scalar tensor"):
        AugmentedSaliencyLoss(base, supervise=supervise)(maps, maps, maps, maps, edited)


def test_the_class_of_a_loss_is_refused():
    with pytest.raises(TypeError, match="got the class BCELoss; make an object of it"):
        AugmentedSaliencyLoss(nn.BCELoss)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(-1e-7, torch.float32), (1 + 1e-6, torch.float64), (1.0005, torch.float16), (1.0078125, torch.bfloat16)],
)
def test_values_that_rounding_left_beside_the_range_are_taken_for_its_end(value, dtype):
    values = torch.tensor([[[0.2, 0.4], [0.6, value]]], dtype=dtype)
    exact, mask = values.clamp(0, 1), torch.ones_like(values)
    rounded = MaskedEditingLoss()(values, values, mask)
    assert rounded.item() == pytest.approx(MaskedEditingLoss()(exact, exact, mask).item(), abs=0.03)
    # −1e-7 beside a prediction of 0 would be the logarithm of a negative number.
    assert SaliencyLoss()(exact, values).item() == pytest.approx(SaliencyLoss()(exact, exact).item(), abs=1e-3)
