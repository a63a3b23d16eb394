"""Folders that strangers made: every fault is an error with the path and the part, and no code of theirs is run."""

import json
import os
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from augsal_transforms import SaliencyEditor, SaliencyPredictor
from augsal_transforms.diffusion.hub import answer_within, locate_model, unwanted_files
from augsal_transforms.diffusion.loading import find_device, load_model

UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
SCHEDULER, TOKENIZER = "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"
WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}


def load(folder, dtype=torch.float32):
    return load_model(folder, device="cpu", dtype=dtype)


@pytest.fixture
def folder(sd1_folder, tmp_path):
    return shutil.copytree(sd1_folder, tmp_path / "model")


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(path, change):
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(weights)
    save_file(weights, path, {"format": "pt"})


def shard(path):
    """Write a network's weights as two shards and an index, as large models have them."""
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    names = sorted(weights)
    halves = {
        f"{path.stem}-00001-of-00002.safetensors": names[::2],
        f"{path.stem}-00002-of-00002.safetensors": names[1::2],
    }
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, path.parent / file)
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (path.parent / f"{path.name}.index.json").write_text(json.dumps(index))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("part", WEIGHTS)
def test_missing_unexpected_and_misshaped_weights_are_named(folder, part):
    first = sorted(load_file(folder / WEIGHTS[part]))[0].removeprefix("text_model.")

    def change(weights):
        name = sorted(weights)[0]
        weights["stranger.weight"], weights[sorted(weights)[1]] = torch.zeros(2), torch.zeros(7)
        del weights[name]

    edit_weights(folder / WEIGHTS[part], change)
    with pytest.raises(
        ValueError, match=rf"/{part} .*lacks {first}.*unexpected stranger\.weight.*is \(7,\) and must be"
    ):
        load(folder)


def test_buffers_that_older_versions_saved_do_no_harm(folder):
    edit_weights(
        folder / WEIGHTS["text_encoder"], lambda w: w.update({"embeddings.position_ids": torch.arange(77)[None]})
    )
    assert load(folder)


def test_weights_under_the_names_of_older_versions_are_the_same_weights(folder):
    """SD v1.5's VAE has attention layers named query, key, value and proj_attn; its text encoder has a prefix."""
    expected = load(folder)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename_vae(weights):
        for name in [name for name in weights if ".attentions." in name]:
            for new, before in old.items():
                if f".{new}." in name:
                    weights[name.replace(f".{new}.", f".{before}.")] = weights.pop(name)
        assert sum(".query." in name for name in weights) == 4  # a weight and a bias at either end

    def rename_text(weights):
        for name in list(weights):
            weights["text_model." + name.removeprefix("text_model.")] = weights.pop(name)

    edit_weights(folder / WEIGHTS["vae"], rename_vae)
    edit_weights(folder / WEIGHTS["text_encoder"], rename_text)
    loaded = load(folder)
    assert same(loaded.vae, expected.vae)
    assert same(loaded.text_encoder, expected.text_encoder)


def test_networks_are_those_that_the_libraries_load(folder):
    """Our loader against diffusers' and transformers': the same tensors, outputs equal to the bit."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    model = load(folder)
    assert same(model.unet, UNet2DConditionModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False))
    assert same(model.vae, AutoencoderKL.from_pretrained(folder / "vae", low_cpu_mem_usage=False))
    theirs = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    assert same(model.text_encoder, theirs)
    ids = torch.randint(0, 90, (2, 77), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.text_encoder(ids)[0], theirs(ids)[0])


def test_a_tensor_under_two_names_is_refused(folder):
    def repeat(weights):
        weights.pop("text_model.final_layer_norm.bias", None)
        weights.update({f"{prefix}final_layer_norm.bias": torch.ones(32) for prefix in ("", "text_model.")})

    edit_weights(folder / WEIGHTS["text_encoder"], repeat)
    with pytest.raises(ValueError, match="text_encoder holds a tensor twice"):
        load(folder)


def test_a_folder_inside_the_tokenizers_does_no_harm_and_a_link_to_one_outside_is_refused(folder):
    (folder / "tokenizer" / ".ipynb_checkpoints").mkdir()
    assert load(folder)
    (folder / "tokenizer" / "additional_chat_templates").symlink_to("/etc")
    with pytest.raises(ValueError, match="additional_chat_templates leads out of"):
        load(folder)


def test_shards_and_half_precision_are_loaded(folder):
    expected = load(folder)
    shard(folder / WEIGHTS["unet"])
    (folder / WEIGHTS["vae"]).rename(folder / WEIGHTS["vae"].replace(".safetensors", ".fp16.safetensors"))
    loaded = load(folder)
    assert same(loaded.unet, expected.unet)
    assert same(loaded.vae, expected.vae)


def test_a_shard_that_is_not_there_is_named(folder):
    shard(folder / WEIGHTS["unet"])
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks unet/diffusion_pytorch_model-00002-of-00002\.safetensors"):
        load(folder)


@pytest.mark.parametrize(
    "file", ["x.bin", "../../other/x.safetensors", "/etc/x.safetensors", "sub\\x.safetensors", 3, None]
)
def test_an_index_may_only_name_safetensors_beside_it(folder, file):
    for part in WEIGHTS:
        torch.save(load_file(folder / WEIGHTS[part]), folder / part / "x.bin")
    (folder / WEIGHTS["unet"]).unlink()
    (folder / f"{WEIGHTS['unet']}.index.json").write_text(json.dumps({"weight_map": {"conv_in.weight": file}}))
    with pytest.raises(ValueError, match=r"safetensors\.index\.json (names|must have)"):
        load(folder)


@pytest.mark.parametrize("name", [WEIGHTS["unet"], TEXT, SCHEDULER, "tokenizer/tokenizer.json"])
def test_links_out_of_the_folder_and_pipes_are_not_followed(folder, sd1_folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to(sd1_folder / name)
    with pytest.raises(ValueError, match=rf"{name} leads out of"):
        load(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises((ValueError, FileNotFoundError), match=name.split("/")[0]):
        load(folder)


def test_links_of_the_hubs_cache_lead_to_its_blobs(sd1_folder, tmp_path):
    snapshot = shutil.copytree(sd1_folder, tmp_path / "models--owner--model" / "snapshots" / "0123")
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    for n, path in enumerate(path for path in snapshot.rglob("*") if path.is_file()):
        path.rename(blobs / str(n))
        path.symlink_to(os.path.relpath(blobs / str(n), path.parent))
    assert load(snapshot)


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + bytes(500), (2**62).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"[]", slice(-9)],
    ids=["empty", "pickle", "header", "list", "truncated"],
)
def test_broken_weight_files_are_value_errors_with_the_path(folder, part, content):
    path = folder / WEIGHTS[part]
    path.write_bytes(path.read_bytes()[content] if isinstance(content, slice) else content)
    with pytest.raises(ValueError, match=rf"{WEIGHTS[part]} must be a whole safetensors file"):
        load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder, value):
    edit_weights(folder / WEIGHTS["vae"], lambda w: w["decoder.conv_out.bias"].fill_(value))
    with pytest.raises(ValueError, match=r"decoder\.conv_out\.bias in .*/vae has values that are not finite"):
        load(folder)


@pytest.mark.parametrize("path", [UNET, VAE, TEXT, SCHEDULER, TOKENIZER])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff\xfe", b"[" * 100_000], ids=range(6))
def test_configs_that_are_no_json_object_are_value_errors_with_the_path(folder, path, content):
    (folder / path).write_bytes(content)
    with pytest.raises(ValueError, match=path):
        load(folder)


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        (UNET, {"block_out_channels": [10**9, 32, 32]}, "unet"),
        (UNET, {"layers_per_block": 10**9}, "layers or more"),
        (UNET, {"transformer_layers_per_block": [10**6, 1, 1]}, "layers or more"),
        (UNET, {"down_block_types": ["DownBlock2D"] * 10**5}, "down_block_types"),
        (UNET, {"sample_size": 10**9}, "sample_size"),
        (UNET, {"cross_attention_dim": 48}, "unet"),
        (UNET, {"norm_num_groups": 0}, "unet"),
        (UNET, {"act_fn": ["silu"]}, "unet"),
        (UNET, {"num_class_embeds": 1000}, "num_class_embeds"),
        (UNET, {"out_channels": 8}, "unet"),
        (VAE, {"scaling_factor": 0}, "scaling_factor"),
        (VAE, {"scaling_factor": "1"}, "scaling_factor"),
        (VAE, {"latents_mean": [0.1] * 4}, "latents_mean"),
        (VAE, {"_class_name": "AutoencoderTiny"}, "_class_name"),
        (VAE, {"layers_per_block": -1}, "layers_per_block"),
        (TEXT, {"vocab_size": 10**12}, "vocab_size"),
        (TEXT, {"vocab_size": 10}, "text_encoder"),
        (TEXT, {"max_position_embeddings": 2}, "text_encoder"),
        (TEXT, {"hidden_act": "no-such"}, "text_encoder"),
        (TEXT, {"model_type": "t5"}, "must be CLIP's"),
        (SCHEDULER, {"num_train_timesteps": 10**9}, "num_train_timesteps"),
        (SCHEDULER, {"beta_schedule": None}, "lacks beta_schedule"),
        (SCHEDULER, {"beta_end": 5}, "must grow"),
        (SCHEDULER, {"trained_betas": 0.5}, "must grow"),
        (SCHEDULER, {"trained_betas": [0.1] * 3}, "must grow"),
        (SCHEDULER, {"beta_start": "a"}, "noise table"),
        (SCHEDULER, {"prediction_type": "flow"}, "prediction_type"),
        (TOKENIZER, {"vocab_file": "/etc/passwd"}, "vocab_file"),
        (TOKENIZER, {"pad_token": None}, "pad_token"),
        (TOKENIZER, {"added_tokens_decoder": {"5000": {"content": "<x>", "special": True}}}, "tokenizer"),
    ],
)
def test_configs_that_describe_something_else_are_refused_before_memory_is_asked_for(folder, path, fields, words):
    edit_json(folder / path, **fields)
    with pytest.raises(ValueError, match=words):
        load(folder)


def test_no_code_of_a_folder_is_run(folder, tmp_path):
    """Class names, auto_map, quantisers and kernels that a config may name are left alone."""
    trap = f"open({str(tmp_path / 'run')!r}, 'w')\nclass Evil: pass\n"
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        (folder / part / "evil.py").write_text(trap)
    named = {"auto_map": {"AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}}
    edit_json(folder / UNET, **named, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    edit_json(folder / TEXT, **named, attn_implementation="evil/kernel", architectures=["Evil"])
    edit_json(folder / SCHEDULER, **named, _class_name="evil.Evil")
    edit_json(folder / TOKENIZER, **named)
    assert load(folder)
    assert not (tmp_path / "run").exists()
    assert "evil" not in sys.modules


def test_the_context_is_the_text_encoders_whatever_the_tokenizer_says(folder):
    prompts = ["a dog", "cat " * 100, ""]
    expected = load(folder).encode_prompts(prompts)
    for length in (None, 10**30, 12):
        edit_json(folder / TOKENIZER, model_max_length=length)
        model = load(folder)
        assert torch.equal(model.encode_prompts(prompts), expected)
        assert model.encode_prompts(["a dog"]).shape == (1, 77, 32)


def test_a_tokenizer_without_its_vocabulary_is_refused(folder):
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks tokenizer/tokenizer\.json, or vocab\.json and merges\.txt"):
        load(folder)


def test_loading_draws_nothing_and_prints_nothing(folder, capfd):
    state = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


def test_a_single_file_is_refused_with_the_call_that_converts_it(tmp_path):
    for name in ("model.safetensors", "sd.ckpt"):
        (tmp_path / name).write_bytes(b"0")
        with pytest.raises(ValueError, match=rf"single file .*{name}.*from_single_file"):
            locate_model(tmp_path / name)


@pytest.mark.parametrize(
    ("ending", "words"), [(".bin", "use_safetensors=False"), (".msgpack", "Flax"), (".onnx", "ONNX")]
)
def test_weights_of_other_kinds_are_named_with_the_way_out(folder, ending, words):
    path = folder / WEIGHTS["unet"]
    path.rename(path.with_suffix(ending))
    with pytest.raises(FileNotFoundError, match=rf"lacks unet/diffusion_pytorch_model\.safetensors.*{words}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "error"),
    [(None, TypeError), (3, TypeError), ("", ValueError), ("~nobody/x/y", ValueError), ("\0", ValueError)],
)
def test_names_that_are_no_model_are_refused(name, error):
    with pytest.raises(error, match="`name` must be"):
        locate_model(name)


@pytest.mark.parametrize(
    ("device", "error"),
    [("evil", ValueError), ("cpu:x", ValueError), (0, TypeError), (None, TypeError), ("hpu", ValueError)],
)
def test_devices_that_are_not_there_are_refused_before_loading(device, error):
    with pytest.raises(error, match="`device`"):
        SaliencyEditor.from_pretrained("owner/not-on-this-disk", device=device)
    with pytest.raises(error, match="`device`"):
        SaliencyPredictor.from_pretrained(editor="owner/not-on-this-disk", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_on_a_machine_without_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"'cuda:1', which this machine or this build of torch .* Use device='cpu'"):
        find_device("cuda:1")


def test_a_precision_that_is_none_is_refused(folder):
    with pytest.raises(TypeError, match=r"`dtype` must be torch\.float32"):
        load(folder, "float16")


def test_half_precision_is_fetched_only_where_there_is_no_other():
    files = [*WEIGHTS.values(), *(name.replace(".safetensors", ".fp16.safetensors") for name in WEIGHTS.values())]
    assert "*.fp16.*" in unwanted_files(files)
    assert "*.fp16.*" not in unwanted_files(files[3:])


def test_a_question_without_an_answer_is_given_up():
    import threading

    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        answer_within(0.05, never.wait)
    never.set()
    assert answer_within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        answer_within(5, lambda: 1 / 0)
