"""Find a model's folder, bundled, on disk or on the hub, and refuse what the editor cannot run on."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from augsal_transforms.diffusion.weights import STEMS, read_json, weight_files

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
HUB_MODELS = {
    "sd-v1-5": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"),
}
CONFIGS = {
    **dict.fromkeys(("unet", "vae", "text_encoder"), "config.json"),
    **{"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"},
}
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
HUB_SECONDS = 4.0  # a hub that does not answer for so long counts as unreachable
# Fields of a U-Net's config that ask for inputs which the editor does not have.
OTHER_CONDITIONS = ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim_type")
_FILES = [
    *("*/config.json", "tokenizer/*", "scheduler/*", "model_index.json", "augsal_calibration.*"),
    *("unet/diffusion_pytorch_model*.safetensors*", "vae/diffusion_pytorch_model*.safetensors*"),
    "text_encoder/model*.safetensors*",
]


def locate_model(name: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The folder of a model given as ``"bundled"``, ``"sd-v1-5"``, a folder or a hub id.

    Raises:
        TypeError: If ``name`` is no string or path.
        ValueError: If ``name`` is none of these.
        FileNotFoundError: If the model is not on disk and cannot be fetched.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"`name` must be a string or a path, got {type(name).__name__}.")
    name = os.fspath(name)
    if name == "bundled":
        return Path(str(files("augsal_transforms") / "assets" / "bundled"))
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's own raises for an unknown user
    if name and "\0" not in name:
        if folder.is_dir():
            return folder
        if folder.is_file():
            raise ValueError(_single_file(name))
    repository, pinned = HUB_MODELS.get(name, (name, None))
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository):
        raise ValueError(
            f"`name` must be 'bundled', {', '.join(map(repr, HUB_MODELS))}, the folder of a Stable Diffusion 1.x or "
            f"2.x pipeline, or a hub id such as 'owner/model', got {name!r}, and there is no such folder."
        )
    return _locate_on_hub(repository, revision or pinned, local_files_only)


def _single_file(name: str) -> str:
    return (
        f"`name` must be the folder of a pipeline, got the single file {name!r}. Convert it once, where there is a "
        f"network: `StableDiffusionPipeline.from_single_file({name!r}).save_pretrained('FOLDER')` "
        "(`from diffusers import StableDiffusionPipeline`), then give 'FOLDER'."
    )


def _locate_on_hub(repository: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    options: dict[str, Any] = {"revision": revision, "allow_patterns": _FILES}
    reason = "no connection is made here" if local_files_only else "offline mode is on"
    try:
        folder = Path(snapshot_download(repository, local_files_only=True, **options))
        if not missing_parts(folder):
            return folder
    except OSError:
        pass
    if not (local_files_only or HF_HUB_OFFLINE):
        try:
            # One request: downloads retry for 20 s.
            info = answer_within(
                HUB_SECONDS, lambda: HfApi().model_info(repository, revision=revision, timeout=HUB_SECONDS)
            )
            options["ignore_patterns"] = unwanted_files([file.rfilename for file in info.siblings or ()])
            return Path(snapshot_download(repository, **options))
        except Exception as error:  # whatever the hub's HTTP library raises, the answer is the same
            lines = str(error).strip().splitlines() or ["no answer"]
            reason = f"{type(error).__name__}: {lines[0]}"
    at = f", revision={revision!r}" if revision else ""
    raise FileNotFoundError(
        f"{repository!r} is not on this disk and cannot be fetched ({reason}). Where there is a network, "
        f"`SaliencyEditor.from_pretrained({repository!r}{at})` fetches the parts that are needed, for SD v1.5 about "
        "4 GB; or give the folder of a pipeline. 'bundled' needs neither."
    )


def answer_within(seconds: float, ask: Callable[[], Any]) -> Any:
    """The result of a call, or a ``TimeoutError`` after so many seconds: looking up a host's name has no limit.

    The call runs in a thread that does not keep the process alive.
    """
    answer: list[Any] = []

    def run() -> None:
        try:
            answer.extend((ask(), None))
        except BaseException as error:
            answer.extend((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer:
        raise TimeoutError(f"no answer within {seconds:g} s")
    result, error = answer
    if error is not None:
        raise error
    return result


def unwanted_files(names: Sequence[str]) -> list[str]:
    """Patterns of a repository's files that are not fetched: half precision only where full precision is there."""
    full = all(
        any(re.match(rf"{part}/{stem}(-|\.safetensors)", name) for name in names) for part, stem in STEMS.items()
    )
    variants = ["*.fp16.*", "*.bf16.*"] if full else []
    return [*variants, "*non_ema*", "safety_checker/*", "feature_extractor/*"]


def missing_parts(folder: Path) -> list[str]:
    """The parts of a pipeline that a folder lacks; networks count only as safetensors."""
    missing = []
    for part in COMPONENTS:
        if not (folder / part).is_dir():
            missing.append(part)
        elif not (folder / part / CONFIGS[part]).is_file():
            missing.append(f"{part}/{CONFIGS[part]}")
        elif part in STEMS:
            files = weight_files(folder, part) or [folder / part / f"{STEMS[part]}.safetensors"]
            missing += [f"{part}/{path.name}" for path in files if not os.path.lexists(path)]
        elif part == "tokenizer" and not _has_vocabulary(folder / part):
            # Without one, transformers would make a tokenizer all the same, which knows no word.
            missing.append("tokenizer/tokenizer.json, or vocab.json and merges.txt")
    return missing


def _has_vocabulary(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or all(
        (folder / name).is_file() for name in ("vocab.json", "merges.txt")
    )


def check_model(folder: Path) -> None:
    """Refuse what the algorithm cannot run on, before any weight is read.

    Raises:
        FileNotFoundError: If a part is missing.
        ValueError: If a config is broken, or for inpainting, upscaling and SDXL U-Nets and other families.
    """
    if missing := missing_parts(folder):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. A pipeline folder has {', '.join(COMPONENTS)}, its weights as "
            f"safetensors.{_how_to_convert(folder, missing)}"
        )
    unet, vae, text = (read_json(folder / part / CONFIGS[part], folder) for part in STEMS)
    if unet.get("addition_embed_type") == "text_time" or (folder / "text_encoder_2").is_dir():
        raise ValueError(
            f"{folder} is an SDXL pipeline; the editor needs Stable Diffusion 1.x or 2.x, such as 'sd-v1-5'."
        )
    for part, config in (("unet", unet), ("vae", vae)):
        if config.get("_class_name", CLASSES[part]) != CLASSES[part]:
            raise ValueError(
                f"`_class_name` in {folder / part} must be {CLASSES[part]}, got {config['_class_name']!r}."
            )
    if text.get("model_type", "clip_text_model") not in ("clip_text_model", "clip"):
        raise ValueError(f"The text encoder of {folder} must be CLIP's, got model_type={text['model_type']!r}.")
    channels, expected = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != expected:
        raise ValueError(
            f"The U-Net of {folder} takes {channels} channels where the VAE makes {expected}: an inpainting or "
            "upscaling model. The editor needs the plain text-to-image one, such as 'sd-v1-5'."
        )
    if expected != 4:
        raise ValueError(f"The VAE of {folder} must have 4 latent channels, got {expected!r}.")
    if extra := [name for name in OTHER_CONDITIONS if unet.get(name) is not None]:
        raise ValueError(
            f"The U-Net of {folder} needs more than a prompt (`{extra[0]}`); the editor needs a plain one."
        )
    if shifts := [name for name in ("shift_factor", "latents_mean", "latents_std") if vae.get(name) is not None]:
        raise ValueError(f"`{shifts[0]}` in {folder / 'vae'} must be null: the VAE of another family of models.")
    _check_numbers(folder, unet, vae)


def _check_numbers(folder: Path, unet: dict[str, Any], vae: dict[str, Any]) -> None:
    size, factor = unet.get("sample_size"), vae.get("scaling_factor", 0.18215)
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1024:
        raise ValueError(f"`sample_size` in {folder / 'unet'} must be the latent's side, in [1, 1024], got {size!r}.")
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 0 < factor < 1e6:
        raise ValueError(f"`scaling_factor` in {folder / 'vae'} must be a number above 0, got {factor!r}.")


def _how_to_convert(folder: Path, missing: list[str]) -> str:
    parts = [folder / name.split("/")[0] for name in missing if "/" in name]
    endings = {path.suffix for part in parts for path in part.iterdir()}
    if endings & {".bin", ".ckpt", ".pt"}:
        return (
            " It has pickled weights, which are never read here. If you trust whoever made them: "
            f"`StableDiffusionPipeline.from_pretrained({str(folder)!r}, use_safetensors=False)"
            ".save_pretrained('FOLDER')`."
        )
    if endings & {".msgpack", ".onnx", ".h5", ".pb"}:
        return " It has weights of Flax, ONNX or TensorFlow only: get the model's PyTorch weights as safetensors."
    return " `pipeline.save_pretrained(folder, safe_serialization=True)` writes one."
