"""`python -m depthprobe`: the console script."""

from importlib.metadata import entry_points

(script,) = entry_points(group="console_scripts", name="depthprobe")
script.load()()
