"""Other libraries that compute a network: exported in memory, tiles in, tiles out, on the CPU."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import parser
from torch import Tensor

from drcnet_cli.device import dtype_name
from drcnet_cli.engines import load_library
from drcnet_cli.errors import UsageError
from drcnet_cli.networks.graph import DEFORM_CONV_OPSET, OLDEST_OPSET
from drcnet_cli.networks.layers import pad_to_multiple

# 8 tiles of 64 pixels, one of 192. A batch of 8 of the latter takes up to 15 % longer, tiles of 64
# pixels one by one a third (OpenVINO, bfloat16).
PIXELS_AT_ONCE = 2**15
OFTEN = 24  # times that a shape comes before OpenVINO compiles for it alone
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}  # as OpenVINO calls them
Runtime = Callable[[np.ndarray], np.ndarray]


# The least that a deformable convolution takes.
_PROBE = f"""<ir_version: 9, opset_import: ["": {DEFORM_CONV_OPSET}]>
probe (float[1,1,3,3] x, float[1,1,3,3] w, float[1,18,1,1] shifts) => (float[1,1,1,1] y) {{
  y = DeformConv (x, w, shifts)
}}"""


@cache
def best_opset(name: str) -> int:
    """Return the operator set that a backend is quickest in.

    ONNX Runtime has deformable convolutions on the CPU since lately; OpenVINO cannot read them.
    """
    if name != "onnx":
        return OLDEST_OPSET
    try:
        OnnxRuntime(parser.parse_model(_PROBE).SerializeToString(), 1)
    except UsageError:
        return OLDEST_OPSET
    return DEFORM_CONV_OPSET


class RuntimeEngine:
    """Computes an ONNX file's bytes through a backend of `drcnet_cli.engines`.

    `multiple`: what its height and width must be multiples of. Each number type is loaded when it
    is first asked for. Threads are as many as torch uses.
    """

    def __init__(self, name: str, model: bytes, multiple: int) -> None:
        self.name = name
        self._model = model
        self._multiple = multiple
        self._runtimes: dict[torch.dtype, Runtime] = {}

    def __call__(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        """Compute N x 3 x H x W float32 -> the same, not clipped.

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


class OnnxRuntime:
    """Runs an ONNX model, a file or its bytes, with that many threads.

    Raises UsageError for one with operators that this onnxruntime lacks.
    """

    def __init__(self, model: bytes | Path, threads: int) -> None:
        runtime = load_library("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        # Threads that wait spin otherwise, which slows what else the machine does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        state = runtime.capi.onnxruntime_pybind11_state
        try:
            self._session = runtime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=["CPUExecutionProvider"],
            )
        except state.NotImplemented as error:
            raise UsageError(
                f"onnxruntime {runtime.__version__} cannot compute this on a CPU: {error}",
                f"Use --opset {OLDEST_OPSET}, or pip install --upgrade onnxruntime",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self._failures = (state.Fail, state.RuntimeException)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Compute N x 3 x H x W float32 -> the same; MemoryError if it does not fit."""
        try:
            return self._session.run(None, {self._input: batch})[0]
        except self._failures as error:
            text = str(error)
            if "Failed to allocate memory" in text or "bad allocation" in text:
                raise MemoryError(text) from error
            raise


class OpenVinoRuntime:
    """Runs a model, a file or an ONNX file's bytes, with that many threads.

    One compiled model takes every shape. A shape that keeps coming, as one photograph's tiles do,
    gets its own, which is 12 to 25 % quicker once its half second of compiling has paid.
    """

    def __init__(self, model: bytes | Path, threads: int, dtype: str = "float32") -> None:
        openvino = load_library("openvino", "openvino")
        self._core = openvino.Core()
        self._source = str(model) if isinstance(model, Path) else model
        self._settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        self._times: Counter[tuple[int, ...]] = Counter()
        self._requests: dict[tuple[int, ...] | None, Any] = {}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Compute N x 3 x H x W float32 -> the same; MemoryError if it does not fit."""
        try:
            request = self._request(batch.shape)
            return np.array(request.infer([batch], share_inputs=True)[0])
        except RuntimeError as error:
            text = str(error)
            if "bad_alloc" in text or "allocate" in text:
                raise MemoryError(text) from error
            raise

    def _request(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - openvino may be absent
        """Return what infers this shape, compiling it where there is nothing for it yet."""
        self._times[shape] += 1
        key = shape if self._times[shape] > OFTEN else None
        if key not in self._requests:
            model = self._core.read_model(self._source)
            if key is not None and model.inputs[0].partial_shape.is_dynamic:
                model.reshape(list(key))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._requests[key] = compiled.create_infer_request()
        return self._requests[key]
