import os
import pickle
from dataclasses import replace

import pytest
import torch
from helpers.pictures import EDITS, blob, picture

from augsal_transforms import Brightness, Color, Contrast, EditConfig, SaliencyEditor
from augsal_transforms.diffusion.letterbox import Letterbox, keep_mean
from augsal_transforms.diffusion.loading import load_model
from augsal_transforms.editor.passes import decode_residual, denoise, source_pass, target_pass
from augsal_transforms.photometry import PROPERTIES, photometric_properties


def one(editor, edit, image=None, saliency_map=None, prompt="a red dog on the street", seed=0):
    image = picture() if image is None else image
    saliency_map = blob(*image.shape[-2:]) if saliency_map is None else saliency_map
    return editor.edit([image], [saliency_map], [prompt], [edit], seed=seed)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.kind)
def test_outside_the_mask_every_pixel_is_the_photographs(editor, edit, dtype):
    image = picture(dtype=dtype)
    result = one(editor, edit, image)
    outside = (result.edit_mask == 0).expand_as(image)
    assert result.image.dtype == dtype
    assert torch.equal(result.image[outside], image[outside])
    assert outside.float().mean() > 0.3
    assert not torch.equal(result.image, image)


@pytest.mark.parametrize("edit", [Contrast(1.0), Brightness(0.0), Color("red", 0.0)], ids=lambda e: e.kind)
@pytest.mark.parametrize("config", [EditConfig(), EditConfig.paper()], ids=["one step", "paper"])
def test_a_null_edit_returns_the_input(editor, edit, config):
    image = picture()
    result = one(replace(editor, config=config), edit, image)
    assert torch.equal(result.image, image)
    assert not result.edit_mask.any()
    assert not result.is_edited


@pytest.mark.parametrize("folder", ["sd1_folder", "sd2_folder"])
@pytest.mark.parametrize("config", [EditConfig(), EditConfig.paper()], ids=["one step", "paper"])
def test_an_edit_that_changes_the_latent_by_nothing_changes_the_image_by_nothing(folder, config, request):
    """The whole path, with inversion, on Z_E = Z: the error of the source pass is added back."""
    editor = SaliencyEditor.from_pretrained(str(request.getfixturevalue(folder)), config=config)
    (analysis,) = editor.analyse([picture()], [blob()], ["a red dog"])
    nothing = torch.zeros(1, 1, 32)
    with torch.no_grad():
        output = denoise(editor.model, config, [analysis], analysis.latent, nothing, [0.0])
        residual = decode_residual(editor.model, [analysis], output)
    assert residual.abs().max() < 1e-5
    assert editor.config.steps == len(analysis.trajectory)


def test_a_vanishing_edit_vanishes(editor):
    image = picture()
    for edit in (Contrast(1 + 1e-7), Brightness(1e-7), Color("red", 1e-7)):
        assert (one(editor, edit, image).image - image).abs().max() < 1e-5


def test_an_empty_saliency_map_leaves_the_image_and_says_so(editor):
    image = picture()
    result = one(editor, Contrast(1.5), image, torch.zeros(1, 96, 128))
    assert torch.equal(result.image, image)
    assert (result.strength, result.bound_by, result.is_edited) == (0.0, "empty region", False)


def test_the_same_seed_gives_the_same_pixels(editor):
    assert torch.equal(one(editor, Brightness()).image, one(editor, Brightness()).image)
    assert one(editor, Brightness(), seed=1).alpha != one(editor, Brightness(), seed=2).alpha


def test_order_and_size_of_the_batch_change_nothing(editor):
    sizes = [(96, 128), (96, 128), (128, 96)]
    images = [picture(*size, seed=n) for n, size in enumerate(sizes)]
    maps = [blob(*size, x=x) for x, size in zip((0.3, 0.5, 0.7), sizes, strict=True)]
    prompts = ["a dog", "a red bus on the street", "cat"]
    edits = [Contrast(), Brightness(), Color()]
    together = editor.edit(images, maps, prompts, edits, seed=5)
    reverse = editor.edit(images[::-1], maps[::-1], prompts[::-1], edits[::-1], seed=5)[::-1]
    alone = [
        editor.edit([i], [m], [p], [e], seed=5)[0] for i, m, p, e in zip(images, maps, prompts, edits, strict=True)
    ]
    for a, b, c in zip(together, reverse, alone, strict=True):
        assert (a.word, a.alpha, a.color) == (b.word, b.alpha, b.color) == (c.word, c.alpha, c.color)
        assert (a.image - b.image).abs().max() < 1e-5
        assert (a.image - c.image).abs().max() < 1 / 255


def test_the_number_of_threads_changes_nothing(editor):
    threads, image = torch.get_num_threads(), picture(dtype=torch.uint8)
    try:
        torch.set_num_threads(1)
        first = one(editor, Contrast(1.5), image)
        torch.set_num_threads(2)
        second = one(editor, Contrast(1.5), image)
    finally:
        torch.set_num_threads(threads)
    assert (first.image.int() - second.image.int()).abs().max() <= 1


def test_a_strength_does_not_leak_into_the_next_image(editor):
    strong, image = Brightness(0.9), picture(seed=1)
    before = one(editor, Brightness(0.2), image)
    after = editor.edit(
        [picture(), image], [blob(), blob()], ["a red dog on the street"] * 2, [strong, Brightness(0.2)]
    )
    assert after[0].strength < 1
    assert after[1].strength == pytest.approx(before.strength, abs=1e-4)
    assert (after[1].image - before.image).abs().max() < 1 / 255


def test_torchs_generator_is_left_alone(editor):
    state = torch.get_rng_state()
    one(editor, Color())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("edit", EDITS)
def test_torchs_default_type_of_numbers_changes_nothing(editor, edit):
    image, saliency_map = picture(48, 64), blob(48, 64)
    expected = editor.edit([image], [saliency_map], ["a red dog"], [edit])[0].image
    torch.set_default_dtype(torch.float64)
    try:
        found = editor.edit([image], [saliency_map], ["a red dog"], [edit])[0].image
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == expected.dtype
    assert torch.allclose(found, expected, atol=1e-5)


def test_images_of_different_sizes_and_shapes_go_together(editor):
    sizes = [(96, 128), (480, 640), (37, 53), (1, 40), (300, 20)]
    images = [picture(*size) for size in sizes]
    results = editor.edit(
        images, [blob(*size) for size in sizes], [None, "a dog", "", "cat on bus", "dog"], [Brightness(0.2)] * 5
    )
    for image, result in zip(images, results, strict=True):
        assert result.image.shape == image.shape
        assert result.edit_mask.shape == (1, *image.shape[-2:])
        assert result.image.isfinite().all()
    assert [result.region_source for result in results] == ["saliency_map", "word", "saliency_map", "word", "word"]


def test_the_letterbox_keeps_aspect_and_pads_to_what_the_networks_need():
    letterbox = Letterbox.plan((480, 640), 512, 64)
    assert letterbox.inner == (443, 591)
    assert letterbox.outer == (448, 640)
    image = torch.rand(3, 480, 640)
    placed = letterbox.fit(image)
    assert placed.shape == (3, 448, 640)
    assert torch.equal(placed[:, :, 591], placed[:, :, 589])  # mirrored, not repeated
    assert letterbox.restore(placed).shape == (3, 480, 640)
    assert not letterbox.fit_map(torch.ones(1, 480, 640), (448, 640))[:, :, 592:].any()


def test_an_image_of_the_models_size_is_not_resampled():
    image = torch.rand(3, 128, 128)
    letterbox = Letterbox.plan((128, 128), 128, 16)
    assert torch.equal(letterbox.fit(image), image)
    assert torch.equal(letterbox.restore(image), image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_is_finite_and_close(sd1_folder, editor, dtype):
    lower = SaliencyEditor.from_pretrained(str(sd1_folder), dtype=dtype)
    image = picture()
    result, reference = one(lower, Brightness(0.1), image), one(editor, Brightness(0.1), image)
    assert result.image.isfinite().all()
    assert (result.image - reference.image).abs().mean() < 4 / 255


@pytest.mark.parametrize("folder", ["sd1_folder", "sd2_folder"])
@pytest.mark.parametrize("config", [EditConfig(), EditConfig.paper()], ids=["one step", "paper"])
@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.kind)
def test_every_property_stays_within_two_deviations(folder, config, edit, request):
    editor = SaliencyEditor.from_pretrained(str(request.getfixturevalue(folder)), config=config)
    image = picture(seed=3)
    result = one(editor, edit, image)
    moved = photometric_properties(result.image[None], result.edit_mask[None])
    moved = (moved - photometric_properties(image[None], result.edit_mask[None])).abs()[0]
    assert (moved <= 2 * editor.calibration.std + 1e-3).all()


def test_without_a_bound_the_edit_is_made_in_full(editor):
    free = replace(editor, config=EditConfig(max_std=float("inf")))
    bound, unbound = one(editor, Brightness(0.9)), one(free, Brightness(0.9))
    assert bound.strength < 1
    assert bound.bound_by in PROPERTIES
    assert (unbound.strength, unbound.bound_by) == (1.0, "")


def test_the_mean_is_kept_where_nothing_clips_and_nearly_where_something_does():
    # Two pixels, mask 1 and 1/2, changes 0.2 and 0: Σ M² R / Σ M² = 0.2 / 1.25 = 0.16, so the weighted changes are
    # 1 · 0.04 and 1/2 · (−0.16): their sum over the mask, 1 · 0.04 + 1/2 · (−0.08), is 0.
    image, change = torch.full((1, 3, 1, 2), 0.5).double(), torch.tensor([0.2, 0.0]).double().expand(1, 3, 1, 2)
    mask = torch.tensor([1.0, 0.5]).double().view(1, 1, 1, 2)
    assert torch.allclose(keep_mean(image, change, mask)[0, 0, 0], torch.tensor([0.04, -0.16]).double())
    # White clips: with 0.98 and ±0.1 the pixels become 1.0 and 0.88, the mean falls by 0.04; a step takes that back.
    image = torch.full((1, 3, 1, 2), 0.98).double()
    change = torch.tensor([0.1, -0.1]).double().expand(1, 3, 1, 2)
    kept = keep_mean(image, change, torch.ones(1, 1, 1, 2).double())
    moved = (image + kept).clamp(0, 1).mean() - 0.98
    assert abs(moved) < 0.025


def test_contrast_keeps_the_regions_mean_color(editor):
    free = replace(editor, config=EditConfig(max_std=float("inf")))
    image = picture() * 0.4 + 0.3  # far from black and white: nothing clamps
    result = one(free, Contrast(1.3), image)
    for name in PROPERTIES[:3]:
        change = ((result.image - image) * result.edit_mask).sum((1, 2))
        assert abs(change[PROPERTIES.index(name)]) / result.edit_mask.sum() < 2e-3


def counted(editor, run):
    """The number of images that went through each network."""
    seen = {"unet": 0, "encode": 0, "decode": 0}

    def count(name):
        return lambda module, args, output: seen.update({name: seen[name] + len(args[0])})

    parts = {"unet": editor.model.unet, "encode": editor.model.vae.encoder, "decode": editor.model.vae.decoder}
    hooks = [part.register_forward_hook(count(name)) for name, part in parts.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@pytest.mark.parametrize("edits", [1, 4])
def test_j_edits_cost_one_analysis_and_j_passes(editor, edits):
    wanted = [Brightness(0.05 * (k + 1)) for k in range(edits)]
    seen = counted(editor, lambda: editor.edit([picture()], [blob()], ["a dog"], [wanted]))
    assert seen == {"unet": 1 + edits, "encode": 1, "decode": 1 + edits}


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_no_pass_of_a_network_waits_for_the_device(sd1_folder, device):
    """A tensor on meta has no values, so asking for one fails; on a GPU, torch makes every wait an error."""
    model = load_model(sd1_folder, device=torch.device(device), dtype=torch.float32)
    images, context, inserted = (torch.rand(size, device=device) for size in ((2, 3, 96, 128), (2, 77, 32), (2, 1, 32)))
    wait = torch.cuda.set_sync_debug_mode if device == "cuda" else lambda mode: None
    with torch.no_grad():
        model.encode(images)  # what a GPU prepares at first
        wait("error")
        try:
            latent = model.encode(images)
            trajectory, _ = source_pass(model, EditConfig(), latent, context, torch.zeros_like(latent))
            map_of_token = torch.ones_like(latent[:, :1])
            target = target_pass(model, EditConfig(), latent, latent, context, trajectory, inserted, map_of_token)
            assert model.decode(target).shape == images.shape
        finally:
            wait("default")


def test_all_texts_of_a_batch_are_encoded_in_one_call(editor):
    calls = []
    editor.model.empty_prompt  # noqa: B018 - encoded once for all batches
    hook = editor.model.text_encoder.register_forward_hook(lambda *args: calls.append(1))
    colors = [[Color("red", 0.5), Color("blue", 0.5), Contrast(1.5)]]
    analyses = editor.analyse([picture()], [blob()], ["a red dog"])
    assert len(calls) == 1
    editor.apply(analyses, colors)
    hook.remove()
    assert len(calls) == 2


def test_k_steps_cost_k_passes_each_and_one_more(editor):
    paper = replace(editor, config=EditConfig.paper())
    seen = counted(paper, lambda: paper.edit([picture()], [blob()], ["a dog"], [EDITS]))
    assert seen == {"unet": 6 * (1 + 3) + 1, "encode": 1, "decode": 1 + 3}


def test_a_strong_edit_costs_no_second_attempt(editor):
    seen = counted(editor, lambda: one(editor, Brightness(1.0)))
    assert seen == {"unet": 2, "encode": 1, "decode": 2}


def test_one_analysis_serves_many_edits(editor):
    analyses = editor.analyse([picture()], [blob()], ["a red dog on the street"])
    shared = editor.apply(analyses, [EDITS])
    assert [result.kind for result in shared] == ["contrast", "brightness", "color"]
    for edit, result in zip(EDITS, shared, strict=True):
        assert (one(editor, edit).image - result.image).abs().max() < 1e-4


def test_the_metadata_of_an_edit_is_complete(editor):
    result = one(editor, Color("blue", 0.6), seed=11)
    assert (result.kind, result.color, result.alpha, result.seed) == ("color", "blue", 0.6, 11)
    assert result.word in ("red", "dog", "street")
    assert result.region_source == "word"
    assert result.region.shape == (
        1,
        14,
        20,
    )  # 96 × 128 at about 128² pixels is 111 × 148, padded 112 × 160, eight pixels a cell
    assert tuple(result.properties_before) == tuple(result.properties_after) == PROPERTIES
    assert result.properties_before != result.properties_after


def test_an_edit_prints_on_one_line(editor):
    result = one(editor, Color("blue", 0.6))
    assert repr(result) == (
        f"EditedImage(kind='color', color='blue', word={result.word!r}, alpha=0.6, strength={result.strength:.3g}, "
        f"bound_by={result.bound_by!r}, size=96×128)"
    )
    assert "\n" not in str([result])


def test_punctuation_and_pieces_do_not_move_the_word(editor):
    """Eq. 8 reads the maps of the word's own tokens: "a skateboard. dog" gives "dog" the fifth token's map."""
    from augsal_transforms.diffusion.attention import CrossAttention

    def attend(target):
        def average(self, height, width):
            maps = torch.full((1, 77, height, width), 1e-3)
            maps[:, target] = 1.0
            return maps

        return average

    for target, word in ((2, "skateboard"), (3, "skateboard"), (5, "dog")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CrossAttention, "average", attend(target))
            (analysis,) = editor.analyse([picture()], [blob()], ["a skateboard. dog"])
        assert analysis.word.text == word


def test_injection_acts_when_there_is_a_word(editor):
    """The released gate never opens; here the inserted token changes the result."""
    with_token = one(editor, Color("red", 0.5))
    without = one(replace(editor, config=EditConfig(color_injection=0.0)), Color("red", 0.5))
    assert not torch.equal(with_token.image, without.image)


def test_the_model_is_left_as_it_was_found(editor):
    before = {name: id(processor) for name, processor in editor.model.unet.attn_processors.items()}
    one(editor, Color("red", 0.5))
    assert {name: id(processor) for name, processor in editor.model.unet.attn_processors.items()} == before
    assert not editor.model.unet._forward_hooks


def test_results_can_enter_training(editor):
    """Nothing is an inference tensor: gradients may flow through a model fed with the edited image."""
    result = one(editor, Brightness(0.1))
    weight = torch.ones(3, 1, 1, requires_grad=True)
    (weight * result.image).sum().backward()
    assert weight.grad.isfinite().all()


def test_an_editor_travels_by_name_not_by_weight(editor):
    own = replace(editor, calibration=replace(editor.calibration, std=torch.full((6,), 0.02)))
    parcel = pickle.dumps(own)
    assert len(parcel) < 6000
    assert torch.equal(one(pickle.loads(parcel), Brightness(0.1)).image, one(own, Brightness(0.1)).image)
    assert not torch.equal(one(own, Brightness(0.1)).image, one(editor, Brightness(0.1)).image)


def test_a_region_smaller_than_an_attention_cell_still_gets_a_full_mask(editor):
    image, small = picture(480, 640), torch.zeros(1, 480, 640)
    small[:, 200:230, 300:330] = 1
    (analysis,) = editor.analyse([image], [small])
    assert analysis.edit_mask.max() == 1


def test_the_mask_reaches_every_edge_of_the_image_alike(editor):
    """A 3:4 image is padded at the right and below; a uniform map must not fade there."""
    (analysis,) = editor.analyse([torch.full((3, 480, 640), 0.5)], [torch.ones(1, 480, 640)])
    assert analysis.edit_mask.min() == 1


def test_values_that_are_not_finite_are_an_error_not_an_empty_region(sd1_folder):
    broken = SaliencyEditor.from_pretrained(str(sd1_folder))
    next(p for name, p in broken.model.unet.named_parameters() if "attn2.to_q" in name).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="float32"):
        one(broken, Brightness(0.1))


def test_attention_is_looked_for_only_where_the_model_has_it(editor):
    with pytest.raises(ValueError, match=r"`attention_size` must be one of this model's \[16, 32\], got 2"):
        replace(editor, config=EditConfig(attention_size=2))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_gpu_edits_what_the_cpu_edits(sd1_folder, editor, dtype):
    on_gpu = SaliencyEditor.from_pretrained(str(sd1_folder), device="cuda", dtype=dtype)
    for image in (picture(), picture().cuda()):
        result, reference = one(on_gpu, Color("red", 0.3), image), one(editor, Color("red", 0.3))
        assert result.image.device == result.edit_mask.device == result.region.device == image.device
        assert (result.alpha, result.word) == (reference.alpha, reference.word)
        assert (result.image.cpu() - reference.image).abs().mean() < 4 / 255


@pytest.mark.slow
@pytest.mark.skipif("AUGSAL_SD15" not in os.environ, reason="set AUGSAL_SD15 to 'sd-v1-5' or a folder with its weights")
def test_stable_diffusion_edits_a_picture():
    editor = SaliencyEditor.from_pretrained(os.environ["AUGSAL_SD15"])
    image = picture(512, 512)
    result = one(editor, Brightness(0.15), image)
    assert result.properties_after["brightness"] > result.properties_before["brightness"] + 0.03
    assert torch.equal(
        result.image[(result.edit_mask == 0).expand_as(image)], image[(result.edit_mask == 0).expand_as(image)]
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([torch.rand(1, 8, 8)], [blob()], None, [Contrast(1.5)]), ValueError, r"`images\[0\]` must be RGB"),
        (([torch.rand(3, 8, 8) * 255], [blob()], None, [Contrast(1.5)]), ValueError, "before Normalize"),
        ((["photo.jpg"], [blob()], None, [Contrast(1.5)]), TypeError, r"`images\[0\]` must be a tensor"),
        (([picture()], [blob(), blob()], None, [Contrast(1.5)]), ValueError, "one per image"),
        (([picture()], [blob()], "a dog", [Contrast(1.5)]), TypeError, "`prompts` must be a list"),
        (([picture()], [blob()], ["a", "b"], [Contrast(1.5)]), ValueError, "`prompts` must have one entry"),
        (([picture()], [blob()], None, Contrast(1.5)), TypeError, "`edits` must be a list"),
    ],
)
def test_errors_name_the_argument(editor, arguments, error, words):
    with pytest.raises(error, match=words):
        editor.edit(*arguments)


@pytest.mark.parametrize(
    "setting",
    [lambda: torch.autocast("cpu", dtype=torch.bfloat16), lambda: torch.device("meta")],
    ids=["autocast", "device"],
)
def test_what_a_training_loop_sets_does_not_change_an_edit(editor, setting):
    image, saliency_map = picture(), blob()
    analyses = editor.analyse([image], [saliency_map], ["a red dog"])
    expected = editor.apply(analyses, [[Contrast(), Color("red", 0.3)]])
    with setting():
        found = editor.edit([image], [saliency_map], ["a red dog"], [[Contrast(), Color("red", 0.3)]])
    assert [result.alpha for result in found] == [result.alpha for result in expected]
    assert all(torch.equal(a.image, b.image) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a.edit_mask, b.edit_mask) for a, b in zip(found, expected, strict=True))
