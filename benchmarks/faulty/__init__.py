"""Faults done to runs: processes killed, disks filled, files spoilt."""
