"""Checks before a training: updates follow the rate, and a loss is that of its batch."""
