"""Networks as files that other programs run: ONNX and OpenVINO, checked before they are kept."""
