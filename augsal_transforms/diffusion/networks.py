"""Build the networks of a model folder without memory, compare them with the weights on disk, then fill them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augsal_transforms.diffusion.weights import read_json, read_shapes, read_tensors, weight_files

REPEATS = ("layers_per_block", "transformer_layers_per_block", "num_hidden_layers", "block_out_channels")
# Fields of a CLIP text encoder. Others, such as `attn_implementation`, could make transformers run code.
CLIP_FIELDS = {
    **{"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "projection_dim": 512},
    **{"num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu"},
    **{"layer_norm_eps": 1e-5, "attention_dropout": 0.0, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
}
# Older versions of diffusers gave a VAE's attention layers these names, and SD v1.5's is still stored with them.
OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
HARMLESS = ("position_ids", "text_projection.weight")  # a buffer, and a layer that the editor does not use


def build_networks(folder: Path) -> dict[str, Any]:
    """The three networks without memory, their shapes those of the files, and a pass through each of them tried."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def text_encoder(**fields: Any) -> nn.Module:
        network: nn.Module = CLIPTextModel(CLIPTextConfig(**fields))
        return network

    unet, vae = (
        {name: value.default for name, value in inspect.signature(kind.__init__).parameters.items() if name != "self"}
        for kind in (UNet2DConditionModel, AutoencoderKL)
    )
    networks = {
        "unet": _build(UNet2DConditionModel, unet, folder, "unet"),
        "vae": _build(AutoencoderKL, vae, folder, "vae"),
        "text_encoder": _build(text_encoder, CLIP_FIELDS, folder, "text_encoder"),
    }
    try:
        with torch.no_grad(), torch.device("meta"):
            _try_pass(**networks)
    except Exception as error:
        raise ValueError(f"The parts of {folder} do not fit each other, by their config.json files: {error}") from error
    return networks


def _build(make: Callable[..., Any], defaults: dict[str, Any], folder: Path, part: str) -> nn.Module:
    path = folder / part / "config.json"
    config, shapes = read_json(path, folder), read_shapes(weight_files(folder, part), folder)
    fields = {name: config[name] for name in defaults if name in config}
    for name, value in fields.items():
        if not _fits(value, defaults[name]):
            raise ValueError(f"`{name}` in {path} must be of the kind of {defaults[name]!r}, got {str(value)[:80]!r}.")
    repeats = math.prod(max(1, _largest_count(name, fields.get(name))) for name in REPEATS)
    if repeats > len(shapes):
        raise ValueError(f"{path} describes {repeats} layers or more, but {folder / part} has {len(shapes)} tensors.")
    try:
        with torch.device("meta"):
            network: nn.Module = make(**fields)
    except Exception as error:
        raise ValueError(f"No network can be built from {path}: {type(error).__name__}: {error}") from error
    wanted = {_current_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {_current_name(name): shape for name, shape in shapes.items()}
    if len(found) < len(shapes):
        raise ValueError(f"{folder / part} holds a tensor twice, under an old name and under a new one.")
    check_shapes(wanted, found, folder / part)
    return network


def _fits(value: Any, default: Any) -> bool:
    """Whether a field of a config has the type of its default; lists of it and null are allowed."""
    if isinstance(value, list):
        return len(value) < 100 and all(_fits(item, default) for item in value)
    if isinstance(default, (list, tuple)):
        return value is None or (isinstance(value, (bool, int, float, str)) and any(_fits(value, d) for d in default))
    if value is None:
        return True
    if default is None:
        return isinstance(value, (bool, int, float, str))
    if isinstance(default, (bool, str)):
        return isinstance(value, type(default))
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**31


def _largest_count(name: str, value: Any) -> int:
    if name == "block_out_channels":
        return len(value) if isinstance(value, list) else 1
    if isinstance(value, list):
        return max((_largest_count(name, item) for item in value), default=1)
    return int(value) if isinstance(value, (int, float)) else 1


def _current_name(name: str) -> str:
    """The name of a tensor without what versions of transformers and diffusers have changed about it."""
    name = name.removeprefix("text_model.")
    if ".attentions." in name:
        for old, new in OLD_NAMES.items():
            name = name.replace(old, new)
    return name


def check_shapes(wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]], place: Path) -> None:
    """Refuse weights that are not exactly those of the network.

    Args:
        wanted: Shape of each tensor of the network.
        found: Shape of each tensor of the files.
        place: Folder or file of the weights, for the message.

    Raises:
        ValueError: If tensors are missing, unexpected or of another shape; it names them.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(HARMLESS)]
    unexpected = [name for name in found if name not in wanted and not name.endswith(HARMLESS)]
    other = [name for name in wanted if name in found and wanted[name] != found[name]]
    shapes = [f"{name} is {found[name]} and must be {wanted[name]}" for name in other]
    faults = [("lacks", missing), ("has unexpected", unexpected), ("has wrong shapes:", shapes)]
    found_faults = [
        f"{verb} {', '.join(names[:3])}" + f" and {len(names) - 3} more" * (len(names) > 3)
        for verb, names in faults
        if names
    ]
    if found_faults:
        raise ValueError(
            f"The weights in {place} are not those of its configuration: it {'; it '.join(found_faults)}. "
            "Get the files again, or save the pipeline again with `save_pretrained`."
        )


def _try_pass(unet: Any, vae: Any, text_encoder: Any) -> None:
    cells = 2 ** len(unet.config.block_out_channels)
    size = cells * 2 ** (len(vae.config.block_out_channels) - 1)
    latent, image = torch.empty(1, 4, cells, cells), torch.empty(1, 3, size, size)
    context = text_encoder(torch.zeros(1, text_encoder.config.max_position_embeddings, dtype=torch.long))[0]
    noise = unet(latent, torch.ones(1, dtype=torch.long), encoder_hidden_states=context).sample
    encoded, decoded = vae.encode(image).latent_dist.mode(), vae.decode(latent).sample
    for name, made, given in (("U-Net", noise, latent), ("encoder", encoded, latent), ("decoder", decoded, image)):
        if made.shape != given.shape:
            raise ValueError(f"the {name} returns {tuple(made.shape)}, and {tuple(given.shape)} is needed")


def fill_network(network: Any, folder: Path, part: str, dtype: torch.dtype) -> None:
    """Read the weights into a network that was built without memory."""
    own = {_current_name(name): name for name in network.state_dict()}
    weights = {}
    for name, tensor in read_tensors(weight_files(folder, part), folder):
        if _current_name(name) not in own:
            continue
        if not tensor.is_floating_point():
            raise ValueError(f"{name} in {folder / part} must hold floating-point numbers, got {tensor.dtype}.")
        weights[own[_current_name(name)]] = value = tensor.to(dtype, copy=True)  # the file may change later
        if not value.isfinite().all():
            raise ValueError(f"{name} in {folder / part} has values that are not finite as {dtype}.")
    network.load_state_dict(weights, assign=True, strict=False)
    for module in network.modules():
        if "position_ids" in module._buffers:  # CLIP's one buffer, which is not saved
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]
