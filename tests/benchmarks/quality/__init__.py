"""How good the suggested learning rates are, against the best constant rate there is."""
