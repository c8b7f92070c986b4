"""The models that `coverage.py` tries, what it checks on each, where it keeps what it found, and the table."""
