"""Encoders exported as ONNX graphs, run by onnxruntime."""
