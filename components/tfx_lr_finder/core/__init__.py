"""What a search has seen and what follows from it: NumPy alone, neither Keras nor TFX."""
