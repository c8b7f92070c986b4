"""GPU tests, skipped with a reason where they cannot run. With torch, numpy and pytest alone, from the repository:

PYTHONPATH=. python -m pytest -q tests/gpu -o addopts="--import-mode=importlib -ra" -p no:cacheprovider
"""

import pytest
import torch

from depthprobe.ops import build, kernels


@pytest.fixture(scope="session", autouse=True)
def gpu():
    """A CUDA device with kernels built for it; they are built here when they are not in the cache."""
    if not torch.cuda.is_available():
        pytest.skip(f"no CUDA device (torch {torch.__version__}, CUDA {torch.version.cuda})")
    if build.find_nvcc() is None and not kernels.builds():
        pytest.skip("no nvcc, and no kernels in the cache")
    build.build_kernels(build.archs_here())
    assert kernels.kernels_for(0), kernels._refusals
    return torch.device("cuda", 0)
