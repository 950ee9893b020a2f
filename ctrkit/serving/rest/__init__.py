"""TensorFlow Serving's REST interface: the same answers as over gRPC, as JSON over HTTP."""
