"""The command line: a typer app, one file per verb. Importing it imports no torch."""

from depthprobe.cli.app import main

__all__ = ["main"]
