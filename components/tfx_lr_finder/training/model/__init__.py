"""What is read of a Keras model and set on it, for both Kerases."""
