"""Train readouts of an editor."""
