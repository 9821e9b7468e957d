"""Takes the model and the data that the user's code passes to `fit`, without training."""
