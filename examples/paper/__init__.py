"""The paper's experiments, one command each: python -m examples.paper --list (from the root of the repository)."""
