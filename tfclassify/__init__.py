"""Image classification by transfer learning on Keras 3 and TensorFlow."""

__version__ = "0.1.0"
