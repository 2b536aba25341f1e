"""What other programs read: a run's networks as ONNX, and estimated poses in the forms of other tools."""
