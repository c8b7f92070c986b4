"""Tuning the schedule of a grow run: an Optuna study whose storage is the queue of all workers."""
