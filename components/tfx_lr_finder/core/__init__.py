"""Curves, rules, verdicts and evidence: NumPy alone, neither Keras nor TFX."""
