"""What a prediction is worth: metrics over a data set."""
