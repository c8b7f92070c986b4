"""A byte of a run folder changes, or a file ends early: the same result in the end, or an error; never another one."""

import random
import shutil

import pytest
import torch

from depthprobe.errors import ModelError, RunFolderError
from depthprobe.inputs.weights import read_weights
from depthprobe.runs import RunFolder

NEWEST = ("checkpoints/00000002.pt", "checkpoints/00000002.json")
KEPT = ("checkpoints/candidates/0.pt", "checkpoints/candidates/1.pt")
WHOLE = ("config.json", "records.jsonl")  # there is one of each: damage is an error


def damages(content):
    """Every way in which a file is spoilt: (what, the spoilt content)."""
    dice = random.Random(7)
    yield from ((f"cut to {size}", content[:size]) for size in sorted({0, 1, len(content) // 2, len(content) - 2}))
    places = range(len(content)) if len(content) < 600 else dice.sample(range(len(content)), 120)
    for place in places:
        bit = 1 << dice.randrange(8)
        yield f"bit {bit} of byte {place}", content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    yield "zeros", bytes(len(content))
    yield "twice", content * 2


@pytest.mark.parametrize("name", [*NEWEST, *KEPT, *WHOLE])
def test_no_damage_gives_another_result(run, tmp_path, name, caplog, work):
    whole, content, outcomes = work.facts(run), (run / name).read_bytes(), {}
    for what, spoilt in damages(content):
        if spoilt == content:
            continue
        victim = tmp_path / "victim"
        shutil.copytree(run, victim)
        (victim / name).write_bytes(spoilt)
        caplog.clear()
        try:
            with RunFolder.open(victim, write=True) as folder:
                done = work.go_on(folder)
            assert work.facts(victim) == whole, what
            outcomes[what] = "trained again" if done else "unharmed"
            assert done == [] or "damaged" in caplog.text, what
        except RunFolderError as error:
            outcomes[what] = "refused" if error.hint else "refused without a word on what to type"
        shutil.rmtree(victim)
    kinds = set(outcomes.values())
    print({kind: list(outcomes.values()).count(kind) for kind in kinds})
    if name in WHOLE:
        # What follows the records of the last checkpoint is cut off: appended bytes do no harm.
        assert {what for what, kind in outcomes.items() if kind == "unharmed"} <= {"twice"}
        assert "refused" in kinds
    else:
        assert "refused" not in kinds, "one file of a checkpoint was damaged, and the run was lost"
        assert "trained again" in kinds


def test_a_flipped_bit_in_model_pt_is_noticed(tmp_path):
    torch.save({"weight": torch.ones(500)}, tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    place = content.index(b"\0\0\x80?" * 20) + 41
    (tmp_path / "model.pt").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    assert not torch.equal(torch.load(tmp_path / "model.pt")["weight"], torch.ones(500)), "torch has begun to look"
    with pytest.raises(ModelError, match="damaged"):
        read_weights(tmp_path / "model.pt")
