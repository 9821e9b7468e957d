"""What a training is judged by: validation data, held-out examples, the best constant output."""
