"""The search in a pipeline: its options, the user's module, its sweeps, trials and proofs."""
