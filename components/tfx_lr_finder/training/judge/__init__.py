"""What trainings are judged by: validation data, held-out examples, the best constant output."""
