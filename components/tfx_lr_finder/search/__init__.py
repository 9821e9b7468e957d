"""The search of a pipeline: its options, the user's module, and what is swept, tried and proved."""
