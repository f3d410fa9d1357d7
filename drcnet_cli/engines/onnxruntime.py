"""ONNX Runtime: an exported ONNX file, computed on the CPU."""

from pathlib import Path

import numpy as np

from drcnet_cli.engines import load_library


class OnnxRuntime:
    """Runs an ONNX model, a file or its bytes, with that many threads."""

    def __init__(self, model: bytes | Path, threads: int) -> None:
        runtime = load_library("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        # Threads that wait spin otherwise, which slows what else the machine does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(
            str(model) if isinstance(model, Path) else model,
            options,
            providers=["CPUExecutionProvider"],
        )
        self._input = self._session.get_inputs()[0].name
        state = runtime.capi.onnxruntime_pybind11_state
        self._failures = (state.Fail, state.RuntimeException)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """N x 3 x H x W float32 -> the same; MemoryError if it does not fit."""
        try:
            return self._session.run(None, {self._input: batch})[0]
        except self._failures as error:
            text = str(error)
            if "Failed to allocate memory" in text or "bad allocation" in text:
                raise MemoryError(text) from error
            raise
