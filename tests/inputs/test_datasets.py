"""`open_dataset`: known names, IDX and CIFAR files, `.npz`, user code; every refusal names its culprit."""

import gc
import gzip
import hashlib
import http.server
import io
import struct
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest
import torch

from depthprobe.errors import DataError
from depthprobe.inputs import arrays, downloads, open_dataset
from depthprobe.inputs.cifar import CIFAR10, CIFAR100
from depthprobe.inputs.idx import FILES

RNG = np.random.default_rng(0)


def fails(spec, *texts, **options):
    with pytest.raises(DataError) as caught:
        open_dataset(str(spec), **options)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert len(message.splitlines()) <= 6
    for text in texts:
        assert text in message, message
    return message


def idx_bytes(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder, train=30, test=20, classes=10):
    folder.mkdir(parents=True, exist_ok=True)
    images = RNG.integers(0, 256, (train + test, 5, 4), np.uint8)
    labels = np.arange(train + test) % classes
    parts = (images[:train], labels[:train], images[train:], labels[train:])
    for name, array in zip(FILES, parts, strict=True):
        (folder / name).write_bytes(gzip.compress(idx_bytes(array)))
    return images, labels


def write_cifar(folder, layout, per_batch=20):
    target = folder / layout.folder
    target.mkdir(parents=True, exist_ok=True)
    for name in (*layout.train, *layout.test):
        rows = RNG.integers(0, 256, (max(per_batch, layout.classes), layout.label_bytes + 3072), np.uint8)
        rows[:, 0] = 77  # the coarse label of CIFAR-100; overwritten below for CIFAR-10
        rows[:, layout.label_bytes - 1] = np.arange(len(rows)) % layout.classes
        rows.tofile(target / name)
    (target / layout.names).write_text("".join(f"name{k}\n" for k in range(layout.classes)) + "\n")
    return target


def pack(folder, archive):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)


def test_digits_are_embedded():
    data = open_dataset("digits")
    assert data.train.x.shape == (1797, 1, 8, 8)
    assert data.train.x.dtype == torch.float32
    assert data.train.y.dtype == torch.int64
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    assert data.valid is data.test is None
    assert data.classes == tuple("0123456789")
    assert not data.colour
    assert data.fingerprint == open_dataset("digits").fingerprint
    assert data.fingerprint != open_dataset("digits", limit_train=100).fingerprint


def test_limit_is_stratified_and_seeded():
    small = open_dataset("digits", limit_train=100)
    assert len(small.train) == 100
    assert set(torch.bincount(small.train.y).tolist()) <= {9, 10, 11}
    assert small.fingerprint == open_dataset("digits", limit_train=100).fingerprint
    assert small.fingerprint != open_dataset("digits", limit_train=100, limit_seed=1).fingerprint
    assert sorted(open_dataset("digits", limit_train=10).train.y.tolist()) == list(range(10))
    assert len(open_dataset("digits", limit_train=10**6).train) == 1797
    fails("digits", "limit of 9", "at least 10", limit_train=9)


def test_image_size():
    assert open_dataset("digits", image_size=4).train.x.shape == (1797, 1, 4, 4)
    assert open_dataset("digits", image_size=8).fingerprint == open_dataset("digits").fingerprint
    fails("digits", "--image-size", image_size=0)


@pytest.mark.parametrize("inside", ["mnist", "."])
def test_idx_files_are_read(tmp_path, inside):
    images, labels = write_idx(tmp_path / inside)
    data = open_dataset("mnist", data_dir=tmp_path)
    assert data.train.x.shape == (30, 1, 5, 4)
    assert torch.equal(data.train.x[:, 0], torch.from_numpy(images[:30]).float() / 255)
    assert data.test.y.tolist() == labels[30:].tolist()
    assert open_dataset("fashion-mnist", data_dir=write_fashion(tmp_path)).classes[9] == "Ankle boot"


def write_fashion(folder):
    write_idx(folder / "fashion-mnist")
    return folder


def test_idx_damage_is_named(tmp_path):
    folder = tmp_path / "mnist"
    write_idx(folder)
    good = {name: (folder / name).read_bytes() for name in FILES}
    images, labels = FILES[0], FILES[1]
    plain = gzip.decompress(good[images])
    for name, content, text in [
        (images, good[images][:-20], "damaged"),
        (images, b"no gzip at all", "damaged"),
        (images, good[images][:12] + b"\xff" * 40 + good[images][52:], images),
        (images, gzip.compress(plain[:-1]), "599 bytes"),
        (images, gzip.compress(plain + b"0"), "overlong"),
        (images, gzip.compress(plain[:9]), "not an IDX file"),
        (images, gzip.compress(b""), "an empty file"),
        (images, good[labels], "magic number 00000803"),
        (images, gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**10, 2**10)), "GiB"),
        (images, gzip.compress(idx_bytes(np.zeros((0, 5, 4)))), "no examples"),
        (labels, gzip.compress(idx_bytes(np.zeros(29))), "differ in length"),
        (labels, gzip.compress(idx_bytes(np.zeros(30))), "fewer than two classes"),
        (labels, gzip.compress(idx_bytes(np.arange(30))), "label out of range in train"),
    ]:
        (folder / name).write_bytes(content)
        fails("mnist", text, data_dir=tmp_path)
        (folder / name).write_bytes(good[name])
    assert len(open_dataset("mnist", data_dir=tmp_path).train) == 30


def test_missing_local_files_are_named(tmp_path):
    fails("mnist", "no such folder", "--data-dir", data_dir=tmp_path / "nowhere")
    fails("mnist", f"missing {FILES[0]}", data_dir=tmp_path)
    write_idx(tmp_path / "mnist")
    (tmp_path / "mnist" / FILES[3]).unlink()
    fails("mnist", f"missing {FILES[3]}", data_dir=tmp_path)
    fails("fashion-mnist", "fashion-mnist: missing", data_dir=tmp_path / "mnist")  # the same four file names
    fails("cifar10", "cifar10: missing", CIFAR10.archive, data_dir=tmp_path)


@pytest.mark.parametrize(("name", "layout"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar_files_are_read(tmp_path, name, layout):
    folder = write_cifar(tmp_path / "data" / name, layout)
    data = open_dataset(name, data_dir=tmp_path / "data")
    assert data.train.x.shape == (max(20, layout.classes) * len(layout.train), 3, 32, 32)
    assert data.colour
    assert data.classes[3] == "name3"
    first = np.fromfile(folder / layout.train[0], np.uint8)[layout.label_bytes :][:3072]
    assert torch.equal(data.train.x[0].flatten(), torch.from_numpy(first).float() / 255)
    places = [folder, folder.parent]
    (tmp_path / "packed").mkdir()
    pack(folder, tmp_path / "packed" / layout.archive)
    for place in [*places, tmp_path / "packed"]:
        assert open_dataset(name, data_dir=place).fingerprint == data.fingerprint
    (folder / layout.names).unlink()
    assert open_dataset(name, data_dir=folder).classes[3] == "3"


def test_cifar_damage_is_named(tmp_path):
    folder = write_cifar(tmp_path, CIFAR10)
    batch = folder / "data_batch_3.bin"
    good = batch.read_bytes()
    batch.write_bytes(good[:-1])
    fails("cifar10", "data_batch_3.bin", "multiple of 3073", data_dir=tmp_path)
    batch.write_bytes(b"")
    fails("cifar10", "data_batch_3.bin", "0 bytes", data_dir=tmp_path)
    batch.write_bytes(b"\x0a" + good[1:])
    fails("cifar10", "label out of range", "10 at row 40", data_dir=tmp_path)
    batch.unlink()
    fails("cifar10", "missing file: data_batch_3.bin", data_dir=tmp_path)
    packed = tmp_path / "packed"
    packed.mkdir()
    pack(folder, packed / CIFAR10.archive)
    fails("cifar10", "missing file: data_batch_3.bin", data_dir=packed)
    whole = (packed / CIFAR10.archive).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"junk" * 100):
        (packed / CIFAR10.archive).write_bytes(content)
        fails("cifar10", CIFAR10.archive, "damaged archive", data_dir=packed)


def test_npz_is_read(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.arange(12.0).reshape(6, 2), y=np.array([0, 1, 2, 0, 1, 2]))
    data = open_dataset(str(path))
    assert data.train.x[5].tolist() == [10, 11]
    assert data.classes == ("0", "1", "2")
    assert data.valid is data.test is None
    grey, last = RNG.integers(0, 256, (6, 5, 4), np.uint8), RNG.integers(0, 256, (4, 6, 5, 3), np.uint8)
    labels = np.arange(6) % 2
    np.savez_compressed(
        path, x_train=grey, y_train=labels, x_valid=grey[:2], y_valid=labels[:2], x_test=grey, y_test=labels
    )
    data = open_dataset(str(path))
    assert data.train.x.shape == (6, 1, 5, 4)
    assert data.train.x.max() <= 1
    assert len(data.valid) == 2
    assert len(data.test) == 6
    np.savez(path, x=last, y=labels[:4])
    data = open_dataset("d.npz", data_dir=tmp_path)
    assert data.train.x.shape == (4, 3, 6, 5)
    assert data.colour
    np.savez(path, x=grey.astype(np.float32), y=labels)
    assert open_dataset(str(path)).train.x.shape == (6, 5, 4)


X, Y = np.zeros((6, 2)), np.arange(6) % 2
NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[0, 0] = np.nan, 1e300
NPZ_ERRORS = [
    ({"x": X}, ["missing", "y"]),
    ({"a": X}, ["missing", "found:    a"]),
    ({"x_test": X, "y_test": Y}, ["missing", "x_train"]),
    ({"x_train": X, "y_train": Y, "x_test": X}, ["missing", "y_test"]),
    ({"x": X.astype(object), "y": Y}, ["x is pickled"]),
    ({"x": X, "y": Y.astype(object)}, ["y is pickled"]),
    ({"x": X, "y": Y[:5]}, ["differ in length", "6 labels", "5"]),
    ({"x": X, "y": np.array([0, 1, np.nan, 0, 1, 0])}, ["y holds NaN", "nan at row 2"]),
    ({"x": X, "y": np.zeros((6, 2, 2))}, ["another shape", "(N, K)"]),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y * 1.0}, ["of another kind", "integers"]),
    ({"x": X, "y": Y - 1}, ["negative", "-1 at row 0"]),
    ({"x": X, "y": np.eye(6, dtype=int)}, ["not one row", "argmax"]),
    ({"x": X, "y": Y * 0}, ["fewer than two classes"]),
    ({"x": X, "y": Y * 2}, ["no training example of class 1"]),
    ({"x": X, "y": Y * 10**9}, ["label 1000000000 with 6"]),
    ({"x": NAN, "y": Y}, ["NaN or infinite", "row 3"]),
    ({"x": INF, "y": Y}, ["NaN or infinite", "row 0"]),
    ({"x": X[:0], "y": Y[:0]}, ["no examples"]),
    ({"x": X[:, :0], "y": Y}, ["no values"]),
    ({"x": X[:, 0], "y": Y}, ["at least two dimensions"]),
    ({"x": np.full((6, 2), "a"), "y": Y}, ["no numbers"]),
    ({"x": X + 1j, "y": Y}, ["no numbers"]),
    ({"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}, ["(test) has no examples"]),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, ["out of range in test", "2 at row 1"]),
    (
        {"x_train": X, "y_train": Y, "x_valid": X[:, :1], "y_valid": Y},
        ["valid and train differ", "(2,)", "(1,)"],
    ),
]


@pytest.mark.parametrize(("content", "texts"), NPZ_ERRORS)
def test_npz_error_names_the_culprit(tmp_path, content, texts):
    path = tmp_path / "d.npz"
    np.savez(path, **content)
    fails(path, *texts)


def test_damaged_and_oversized_npz(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=RNG.random((60, 20)), y=np.arange(60) % 2)
    whole = path.read_bytes()
    for content in (whole[:-30], b"junk", b"", whole[:200] + b"\0" * 50 + whole[250:]):
        path.write_bytes(content)
        fails(path, "damaged .npz", "d.npz")
    path.write_bytes(whole)
    fails(path, "not images", image_size=8)
    monkeypatch.setattr(arrays, "MEMORY_LIMIT", 60 * 20 * 4 - 1)
    fails(path, "does not fit", "(60, 20)")


def test_unknown_and_missing(tmp_path):
    fails("cifar", "unknown data set: cifar", "digits, mnist, fashion-mnist, cifar10, cifar100", "cifar10")
    fails("minst", "unknown data set", "mnist")
    fails(tmp_path / "no" / "folder", "no such file or folder", "folder")
    fails(tmp_path / "data.npz", "no such file or folder", "data.npz")
    (tmp_path / "data.csv").write_text("1,2")
    fails(tmp_path / "data.csv", "not a data set", ".npz")


USER = """
import numpy as np, torch
from torch.utils.data import Dataset, TensorDataset
x, y = torch.rand(12, 3), torch.arange(12) % 3
class Rows(Dataset):
    classes = ["a", "b", "c"]
    def __len__(self): return 12
    def __getitem__(self, i):
        if not 0 <= i < 12: raise IndexError(i)
        return np.full((4, 4), 255 if i else 0, np.uint8), int(y[i])
class Ragged(Rows):
    def __getitem__(self, i): return torch.zeros(2 + (i == 5)), 0
class Single(Rows):
    def __getitem__(self, i): return torch.zeros(2)
class Broken(Rows):
    def __getitem__(self, i): raise OSError("disk on fire")
def pairs():
    print("hello")
    return {"train": (x, y), "valid": (x.numpy(), y.numpy()), "test": None}
def rows(): return {"train": Rows(), "test": TensorDataset(torch.zeros(3, 4, 4, dtype=torch.uint8), y[:3])}
def two(): return {"train": [(torch.zeros(2), 0), (torch.ones(2), 1)]}
def ragged(): return {"train": Ragged()}
def single(): return {"train": Single()}
def broken(): return {"train": Broken()}
def stream(): return {"train": iter([])}
def late(): return {"test": (x, y)}
def typo(): return {"train": (x, y), "validation": (x, y)}
def bare(): return x, y
def needy(path): return {}
def fire(): raise RuntimeError("smoke")
number = 3
"""

LINES = {text: f"data.py:{USER[: USER.index(text)].count(chr(10)) + 1}" for text in ("disk on fire", "smoke")}


@pytest.fixture
def user(tmp_path):
    path = tmp_path / "data.py"
    path.write_text(USER)
    return path


def test_user_data_is_read(user, capsys):
    data = open_dataset(f"{user}:pairs")
    assert capsys.readouterr().out == ""
    assert data.train.x.shape == (12, 3)
    assert len(data.valid) == 12
    assert data.test is None
    assert data.fingerprint == open_dataset(f"{user}:pairs").fingerprint  # seeded: torch.rand repeats itself
    data = open_dataset(f"{user}:rows")
    assert data.train.x.shape == (12, 1, 4, 4)
    assert data.train.x[:2].amax((1, 2, 3)).tolist() == [0, 1]
    assert data.test.x.shape == (3, 1, 4, 4)
    assert data.classes == ("a", "b", "c")
    assert open_dataset(f"{user}:two").train.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("ragged", ["example 5", "(2,)", "(3,)"]),
        ("single", ["example 0 is not an (input, label) pair"]),
        ("broken", ["disk on fire", LINES["disk on fire"]]),
        ("stream", ["neither a data set"]),
        ("late", ["there is no 'train'"]),
        ("typo", ["unknown part 'validation'"]),
        ("bare", ["not a dict of parts", "tuple"]),
        ("needy", ["needs arguments: path"]),
        ("fire", ["RuntimeError: smoke", LINES["smoke"]]),
        ("pears", ["'pears'", "data.py:pairs"]),
        ("number", ["not callable"]),
        ("", ["which function"]),
    ],
)
def test_user_data_error_names_the_culprit(user, name, texts):
    fails(f"{user}:{name}", *texts)


def test_user_file_errors(user):
    fails(user, "which function")
    fails(user.with_name("dat.py"), "no such file: dat.py")
    user.write_text("def f(:\n")
    fails(f"{user}:f", "syntax error", "data.py:1")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


# pooch leaves the response of a failed download open; it is collected here, where the warning is expected.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_download_is_checked_by_hash(server, tmp_path, monkeypatch):
    folder, url = server
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    write_idx(folder)
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in FILES}
    monkeypatch.setitem(downloads.OFFICIAL, "mnist", downloads.OfficialFiles(url=url, md5=md5))
    data = open_dataset("mnist")
    assert len(data.train) == 30
    for name in FILES:
        (folder / name).unlink()
    assert open_dataset("mnist").fingerprint == data.fingerprint  # from the cache
    (tmp_path / "cache" / "depthprobe" / "mnist" / FILES[0]).unlink()
    fails("mnist", url + FILES[0], "404", "--data-dir")
    (folder / FILES[0]).write_bytes(b"tampered")
    fails("mnist", url + FILES[0], "hash", "--data-dir")
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_unreachable_host_names_the_url(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    official = downloads.OfficialFiles(url="http://127.0.0.1:9/", md5={FILES[0]: "0" * 32})
    monkeypatch.setitem(downloads.OFFICIAL, "cifar10", official)
    fails("cifar10", "cannot download cifar10", "http://127.0.0.1:9/" + FILES[0], "--data-dir")
    gc.collect()


def test_data_dir_never_downloads(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", lambda *args, **options: pytest.fail("went to the network"))
    fails("mnist", "missing", data_dir=tmp_path)
    fails("cifar100", "missing", data_dir=tmp_path)


def prepare(shared_data, folder, part):
    script = shared_data / "prepare.py"
    subprocess.run([sys.executable, str(script), str(folder), part], check=True, stdout=subprocess.DEVNULL)
    return folder


def test_real_mnist(shared_data, tmp_path):
    data = open_dataset("mnist", data_dir=prepare(shared_data, tmp_path, "mnist"), limit_train=1000)
    assert len(data.train) == 1000
    assert data.test.x.shape == (10_000, 1, 28, 28)
    assert torch.bincount(data.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.slow
def test_real_cifar10(shared_data, tmp_path):
    data = open_dataset("cifar10", data_dir=prepare(shared_data, tmp_path, "cifar10"))
    assert data.train.x.shape == (50_000, 3, 32, 32)
    assert data.test.x.shape == (10_000, 3, 32, 32)
    assert data.classes[0] == "airplane"
    assert torch.bincount(data.train.y).tolist() == [5000] * 10


def test_archive_members_are_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / CIFAR10.archive, "w:gz") as tar:
        for name in ("../../evil.bin", *CIFAR10.train, *CIFAR10.test):
            info = tarfile.TarInfo(name)
            rows = np.zeros((10, 3073), np.uint8)
            rows[:, 0] = range(10)
            info.size = rows.size
            tar.addfile(info, io.BytesIO(rows.tobytes()))
    assert len(open_dataset("cifar10", data_dir=tmp_path).train) == 50
    assert [path.name for path in tmp_path.iterdir()] == [CIFAR10.archive]
