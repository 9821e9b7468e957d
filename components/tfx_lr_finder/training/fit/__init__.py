"""What the user's code gives to `fit`, without the training."""
