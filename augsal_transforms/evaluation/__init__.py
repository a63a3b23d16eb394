"""Score predictions of a data set."""
