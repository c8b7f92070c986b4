"""A data set named by a relative path is the same from every folder once it is written down."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthprobe.inputs.lookup import KNOWN, anchor

PROGRAM = """
import torch

def make():
    y = torch.arange(60) % 2
    return {"train": (torch.arange(240.0).reshape(60, 4), y)}
"""
NAMED = [("d.npz", "data"), ("data/d.npz", None), ("make.py:make", "data"), ("data/make.py:make", None),
         ("here.npz", "data"), ("digits", None), ("digits", "data")]  # fmt: skip


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The current folder, with data in and under it; and another, with a stranger of the same name."""
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "data").mkdir(parents=True)
    (there / "data").mkdir(parents=True)
    x, y = numpy.arange(240, dtype="float32").reshape(60, 4), numpy.arange(60) % 2
    for place in (here / "data" / "d.npz", here / "here.npz"):
        numpy.savez(place, x=x, y=y)
    numpy.savez(there / "d.npz", x=-x, y=y)
    (here / "data" / "make.py").write_text(PROGRAM)
    monkeypatch.chdir(here)
    return here, there


@pytest.mark.parametrize(("spec", "data_dir"), NAMED)
def test_what_is_written_down_is_found_from_another_folder(folders, monkeypatch, spec, data_dir):
    from depthprobe.probes.setup import DataSource

    source = DataSource(spec=spec, data_dir=data_dir)
    data = source.open()
    written = source.to_json(data)
    monkeypatch.chdir(folders[1])
    assert DataSource.from_json(written).open().fingerprint == data.fingerprint
    assert DataSource.from_json(written).to_json(data) == written


def test_the_data_of_a_worker_are_looked_for_where_it_says(folders, monkeypatch):
    from dataclasses import replace

    from depthprobe.probes.setup import DataSource

    here, there = folders
    written = DataSource(spec="data/d.npz").anchored
    (here / "data" / "d.npz").rename(there / "data" / "d.npz")
    assert replace(written, data_dir=str(there)).open().name == "data/d.npz"


@given(name=st.sampled_from(KNOWN))
def test_a_known_name_stays_what_it_is(name):
    assert anchor(name, None) == (name, None)
