"""What a search publishes: a rate, and the verdict on it."""
