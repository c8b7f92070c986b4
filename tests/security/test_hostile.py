"""Files made to do harm: nothing in them runs, nothing is unpacked to where they say, nothing fills the memory."""

import io
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import depthprobe as dp
from depthprobe.inputs.cifar import CIFAR10
from depthprobe.inputs.idx import FILES
from depthprobe.runs import RunFolder

GROW = ["grow", "net.py", "-d"]
SHRINK = ["--model", "net.py", "-d", "digits"]
OUT = ["--out", "n.py"]
EXECUTED = "executed"  # a file that appears when a trap worked
RED = "\x1b[31m\x1b]0;title\x07[/red]<b>"


class Trap:
    """Pickled, it makes a file when it is loaded."""

    def __reduce__(self):
        return (open, (EXECUTED, "w"))


def weights():
    return {"conv.weight": torch.ones(4, 1, 3, 3)}


def model_pt(place, **about):
    """A model.pt that says of itself what it likes."""
    said = {
        "schema": 1, "model": {"spec": str(place / "net.py"), "args": {}, "sha256": None},
        "data": {"spec": "digits", "data_dir": None, "limit_train": None, "image_size": None, "fingerprint": ""},
        "input": {"shape": [1, 8, 8], "below": None}, "recipe": '{"schema": 1, "edits": []}',
    }  # fmt: skip
    torch.save({"state_dict": weights(), "depthprobe": {**said, **about}}, place / "model.pt")


def model_named(spec, **args):
    return {"spec": spec, "args": {name: repr(value) for name, value in args.items()}, "sha256": None}


def archive(place, *members):
    """cifar-10-binary.tar.gz of (name, type, link or content)."""
    with tarfile.open(place / CIFAR10.archive, "w:gz") as tar:
        for name, kind, rest in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(rest)
                tar.addfile(info, io.BytesIO(rest))
            else:
                info.linkname = rest
                tar.addfile(info)


def safetensors(place, header, length=None):
    content = struct.pack("<Q", len(header) if length is None else length) + header
    (place / "bad.safetensors").write_bytes(content)


def npz(place, header, body=b"", *, length=None, compress=zipfile.ZIP_DEFLATED):
    start = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header) if length is None else length)
    with zipfile.ZipFile(place / "bad.npz", "w", compress) as file:
        file.writestr("x.npy", start + header + body)
        file.writestr("y.npy", start + header + body)


def images(place, content):
    for name in "ab":
        (place / "img" / name).mkdir(parents=True)
        (place / "img" / name / "0.png").write_bytes(content)


def png(width, height, extra=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


def pickled(place):
    (place / "bad.pt").write_bytes(pickle.dumps({"conv.weight": Trap()}, 2))


def zipped_trap(place):
    with zipfile.ZipFile(place / "bad.pt", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Trap(), 2))
        file.writestr("../../escaped", "x")
        file.writestr("/tmp/escaped-absolutely", "x")


def run_folder(place, text=None, **config):
    RunFolder.create(place / "run", "train", config, {}).close()
    if text is not None:
        (place / "run" / "config.json").write_text(text)


ROW = bytes([1]) + bytes(3072)
DEEP = "[" * 100_000 + "]" * 100_000
EVIL_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(executed) (w) file closefile\nshowpage\n"
DATA = {"spec": "digits", "data_dir": None, "limit_train": None, "image_size": None, "fingerprint": ""}
CONFIG = {"data": DATA, "train": {"steps": 20, "lr": 0.1}, "training": {}}
HOSTILE = {
    "a pickle that executes": (
        lambda p: torch.save({"w": Trap()}, p / "bad.pt"), [*GROW, "digits", "--checkpoint", "bad.pt"], "not executed",
    ),
    "an old pickle that executes": (pickled, [*GROW, "digits", "--checkpoint", "bad.pt"], "not executed"),
    "a zip with members outside": (zipped_trap, ["shrink", "bad.pt", *SHRINK], "bad.pt"),
    "a pickle as model.pt": (lambda p: torch.save(Trap(), p / "bad.pt"), ["export", "bad.pt", *OUT], "bad.pt"),
    "a pickle in a data set": (
        lambda p: np.savez(p / "bad.npz", x=np.array([Trap()] * 4, object), y=np.arange(4) % 2),
        [*GROW, "bad.npz"], "pickled",
    ),
    "a safetensors header of exabytes": (
        lambda p: safetensors(p, b"{}", 2**60), ["shrink", "bad.safetensors", *SHRINK], "damaged",
    ),
    "a safetensors header nested deep": (
        lambda p: safetensors(p, DEEP.encode()), ["shrink", "bad.safetensors", *SHRINK], "damaged",
    ),
    "safetensors that reach outside": (
        lambda p: safetensors(p, b'{"w": {"dtype": "F32", "shape": [4294967296], "data_offsets": [0, 17179869184]}}'),
        ["shrink", "bad.safetensors", *SHRINK], "damaged",
    ),
    "an npy header of terabytes": (
        lambda p: npz(p, b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 8)}\n"),
        [*GROW, "bad.npz"], "does not fit",
    ),
    "an npy header longer than its file": (lambda p: npz(p, b"{", length=2**32 - 1), [*GROW, "bad.npz"], "damaged"),
    "an npy header that computes": (
        lambda p: npz(p, b"{'descr': __import__('os').system('touch executed'), 'shape': (4, 4)}\n"),
        [*GROW, "bad.npz"], "damaged",
    ),
    "a zip bomb as data": (
        lambda p: npz(p, b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000000,)}\n", bytes(10**7)),
        [*GROW, "bad.npz"], "does not fit",
    ),
    "an archive with .. in it": (
        lambda p: archive(p, ("../../escaped", tarfile.REGTYPE, ROW), ("/escaped", tarfile.REGTYPE, ROW)),
        [*GROW, "cifar10", "--data-dir", "."], "missing file",
    ),
    "an archive of links": (
        lambda p: archive(
            p, *((name, kind, "/etc/passwd") for name, kind in zip(
                [*CIFAR10.train, *CIFAR10.test], [tarfile.SYMTYPE, tarfile.LNKTYPE] * 3, strict=True))
        ),
        [*GROW, "cifar10", "--data-dir", "."], "missing file",
    ),
    "an archive with a device": (
        lambda p: archive(p, ("data_batch_1.bin", tarfile.CHRTYPE, "")),
        [*GROW, "cifar10", "--data-dir", "."], "missing",
    ),
    "an archive that grows": (
        lambda p: archive(p, ("data_batch_1.bin", tarfile.REGTYPE, bytes(160_000_000))),
        [*GROW, "cifar10", "--data-dir", "."], "oversized",
    ),
    "IDX of petabytes": (
        lambda p: [(p / name).write_bytes(zlib.compress(b"", wbits=31) + zlib.compress(
            bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**15, 2**15), wbits=31)) for name in FILES],
        [*GROW, "mnist", "--data-dir", "."], "does not fit",
    ),
    "an image of gigapixels": (lambda p: images(p, png(60_000, 60_000)), [*GROW, "img"], "unreadable image"),
    "an image with a bomb beside its pixels": (
        lambda p: images(p, png(8, 8, _text_bomb())), [*GROW, "img"], "unreadable image",
    ),
    "PostScript called png": (lambda p: images(p, EVIL_EPS), [*GROW, "img"], "unreadable image"),
    "weights with names for the terminal": (
        lambda p: torch.save({RED: torch.ones(1)}, p / "bad.pt"), ["shrink", "bad.pt", *SHRINK], "\\x1b[31m",
    ),
    "a checkpoint that names a program": (
        lambda p: model_pt(p, model=model_named("subprocess:Popen", args=["touch", EXECUTED])),
        ["export", "model.pt", "--out", "n.py"], "only you may name",
    ),
    "a checkpoint that names a function of Python": (
        lambda p: model_pt(p, model=model_named("os:system", command=f"touch {EXECUTED}")),
        ["shrink", "model.pt"], "only you may name",
    ),
    "a checkpoint that names a compiler": (
        lambda p: model_pt(p, model=model_named("torch.utils.cpp_extension:load_inline", name="x", cpp_sources="x")),
        ["shrink", "model.pt"], "only you may name",
    ),
    "a run folder that names a program": (
        lambda p: run_folder(p, **CONFIG, model=model_named("subprocess:run", args=["touch", EXECUTED])),
        ["resume", "run"], "only you may name",
    ),
    "a run folder without settings": (lambda p: run_folder(p), ["resume", "run"], "config.json"),
    "a run folder of the wrong kinds": (
        lambda p: run_folder(p, **{**CONFIG, "data": 3}, model={"spec": "net.py"}), ["resume", "run"], "config.json",
    ),
    "a checkpoint with a recipe nested deep": (
        lambda p: model_pt(p, recipe=DEEP), ["export", "model.pt", "--out", "n.py"], "recipe",
    ),
    "a checkpoint with a recipe of a billion copies": (
        lambda p: model_pt(p, recipe=dp.recipe_to_json([dp.Duplicate(unit="0", copies=10**9)])),
        ["export", "model.pt", *OUT], "1,000,000,000 added units",
    ),
    "a checkpoint with a recipe of huge kernels": (
        lambda p: model_pt(p, recipe=dp.recipe_to_json([dp.Duplicate(unit="0", kernel=10**6)])),
        ["shrink", "model.pt"], "1,000,000",
    ),
    "a checkpoint with inputs of petabytes": (
        lambda p: model_pt(p, input={"shape": [10**6, 10**6], "below": None}),
        ["export", "model.pt", "--out", "n.py"], "does not fit",
    ),
    "a checkpoint that names what cannot be a file": (
        lambda p: model_pt(p, model=model_named("a\0.py")), ["export", "model.pt", *OUT], "cannot be of itself",
    ),
    "a checkpoint of the wrong kinds": (
        lambda p: model_pt(p, data=["digits"]), ["shrink", "model.pt"], "cannot be of itself",
    ),
    "a run folder nested deep": (lambda p: run_folder(p, DEEP), ["resume", "run"], "config.json"),
    "a config file nested deep (JSON)": (
        lambda p: (p / "deep.json").write_text('{"seeds": ' + DEEP + "}"), [*GROW, "digits", "--config", "deep.json"],
        "deep.json",
    ),
    "a config file nested deep (TOML)": (
        lambda p: (p / "deep.toml").write_text("seeds = " + DEEP), [*GROW, "digits", "--config", "deep.toml"],
        "deep.toml",
    ),
    "a config file in YAML that constructs": (
        lambda p: (p / "evil.yaml").write_text(f"seeds: !!python/object/apply:os.system ['touch {EXECUTED}']"),
        [*GROW, "digits", "--config", "evil.yaml"], "evil.yaml",
    ),
    "arguments that compute": (
        lambda p: None,
        [*GROW, "digits", "--model-args", f"width=__import__('os').system('touch {EXECUTED}')"], "net.py",
    ),
    "a data set named for the terminal": (lambda p: None, ["grow", "net.py", "-d", RED], "\\x1b[31m"),
    "a model named for the terminal": (lambda p: None, ["grow", f"{RED}.py", "-d", "digits"], "\\x1b[31m"),
}  # fmt: skip


def _text_bomb():
    data = b"k\0\0" + zlib.compress(bytes(80_000_000))
    return struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))


def test_there_are_enough():
    assert len(HOSTILE) >= 20


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_happens(case, place, refused):
    build, words, culprit = HOSTILE[case]
    build(place)
    refused(words, culprit)
    assert not (place / EXECUTED).exists()
    assert not [path for path in (place.parent / "escaped", place.parent.parent / "escaped") if path.exists()]
    assert not Path("/tmp/escaped-absolutely").exists()


PROCESSES = ["a pickle that executes", "an archive with .. in it", "a checkpoint that names a program"]


@pytest.mark.parametrize("case", PROCESSES)
def test_nothing_happens_in_a_process_of_its_own_either(case, place):
    build, words, culprit = HOSTILE[case]
    build(place)
    before = sorted(place.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "depthprobe", *words], cwd=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert culprit in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(place.rglob("*")) == before


def test_an_honest_image_is_still_read(place):
    from depthprobe.inputs import open_dataset

    for name in "ab":
        (place / "img" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(place / "img" / name / "0.png")
        Image.new("L", (4, 4)).save(place / "img" / name / "1.jpg")
    assert len(open_dataset("img").train) == 4
