"""Splits: disjoint, stratified, decided by the split seed alone; normalised by the training part."""

import pytest
import torch

from depthprobe.errors import DataError
from depthprobe.inputs import Dataset, Examples, is_small, open_dataset, split_dataset
from depthprobe.inputs.splits import order_stratified


def make(count=1000, classes=5, valid=None, test=None, labels=None):
    """Each example is its own number, so that parts can be compared as sets."""

    def part(start, size):
        x = torch.arange(start, start + size, dtype=torch.float32).view(-1, 1)
        return Examples(x, torch.arange(size) % classes)

    train = part(0, count)
    if labels is not None:
        train = Examples(train.x, torch.tensor(labels))
    return Dataset(
        name="numbers",
        train=train,
        valid=None if valid is None else part(10_000_000, valid),
        test=None if test is None else part(20_000_000, test),
        classes=tuple(map(str, range(classes))),
        colour=False,
        source="made here",
        fingerprint=f"{count} {valid} {test}",
    )


def numbers(part, split):
    return set((part.x * split.std[0] + split.mean[0]).round().long().flatten().tolist())


def test_parts_are_disjoint_and_folds_share_the_test_part():
    data = make()
    splits = [split_dataset(data, split_seed=3, fold=fold, folds=4) for fold in range(4)]
    tests = [numbers(split.test, split) for split in splits]
    valids = [numbers(split.valid, split) for split in splits]
    trains = [numbers(split.train, split) for split in splits]
    assert all(test == tests[0] for test in tests)
    assert len(tests[0]) == 200
    for fold in range(3):
        assert len(valids[fold]) == 200
        assert trains[fold] | valids[fold] | tests[0] == set(range(1000))
        assert len(trains[fold]) == 600
    assert len(valids[0] | valids[1] | valids[2]) == 600


def test_folds_beyond_what_fits_are_used_in_turn():
    data = make()
    ids = [split_dataset(data, split_seed=0, fold=fold, folds=9).valid_id for fold in range(9)]
    assert len(set(ids)) == 3
    assert ids[:3] == ids[3:6] == ids[6:]


def test_classes_keep_their_proportions():
    labels = [0] * 700 + [1] * 250 + [2] * 50
    for fold in range(3):
        split = split_dataset(make(classes=3, labels=labels), split_seed=1, fold=fold, folds=3)
        for part in (split.valid, split.test):
            counts = torch.bincount(part.y, minlength=3)
            assert (counts - torch.tensor([140, 50, 10])).abs().max() <= 2


def test_seed_decides():
    data = make()
    first, again = (split_dataset(data, split_seed=5) for _ in range(2))
    other = split_dataset(data, split_seed=6)
    assert first.valid_id == again.valid_id
    assert torch.equal(first.train.x, again.train.x)
    assert first.valid_id != other.valid_id
    assert numbers(first.test, first) != numbers(other.test, other)


def test_own_parts_are_kept():
    both = make(valid=30, test=40)
    for fold in range(2):
        split = split_dataset(both, split_seed=fold, fold=fold, folds=2)
        assert (len(split.train), len(split.valid), len(split.test)) == (1000, 30, 40)
    only_test = split_dataset(make(test=40), split_seed=0)
    assert (len(only_test.train), len(only_test.valid), len(only_test.test)) == (800, 200, 40)
    only_valid = split_dataset(make(valid=30), split_seed=0)
    assert (len(only_valid.train), len(only_valid.valid), len(only_valid.test)) == (800, 30, 200)


def test_large_sets_validate_on_five_thousand():
    data = make(count=60_000, test=10)
    split = split_dataset(data, split_seed=0, fold=1, folds=2)
    assert (len(split.train), len(split.valid)) == (55_000, 5_000)
    assert not is_small(data)
    assert is_small(make())


def test_digits():
    data = open_dataset("digits")
    splits = [split_dataset(data, split_seed=0, fold=fold, folds=3) for fold in range(3)]
    assert [len(split.valid) for split in splits] == [360] * 3
    assert len({split.valid_id for split in splits}) == 3
    for split in splits:
        assert len(split.test) == 360
        assert split.train.x.mean().abs() < 1e-5
        assert (split.train.x.std() - 1).abs() < 1e-3
        assert len(split.mean) == len(split.std) == 1


def test_normalisation_is_per_channel_or_feature_and_keeps_constants_finite():
    x = torch.stack([torch.arange(100.0), torch.full((100,), 0.1), torch.arange(100.0) * 1000], 1)
    data = make(count=100, classes=2)
    flat = Dataset(**{**vars(data), "train": Examples(x, data.train.y)})
    before = x.clone()
    split = split_dataset(flat, split_seed=0)
    assert len(split.mean) == 3
    assert split.std[1] == 1
    assert split.valid.x[:, 1].abs().max() < 1e-6
    assert torch.allclose(split.train.x[:, 2].std(correction=0), torch.tensor(1.0))
    images = Dataset(**{**vars(data), "train": Examples(torch.rand(100, 3, 4, 4) * 9, data.train.y)})
    assert len(split_dataset(images, split_seed=0).mean) == 3
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"valid_share": 0.0}, "valid 0.0"),
        ({"valid_share": 0.6, "test_share": 0.4}, "test 0.4"),
        ({"split_seed": -1}, "-1"),
        ({"folds": 0}, "0 of 0"),
        ({"fold": -1}, "-1 of 1"),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(DataError, match=text):
        split_dataset(make(), **{"split_seed": 0, **options})


def test_too_few_examples():
    with pytest.raises(DataError, match="class 1 has too few examples"):
        split_dataset(make(classes=2, labels=[0] * 20 + [1] * 2), split_seed=0)
    with pytest.raises(DataError, match="too few examples"):
        split_dataset(make(count=6, classes=2), split_seed=0, valid_share=0.5, test_share=0.4)
    with pytest.raises(DataError, match="none of class"):
        split_dataset(make(count=10, classes=3), split_seed=0, valid_share=0.5, test_share=0.3)


def test_order_starts_with_one_of_each_class():
    y = torch.tensor([0] * 90 + [1] * 9 + [2])
    order = order_stratified(y, 0)
    assert sorted(y[order[:3]].tolist()) == [0, 1, 2]
    assert sorted(order.tolist()) == list(range(100))
