"""Find a model's folder, bundled, on disk or on the hub, and refuse what the editor cannot run on."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
HUB_MODELS = {
    "sd-v1-5": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"),
}
_FILES = [
    *("*/config.json", "tokenizer/*", "scheduler/*", "model_index.json", "augsal_calibration.*"),
    *("unet/diffusion_pytorch_model*.safetensors*", "vae/diffusion_pytorch_model*.safetensors*"),
    "text_encoder/model*.safetensors*",
]
_OTHER_VARIANTS = ["*.fp16.*", "*non_ema*", "safety_checker/*", "feature_extractor/*"]


def locate_model(name: str, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The folder of a model given as ``"bundled"``, ``"sd-v1-5"``, a folder or a hub id.

    Raises:
        ValueError: If ``name`` is none of these.
        FileNotFoundError: If the model is not on disk and cannot be fetched.
    """
    if name == "bundled":
        return Path(str(files("augsal_transforms") / "assets" / "bundled"))
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    repository, pinned = HUB_MODELS.get(name, (name, None))
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository):
        raise ValueError(
            f"`name` must be 'bundled', {', '.join(map(repr, HUB_MODELS))}, the folder of a Stable Diffusion 1.x or "
            f"2.x pipeline, or a hub id such as 'owner/model', got {name!r}, and there is no such folder."
        )
    return _locate_on_hub(repository, revision or pinned, local_files_only)


def _locate_on_hub(repository: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    def snapshot(local: bool) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                local_files_only=local,
                allow_patterns=_FILES,
                ignore_patterns=_OTHER_VARIANTS,
            )
        )

    reason = "offline mode is on"
    try:
        folder = snapshot(local=True)
        if not missing_parts(folder):
            return folder
    except OSError:
        pass
    if not (local_files_only or HF_HUB_OFFLINE):
        try:
            HfApi().model_info(repository, revision=revision, timeout=5)  # one request: downloads retry for 20 s
            return snapshot(local=False)
        except Exception as error:  # whatever the hub's HTTP library raises, the answer is the same
            reason = (
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no answer'}"
            )
    at = f", revision={revision!r}" if revision else ""
    raise FileNotFoundError(
        f"{repository!r} is not on this disk and cannot be fetched ({reason}). Where there is a network, "
        f"`SaliencyEditor.from_pretrained({repository!r}{at})` fetches the parts that are needed, for SD v1.5 about "
        "4 GB; or give the folder of a pipeline. 'bundled' needs neither."
    )


def missing_parts(folder: Path) -> list[str]:
    """Which of the five parts of a pipeline a folder lacks; networks count only as safetensors."""
    missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
    files = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    for part, stem in files.items():
        names = (f"{stem}.safetensors", f"{stem}.safetensors.index.json")
        if part not in missing and not any((folder / part / name).exists() for name in names):
            missing.append(f"{part}/{names[0]}")
    return missing


def check_model(folder: Path) -> None:
    """Refuse what the algorithm cannot run on, before any weight is read.

    Raises:
        FileNotFoundError: If a part is missing.
        ValueError: For inpainting, upscaling and SDXL U-Nets.
    """
    if missing := missing_parts(folder):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}. A pipeline folder has {', '.join(COMPONENTS)}, its weights as "
            "safetensors; `pipeline.save_pretrained(folder, safe_serialization=True)` writes one."
        )
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    if unet.get("addition_embed_type") == "text_time" or (folder / "text_encoder_2").is_dir():
        raise ValueError(
            f"{folder} is an SDXL pipeline; the editor needs Stable Diffusion 1.x or 2.x, such as 'sd-v1-5'."
        )
    channels, expected = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != expected:
        raise ValueError(
            f"The U-Net of {folder} takes {channels} channels where the VAE makes {expected}: an inpainting or "
            "upscaling model. The editor needs the plain text-to-image one, such as 'sd-v1-5'."
        )
