"""Shared fixtures: one torch thread (bit-determinism), and the shared data folder when it is there."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    """The same random numbers for a test whichever tests ran before it in this process."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder `shared/data` beside the checkout; tests that need it skip with the reason."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "prepare.py").exists():
        pytest.skip(f"no shared data at ../shared/data (looked for {folder.name}/prepare.py)")
    return folder
