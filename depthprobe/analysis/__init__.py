"""From per-example scores to a verdict with its uncertainty: numpy and scipy only, no input or output."""
