"""One's own DataLoader: its examples are those of its data set, whatever its batches; a sampler is refused."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from depthprobe.errors import DataError
from depthprobe.inputs import as_dataset

X, Y = torch.arange(60.0).reshape(30, 2), torch.arange(30) % 3
DATA = TensorDataset(X, Y)


class Stream(IterableDataset):
    """The same, one after another."""

    def __iter__(self):
        yield from zip(X, Y, strict=True)


class Named(TensorDataset):
    """Its classes have names."""

    classes = ["ant", "bee", "cat"]  # noqa: RUF012


def double(rows):
    """Inputs are doubled while a batch is made."""
    return torch.stack([2 * x for x, _ in rows]), torch.tensor([int(y) for _, y in rows])


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(DATA, 8),
        DataLoader(DATA, 7, shuffle=True, drop_last=True),
        DataLoader(Stream(), 7),
        DataLoader(DATA, sampler=RandomSampler(DATA, generator=torch.Generator())),
    ],
)
def test_every_example_once_in_the_order_of_the_data(loader):
    train = as_dataset({"train": loader}).train
    assert torch.equal(train.x, X)
    assert train.y.tolist() == Y.tolist()


def test_what_makes_the_batches_is_called():
    train = as_dataset({"train": DataLoader(DATA, 7, shuffle=True, collate_fn=double)}).train
    assert torch.equal(train.x, 2 * X)
    assert train.y.tolist() == Y.tolist()


def test_names_of_classes_are_those_of_its_data_set():
    assert as_dataset({"train": DataLoader(Named(X, Y), 8)}).classes == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("loader", "found"),
    [
        (DataLoader(DATA, 8, sampler=WeightedRandomSampler([1.0] * 30, 30)), "WeightedRandomSampler"),
        (DataLoader(DATA, 8, sampler=RandomSampler(DATA, num_samples=10)), "RandomSampler"),
        (DataLoader(DATA, 8, sampler=RandomSampler(DATA, replacement=True)), "RandomSampler"),
        (DataLoader(DATA, 8, sampler=RandomSampler(range(20))), "RandomSampler"),
        (DataLoader(DATA, 8, sampler=SequentialSampler(range(20))), "SequentialSampler"),
        (DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 4, True)), "BatchSampler"),
    ],
)
def test_a_sampler_of_its_own_is_refused(loader, found):
    with pytest.raises(DataError, match=rf"a sampler of its own(.|\n)*{found}(.|\n)*give the data set itself"):
        as_dataset({"train": loader})


def test_batches_that_are_no_pairs_are_named():
    loader = DataLoader(DATA, 8, collate_fn=lambda rows: {"x": torch.stack([x for x, _ in rows])})
    with pytest.raises(DataError, match=r"batch 0 of the loader is not an \(inputs, labels\) pair(.|\n)*dict"):
        as_dataset({"train": loader})


def test_batches_of_different_shapes_are_named():
    def ragged(rows):
        return torch.zeros(len(rows), len(rows)), torch.zeros(len(rows), dtype=torch.long)

    with pytest.raises(DataError, match=r"batch 3 have another shape(.|\n)*\(8,\)(.|\n)*\(6,\)"):
        as_dataset({"train": DataLoader(DATA, 8, collate_fn=ragged)})


class Endless(IterableDataset):
    """Nobody ever has all of it."""

    def __iter__(self):
        while True:
            yield torch.zeros(1000), torch.tensor(1)


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (DataLoader(Stream(), 7, drop_last=True), "leaves out its last examples"),
        (DataLoader(Stream(), batch_size=None), r"not as many labels as inputs(.|\n)*\(2,\) and \(\)"),
        (DataLoader(DATA, batch_size=None), "makes no batches"),
        (DataLoader(Endless(), 8), "does not fit"),
    ],
)
def test_streams_that_cannot_be_read_whole_are_refused(loader, said, monkeypatch):
    monkeypatch.setattr("depthprobe.inputs.arrays.MEMORY_LIMIT", 10**6)
    with pytest.raises(DataError, match=said):
        as_dataset({"train": loader})


def test_a_stream_with_workers_is_copied_out_of_their_memory():
    """Shared memory costs a file for every batch that is held."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(128, hard), hard))
    try:
        train = as_dataset({"train": DataLoader(Many(), 2, num_workers=1)}).train
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(train) == 600


class Many(IterableDataset):
    """Three hundred batches of two."""

    def __iter__(self):
        for row in range(600):
            yield torch.full((2,), float(row)), torch.tensor(row % 3)
