"""Trainings of a compiled Keras model: TensorFlow, but not TFX."""
