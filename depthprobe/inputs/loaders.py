"""The user's own DataLoader: what is in it, since a probe mixes and batches examples by itself."""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, default_collate

from depthprobe.errors import DataError


def unload(loader: DataLoader[Any], where: str) -> Dataset[Any] | tuple[torch.Tensor, torch.Tensor]:
    """The data set of a loader; where the loader makes batches in its own way, or the data set is a stream, the inputs
    (N, ...) and labels (N, ...) of one epoch, in the order of the data set.

    Its batch size and order are not used. Raises DataError for a sampler that leaves out, repeats or weighs examples,
    and for batches that are no pairs of tensors.
    """
    data = loader.dataset
    if isinstance(data, IterableDataset):
        return _drain(loader, where)
    if loader.batch_size is None or not _takes_all(loader):
        raise DataError(
            "a DataLoader with a sampler of its own",
            where=where,
            expected="shuffle=True or False: a probe mixes and batches the examples itself",
            found=type(loader.sampler if loader.batch_size else loader.batch_sampler or loader.sampler).__name__,
            hint="give the data set itself; weights of examples or classes belong into the loss",
        )
    if loader.collate_fn is default_collate:
        return data
    return _drain(DataLoader(data, loader.batch_size, collate_fn=loader.collate_fn), where)


def _takes_all(loader: DataLoader[Any]) -> bool:
    """Whether every example is drawn once an epoch; `drop_last` is about batches, not about examples."""
    if isinstance(loader.sampler, RandomSampler):
        return not loader.sampler.replacement and loader.sampler.num_samples == len(loader.sampler.data_source)
    return isinstance(loader.sampler, SequentialSampler)


def _drain(loader: DataLoader[Any], where: str) -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(loader)
    for number, batch in enumerate(parts):
        pair = isinstance(batch, tuple | list) and len(batch) == 2
        if not pair or not all(isinstance(item, torch.Tensor) for item in batch):
            raise DataError(
                f"batch {number} of the loader is not an (inputs, labels) pair of tensors",
                where=where,
                found=", ".join(type(item).__name__ for item in batch) if pair else type(batch).__name__,
            )
        if batch[0].shape[1:] != parts[0][0].shape[1:]:
            raise DataError(
                f"the inputs of batch {number} have another shape than those of batch 0",
                where=where,
                expected=str(tuple(parts[0][0].shape[1:])),
                found=str(tuple(batch[0].shape[1:])),
            )
    if not parts:
        return torch.empty(0, 1), torch.empty(0)
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
