"""The engine that restores with another library: the network exported in memory, tiles in, out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from drcnet_cli.device import dtype_name
from drcnet_cli.engines.onnx_model import build_onnx
from drcnet_cli.engines.onnxruntime import OnnxRuntime
from drcnet_cli.engines.openvino import OpenVinoRuntime
from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.layers import pad_to_multiple

# 8 tiles of 64 pixels, one of 192. A batch of 8 of the latter takes up to 15 % longer, tiles of 64
# pixels one by one a third (OpenVINO, bfloat16).
PIXELS_AT_ONCE = 2**15
Runtime = Callable[[np.ndarray], np.ndarray]


class RuntimeEngine:
    """Computes as `network` does through a backend of `drcnet_cli.engines`.

    Takes the weights that the network has now; raises UsageError for another kind of network. Each
    number type is loaded when it is first asked for. Threads are as many as torch uses.
    """

    def __init__(self, name: str, network: nn.Module, info: CheckpointInfo) -> None:
        if not isinstance(network, DRCNet):
            raise UsageError(
                f"The backend {name} does not know {type(network).__name__}.", "Use --backend torch"
            )
        self.name = name
        self._multiple = network.config.multiple
        self._model = build_onnx(network, info).SerializeToString()
        self._runtimes: dict[torch.dtype, Runtime] = {}

    def __call__(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        """N x 3 x H x W float32 -> the same, not clipped.

        In parts of few pixels: features of more leave the processor's caches.
        """
        height, width = batch.shape[2:]
        padded = pad_to_multiple(batch, self._multiple).float()
        images = padded.contiguous(memory_format=torch.contiguous_format).numpy()
        run = self._runtime(dtype)
        count = max(1, PIXELS_AT_ONCE // (images.shape[2] * images.shape[3]))
        parts = range(0, len(images), count)
        results = [run(images[start : start + count]) for start in parts]
        return torch.from_numpy(np.concatenate(results))[..., :height, :width]

    def _runtime(self, dtype: torch.dtype) -> Runtime:
        if dtype not in self._runtimes:
            threads = torch.get_num_threads()
            self._runtimes[dtype] = (
                OnnxRuntime(self._model, threads)
                if self.name == "onnx"
                else OpenVinoRuntime(self._model, threads, dtype_name(dtype))
            )
        return self._runtimes[dtype]
