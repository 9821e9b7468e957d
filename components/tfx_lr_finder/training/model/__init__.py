"""Reads and sets parts of a Keras model, for Keras 3 and tf_keras."""
