"""The model card: the README.md that a hub repository shows for the manifest's checkpoints."""

from drcnet_cli.version import __version__
from drcnet_cli.weights.manifest import Checkpoint, Manifest

_HEAD = f"""---
license: other
library_name: drcnet
pipeline_tag: image-to-image
tags:
- image-restoration
- deraining
- denoising
- deblurring
---

# DRCNet checkpoints

Checkpoints of drcnet {__version__}, an implementation of DRCNet (Li, Shen, Mi, Li: Dynamic Image
Restoration Contrastive Network, ECCV 2022). `weights.json` lists them with their sha256, training,
licence and measured scores; each checkpoint has a licence of its own.
"""


def model_card(manifest: Manifest) -> str:
    """Give the card as Markdown with the hub's YAML header."""
    return "\n".join([_HEAD, *(_section(checkpoint) for checkpoint in manifest.checkpoints)])


def _section(checkpoint: Checkpoint) -> str:
    lines = [
        f"## {checkpoint.name}",
        "",
        f"* Task: {checkpoint.task}",
        f"* File: `{checkpoint.file}`, {checkpoint.bytes} bytes, sha256 `{checkpoint.sha256}`",
        f"* Licence: {checkpoint.licence}",
        f"* Training data: {checkpoint.training_data}",
        f"* Training: {checkpoint.training_recipe}",
        "",
    ]
    if checkpoint.scores:
        lines += ["| dataset | metric | input | restored | command |", "|---|---|---|---|---|"]
        for score in checkpoint.scores:
            before = "" if score.input_value is None else f"{score.input_value:g}"
            lines.append(
                f"| {score.dataset} | {score.metric} | {before} | {score.value:g} "
                f"| `{score.command}` |"
            )
        lines.append("")
    return "\n".join(lines)
