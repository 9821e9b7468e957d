"""What a search publishes: the rate, the verdict on it, and the interval expected around it."""
