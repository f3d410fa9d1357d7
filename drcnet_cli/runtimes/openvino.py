"""OpenVINO: an exported ONNX or OpenVINO file, compiled for this machine's CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from drcnet_cli.runtimes import load_library

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRuntime:
    """Runs a model, a file or an ONNX file's bytes, with that many threads.

    The first shape gets a compiled model of its own, which is a fifth quicker; all others share one
    for any shape, as each compilation takes half a second of the processor's time and more.
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
        self._first: tuple[int, ...] | None = None
        self._requests: dict[tuple[int, ...] | None, Any] = {}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """N x 3 x H x W float32 -> the same; MemoryError if it does not fit."""
        try:
            request = self._request(batch.shape)
            return np.array(request.infer([batch], share_inputs=True)[0])
        except RuntimeError as error:
            text = str(error)
            if "bad_alloc" in text or "allocate" in text:
                raise MemoryError(text) from error
            raise

    def _request(self, shape: tuple[int, ...]) -> Any:  # noqa: ANN401 - openvino may be absent
        """Give what infers this shape, compiling it where there is nothing for it yet."""
        self._first = self._first or shape
        key = shape if shape == self._first else None
        if key not in self._requests:
            model = self._core.read_model(self._source)
            if key is not None and model.inputs[0].partial_shape.is_dynamic:
                model.reshape(list(key))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._requests[key] = compiled.create_infer_request()
        return self._requests[key]
