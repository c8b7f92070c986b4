"""Image folders: layouts, colours, sizes, and what is refused with its path."""

import numpy as np
import pytest
import torch
from PIL import Image

from depthprobe.errors import DataError
from depthprobe.inputs import open_dataset

RNG = np.random.default_rng(0)


def draw(path, mode="RGB", size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    Image.fromarray(RNG.integers(0, 256, shape, np.uint8), mode=None).save(path)
    return path


def fails(folder, *texts, **options):
    with pytest.raises(DataError) as caught:
        open_dataset(str(folder), **options)
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_plain_folder(tmp_path):
    for name in ("dog", "cat"):
        for k in range(3):
            draw(tmp_path / name / f"{k}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    data = open_dataset(str(tmp_path))
    assert data.train.x.shape == (6, 3, 4, 6)
    assert data.classes == ("cat", "dog")
    assert data.train.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.colour
    pixels = np.asarray(Image.open(tmp_path / "dog" / "1.png"))
    assert torch.equal(data.train.x[4], torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255)


@pytest.mark.parametrize("valid", ["valid", "val"])
def test_folder_with_parts(tmp_path, valid):
    for part, count in (("train", 3), (valid, 2), ("test", 1)):
        for name in "ab":
            for k in range(count):
                draw(tmp_path / part / name / f"{k}.JPG", mode="L")
    data = open_dataset(str(tmp_path))
    assert data.train.x.shape == (6, 1, 4, 6)
    assert (len(data.valid), len(data.test)) == (4, 2)
    assert not data.colour


def test_mixed_modes_become_colour_and_sizes_are_fitted(tmp_path):
    draw(tmp_path / "a" / "grey.png", mode="L")
    draw(tmp_path / "b" / "alpha.png", mode="RGBA", size=(9, 9))
    fails(tmp_path, "different sizes", "alpha.png", "6 x 4", "9 x 9", "--image-size 4")
    data = open_dataset(str(tmp_path), image_size=5)
    assert data.train.x.shape == (2, 3, 5, 5)
    assert torch.equal(data.train.x[0, 0], data.train.x[0, 2])


def test_damage_is_named(tmp_path):
    good = draw(tmp_path / "a" / "good.png", size=(40, 40))
    bad = draw(tmp_path / "b" / "bad.png", size=(40, 40))
    whole = bad.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"GIF89a", whole[:60] + b"\0" * 99 + whole[159:]):
        bad.write_bytes(content)
        fails(tmp_path, "unreadable image: bad.png", str(bad))
    bad.unlink()
    fails(tmp_path, "class 'b' has no images", str(bad.parent))
    bad.parent.rmdir()
    fails(tmp_path, "fewer than two classes")
    deep = tmp_path / "c" / "deep.png"
    deep.parent.mkdir()
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(deep)
    fails(tmp_path, "unsupported pixel format", "deep.png", "I;16")
    good.unlink()
    good.parent.rmdir()
    deep.unlink()
    deep.parent.rmdir()
    fails(tmp_path, "no class folders", "an empty folder")


def test_layout_errors(tmp_path):
    draw(tmp_path / "test" / "a" / "0.png")
    fails(tmp_path, "no class folders", "train/<class>")
    for name in "ab":
        draw(tmp_path / "train" / name / "0.png")
    fails(tmp_path, "class 'b' has no images", "test")
    for name in "bz":
        draw(tmp_path / "test" / name / "0.png")
    fails(tmp_path, "class 'z' is not in train", "test")


def test_memory_is_checked_before_reading(tmp_path):
    for name in "ab":
        draw(tmp_path / name / "0.png")
    fails(tmp_path, "does not fit", "GiB", image_size=40_000)
