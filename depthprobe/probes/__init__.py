"""depthprobe.probes"""
