"""Views of the evidence: picture, interactive plot, HTML page, TensorBoard events."""
