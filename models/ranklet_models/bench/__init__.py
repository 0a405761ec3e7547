"""The model files that `cargo xtask bench` measures, and ONNX Runtime's native side of it."""
