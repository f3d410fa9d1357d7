"""A network as one ONNX model: its graph, what it accepts, and where it came from."""

from dataclasses import dataclass

from onnx import ModelProto, TensorProto, checker, defs, helper
from torch import nn

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import METADATA_KEY, CheckpointInfo
from drcnet_cli.networks.graph import OLDEST_OPSET, TORCH_RUNS_IT, GraphWriter
from drcnet_cli.version import __version__

INPUT, OUTPUT = "image", "restored"
MOST_BYTES = 2**31 - 2**24  # protobuf's limit, less what is no weight


@dataclass(frozen=True)
class Shape:
    """What a file accepts, in images and pixels; None: any number, of pixels any fitting one."""

    batch: int | None = None
    height: int | None = None
    width: int | None = None

    def check(self, multiple: int) -> None:
        """Raise UsageError unless it can be halved as often as the network does."""
        for side in (self.height, self.width):
            if side is not None and (side < multiple or side % multiple):
                nearest = max(multiple, round(side / multiple) * multiple)
                raise UsageError(
                    f"A fixed side of {side} pixels cannot be used: it must be a multiple of "
                    f"{multiple}.",
                    f"Use {nearest}",
                )


def build_onnx(
    network: nn.Module,
    info: CheckpointInfo,
    *,
    shape: Shape | None = None,
    opset: int = OLDEST_OPSET,
    half: bool = False,
    sha256: str = "",
) -> ModelProto:
    """Build the network's model: `image` in, N x 3 x H x W float32 in 0..1, `restored` out.

    Height and width must be multiples of the configuration's `multiple`; the result is not clipped.
    `half`: weights are stored as float16. `sha256`: the checkpoint's, for the metadata.

    Raises UsageError for a shape or an operator set that cannot be used, for a network that has no
    such form, and for one that is too large for one file.
    """
    architecture, shape = info.architecture, shape or Shape()
    if architecture.write_onnx is None or not architecture.is_own(network):
        raise UsageError(
            f"There is no ONNX form of {type(network).__name__}, which is for torch alone.",
            TORCH_RUNS_IT,
        )
    shape.check(info.config.multiple)
    _check_opset(opset)
    _check_size(network, half)
    writer = GraphWriter(half=half, opset=opset)
    architecture.write_onnx(writer, network, INPUT, OUTPUT)
    sides = [shape.batch or "batch", 3, shape.height or "height", shape.width or "width"]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in (INPUT, OUTPUT)
    ]
    graph = helper.make_graph(
        writer.nodes, architecture.name, values[:1], values[1:], writer.initializers
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
        producer_name="drcnet",
        producer_version=__version__,
        doc_string=f"{architecture.title} {info.task or ''}: {info.name}".strip(),
    )
    helper.set_model_props(model, metadata(info, sha256))
    checker.check_model(model)
    return model


def metadata(info: CheckpointInfo, sha256: str = "") -> dict[str, str]:
    """Describe a file, as texts; `drcnet` holds the checkpoint's whole description."""
    return {
        METADATA_KEY: info.to_json(),
        "name": info.name,
        "task": info.task or "",
        "licence": str(info.provenance.get("licence", "")),
        "training_patch": str(info.training_patch or ""),
        "multiple": str(info.config.multiple),
        "layout": "NCHW, RGB",
        "value_range": "0..1, the result to be clipped to it",
        "checkpoint_sha256": sha256,
        "version": __version__,
    }


def _check_opset(opset: int) -> None:
    newest = defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise UsageError(
            f"Operator set {opset} cannot be used: this onnx and drcnet write {OLDEST_OPSET} to "
            f"{newest}.",
            f"Use --opset {OLDEST_OPSET}",
        )


def _check_size(network: nn.Module, half: bool) -> None:
    size = sum(values.numel() for values in network.parameters()) * (2 if half else 4)
    if size > MOST_BYTES:
        raise UsageError(
            f"The network's weights take {size / 2**30:.1f} GiB, more than one ONNX file may hold.",
            "Use --half" if not half else "Export a network of a smaller width",
        )
