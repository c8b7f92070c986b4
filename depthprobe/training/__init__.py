"""Training: batches, the loop, devices, checkpoints."""
