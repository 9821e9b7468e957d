"""What is found out about a model before it is trained: that its rate and its loss are real."""
