"""ONNX nodes and weights, collected in the order of computation."""

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

OLDEST_OPSET = 18  # the first in which every reduction takes its axes as an input
DEFORM_CONV_OPSET = 19  # the first with deformable convolutions, where a runtime has them
# The hint where there is no graph: `export`, which meets it too, has no --backend.
TORCH_RUNS_IT = "Run it with torch: drcnet restore without --backend"
Attribute = int | float | str | list[int] | tuple[int, ...]


class GraphWriter:
    """Collects nodes; every method gives the name of the value that it adds.

    `half` stores weights as float16 with a cast back to float32, which runtimes do once, as they
    load the file. `opset` is the operator set whose operators there are.
    """

    def __init__(self, *, half: bool = False, opset: int = OLDEST_OPSET) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._half = half
        self._constants: dict[bytes, str] = {}

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """Add a node with one result."""
        output = name or f"{operator}_{len(self.nodes)}"
        node = helper.make_node(operator, inputs, [output], output)
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        self.nodes.append(node)
        return output

    def halves(self, x: str) -> list[str]:
        """Add a split into two halves of the channels."""
        name = f"Split_{len(self.nodes)}"
        outputs = [f"{name}.{half}" for half in range(2)]
        self.nodes.append(helper.make_node("Split", [x], outputs, name, axis=1, num_outputs=2))
        return outputs

    def weight(self, name: str, values: Tensor) -> str:
        """Add a tensor of the network, under its name in the state dict."""
        array = values.detach().float().cpu().numpy()
        if not self._half:
            self.initializers.append(numpy_helper.from_array(array, name))
            return name
        stored = f"{name}.float16"
        self.initializers.append(numpy_helper.from_array(array.astype(np.float16), stored))
        return self.node("Cast", stored, name=name, to=TensorProto.FLOAT)

    def constant(self, values: float | list[int]) -> str:
        """Add a float32 number or int64 numbers; equal ones are stored once."""
        array = np.asarray(values, np.float32 if isinstance(values, float) else np.int64)
        key = array.dtype.str.encode() + array.tobytes()
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def conv(self, name: str, conv: nn.Conv2d | nn.ConvTranspose2d, x: str) -> str:
        """Add a convolution, or a transposed one, with its weights."""
        inputs = [x, self.weight(f"{name}.weight", conv.weight)]
        if conv.bias is not None:
            inputs.append(self.weight(f"{name}.bias", conv.bias))
        return self.node(
            "ConvTranspose" if isinstance(conv, nn.ConvTranspose2d) else "Conv",
            *inputs,
            name=name,
            kernel_shape=conv.kernel_size,
            strides=conv.stride,
            pads=[int(pad) for pad in conv.padding] * 2,
        )

    def reduce(self, operator: str, x: str, axes: tuple[int, ...]) -> str:
        """Add ReduceMean, ReduceMax, ReduceSum or ReduceProd; the axes stay, with length 1."""
        return self.node(operator, x, self.constant(list(axes)), keepdims=1)
