"""Load a frozen model from the folder of a pipeline, checked part by part before any memory is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augsal_transforms.diffusion.hub import check_model
from augsal_transforms.diffusion.model import PREDICTION_TYPES, DiffusionModel
from augsal_transforms.diffusion.networks import build_networks, fill_network
from augsal_transforms.diffusion.upsampling import join_upsampling
from augsal_transforms.diffusion.weights import check_file, read_json

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
MAX_TIMESTEPS = 100_000  # every Stable Diffusion model has 1,000
SCHEDULER_FIELDS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")


def find_device(device: str | torch.device) -> torch.device:
    """A device of this machine.

    Raises:
        TypeError: If ``device`` is neither a string nor a ``torch.device``.
        ValueError: If there is no such device, or if this build of torch cannot use it.
    """
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"`device` must be a string such as 'cpu' or 'cuda:0', got {type(device).__name__}.")
    try:
        found = torch.device(device)
        module = None if found.type in ("cpu", "meta") else torch.get_device_module(found)
        count = 1 if module is None else module.device_count() if module.is_available() else 0
    except (RuntimeError, AttributeError):
        raise ValueError(f"`device` must be 'cpu', 'cuda', 'cuda:1', 'mps', …, got {str(device)!r}.") from None
    if count == 0:
        raise ValueError(
            f"`device` is {str(device)!r}, which this machine or this build of torch ({torch.__version__}) does not "
            "have. Use device='cpu', or install a build of torch for your device (https://pytorch.org)."
        )
    if (found.index or 0) >= count:
        raise ValueError(f"`device` is {str(device)!r}, but there are only {count} of its kind, numbered from 0.")
    return found


def load_model(
    folder: Path,
    *,
    device: str | torch.device,
    dtype: torch.dtype,
    backend: str | Callable[..., Any] | None = None,
) -> DiffusionModel:
    """Load U-Net, VAE, text encoder, tokenizer and scheduler; safetensors only, frozen.

    Args:
        folder: Folder of the pipeline.
        device: Device of the networks.
        dtype: Precision of the networks: float32, float16 or bfloat16.
        backend: Backend with which ``torch.compile`` compiles the U-Net and both halves of the VAE; ``None`` compiles
            nothing.

    Raises:
        FileNotFoundError: If a part is missing.
        TypeError: If ``device`` or ``dtype`` is of another kind.
        ValueError: If there is no such device, if a file is broken, if tensors are missing, unexpected or of another
            shape, or if it is not a Stable Diffusion 1.x or 2.x text-to-image model.
    """
    place = find_device(device)
    if dtype not in PRECISIONS:
        raise TypeError(f"`dtype` must be torch.float32, torch.float16 or torch.bfloat16, got {dtype!r}.")
    check_model(folder)
    networks = build_networks(folder)
    alphas, prediction_type = _load_noise_table(folder)
    tokenizer = _load_tokenizer(folder, networks["text_encoder"].config)
    # A residual decoded in bfloat16 is off by up to 2 grey levels, in float16 by 0.3; CPUs have no fast float16.
    vae_dtype = torch.float16 if dtype == torch.bfloat16 and place.type == "cuda" else dtype
    for part, network in networks.items():
        fill_network(network, folder, part, vae_dtype if part == "vae" else dtype)
        nn.Module.to(network, place).eval().requires_grad_(False)
    networks["vae"].to(memory_format=torch.channels_last)  # decoding takes 0.7 of the time on a CPU
    if place.type == "cuda":  # on a CPU the U-Net gains nothing
        networks["unet"].to(memory_format=torch.channels_last)
    if place.type == "cpu":  # decoding takes 0.8 of the time; not measured on a GPU
        join_upsampling(networks["vae"].decoder)
    if backend is not None:
        _compile(networks, backend)
    return DiffusionModel(
        **networks,
        tokenizer=tokenizer,
        alphas=alphas,
        prediction_type=prediction_type,
        folder=folder,
        compiled=backend is not None,
    )


def _compile(networks: dict[str, Any], backend: str | Callable[..., Any]) -> None:
    # Whole networks, because diffusers' repeated blocks are a part of the U-Net and none of the VAE, where most of
    # the operations are. On a CPU edits then take 1.01 of the time, with the blocks alone 0.97, and compiling one
    # size of the bundled editor takes 107 s of processor time, the blocks 24 s.
    for network in (networks["unet"], networks["vae"].encoder, networks["vae"].decoder):
        network.compile(backend=backend, dynamic=False)


def _load_noise_table(folder: Path) -> tuple[torch.Tensor, str]:
    """ā_t, (T,), float64, and what the U-Net predicts. Any SD scheduler's settings make a DDIM scheduler."""
    from diffusers import DDIMScheduler

    path = folder / "scheduler" / "scheduler_config.json"
    config = read_json(path, folder)
    if lacking := [name for name in SCHEDULER_FIELDS if config.get(name) is None]:
        raise ValueError(f"{path} lacks {', '.join(lacking)}: it is not the scheduler of a Stable Diffusion model.")
    steps = config["num_train_timesteps"]
    if not isinstance(steps, int) or isinstance(steps, bool) or not 2 <= steps <= MAX_TIMESTEPS:
        raise ValueError(f"`num_train_timesteps` in {path} must lie in [2, {MAX_TIMESTEPS}], got {steps!r}.")
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTION_TYPES:
        raise ValueError(f"`prediction_type` in {path} must be one of {', '.join(PREDICTION_TYPES)}, got {kind!r}.")
    names = (*SCHEDULER_FIELDS, "trained_betas", "rescale_betas_zero_snr")
    try:
        scheduler: Any = DDIMScheduler(**{name: config[name] for name in names if name in config})
        table: torch.Tensor = scheduler.alphas_cumprod.double()
    except Exception as error:
        raise ValueError(f"No noise table can be made from {path}: {type(error).__name__}: {error}") from error
    if table.shape != (steps,) or not ((table > 0) & (table < 1)).all() or not (table.diff() <= 0).all():
        raise ValueError(f"The noise of {path} must grow over its {steps} timesteps; check the `beta` fields.")
    return table, kind


def _load_tokenizer(folder: Path, text_config: Any) -> Any:
    """The tokenizer, its context length that of the text encoder."""
    from transformers import AutoTokenizer

    place = folder / "tokenizer"
    for path in place.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            check_file(path, folder)
    settings = read_json(place / "tokenizer_config.json", folder)
    if named := [name for name in ("vocab_file", "merges_file", "tokenizer_file") if settings.get(name)]:
        raise ValueError(f"{place / 'tokenizer_config.json'} must not name other files, got `{named[0]}`. Remove it.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(place), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"No tokenizer can be made from {place}: {type(error).__name__}: {error}") from error
    if not tokenizer.is_fast:
        raise ValueError(
            f"{place} has a {type(tokenizer).__name__}, which cannot say which characters its tokens come from. "
            "Load the fast tokenizer (`AutoTokenizer.from_pretrained(...)`) and save it into the model folder."
        )
    # Not the tokenizer's own length: folders without `model_max_length` would give contexts of any length.
    tokenizer.model_max_length = text_config.max_position_embeddings
    _check_tokens(tokenizer, text_config, place)
    return tokenizer


def _check_tokens(tokenizer: Any, text_config: Any, place: Path) -> None:
    length, words = text_config.max_position_embeddings, text_config.vocab_size
    if length < 3:
        raise ValueError(
            f"`max_position_embeddings` of the text encoder beside {place} must be 3 or more, got {length}."
        )
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        raise ValueError(f"The tokenizer in {place} must have a `pad_token` and an `eos_token`.")
    ids = [*tokenizer.get_vocab().values(), tokenizer.pad_token_id, tokenizer.eos_token_id]
    if max(ids) >= words:
        raise ValueError(
            f"The tokenizer in {place} has token ids up to {max(ids)}, but the text encoder has {words} embeddings: "
            "they are not of the same model."
        )
    row = tokenizer("", padding="max_length", truncation=True)["input_ids"]
    if len(row) != length or tokenizer.eos_token_id not in row[1:]:
        raise ValueError(
            f'The tokenizer in {place} must put a start and an end token about a prompt, got {row[:4]}… for "".'
        )
