"""Trainings of a compiled Keras model. This package imports TensorFlow, but not TFX."""
