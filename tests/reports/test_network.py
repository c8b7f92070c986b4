"""The drawing of the network: every unit is in it, in order, with what happens to it, however long it is."""

from hypothesis import given
from hypothesis import strategies as st

from depthprobe.reports.boxes import Box, fold
from depthprobe.reports.network import SHOWN, channels, view_network
from depthprobe.reports.reading import read_run

BOXES = st.lists(
    st.builds(
        lambda kind, widths: Box(name="unit", kind=kind, before=widths[0], after=widths[1]),
        st.sampled_from(["conv", "residual"]),
        st.sampled_from([(16, 16), (32, 32), (0, 16), (16, 0), (32, 20)]),
    ),
    min_size=1,
    max_size=120,
)


@given(BOXES)
def test_folding_loses_no_unit_and_no_change(boxes):
    shown = fold(boxes, SHOWN)
    assert sum(box.times for box in shown) == len(boxes)
    for change in ("", "added", "removed", "narrowed"):
        units = [box for box in boxes if box.change == change]
        assert sum(box.times for box in shown if box.change == change) == len(units)
    assert max(max(box.before, box.after) for box in shown) == max(max(box.before, box.after) for box in boxes)
    if len(boxes) <= SHOWN:
        assert list(shown) == boxes


def test_a_long_network_folds_its_middle():
    boxes = [Box(name=f"stage.{i}", kind="conv", before=16 + i, after=16 + i) for i in range(100)]
    boxes[50:50] = [Box(name="copy of stage.49", kind="conv", before=0, after=65)] * 12
    shown = fold(boxes, SHOWN)
    assert len(shown) == 13
    assert [box.name for box in shown[:4]] == ["stage.0", "stage.1", "stage.2", "stage.3 to stage.47"]
    added = next(box for box in shown if box.change == "added")
    assert (added.times, added.name, added.width) == (12, "copy of stage.49", "65")
    assert shown[3].width == "19 to 63"


def test_equal_neighbours_share_a_box():
    boxes = [Box(name=f"{i}", kind="conv", before=16, after=16) for i in range(20)]
    (shown,) = fold(boxes, SHOWN)
    assert (shown.name, shown.times, shown.width) == ("0 to 19", 20, "16")


def test_copies_stand_behind_their_unit(finished):
    network = view_network(read_run(finished["full"]))
    drawn = [(box.name, box.change, box.after) for box in network.boxes]
    assert drawn == [
        ("0", "", 12),
        ("copy of 0", "added", 12),
        ("copy of 0", "added", 12),
        ("3", "", 16),
        ("copy of 3", "added", 16),
        ("7", "", 10),
    ]
    assert [box.name for box in network.before] == ["0", "3", "7"]
    assert network.summary == "3 units now; added: 2 x copy of 0, copy of 3."


def test_removed_units_keep_their_place(finished):
    run = read_run(finished["shrink"])
    network = view_network(run)
    assert [box.name for box in network.boxes] == [unit["name"] for unit in run.config["units"]]
    assert [box.name for box in network.boxes if box.change == "removed"] == run.recommendation["remove"]


def test_narrower_units_show_both_widths(finished):
    run = read_run(finished["width"])
    network = view_network(run)
    assert [box.width for box in network.boxes] == ["16 → 10"] * 3 + ["32 → 20"] * 3 + ["10"]
    assert [box.kind for box in network.boxes] == ["conv"] * 6 + ["linear"]


def test_a_run_that_does_not_say_its_units_has_no_drawing(golden):
    assert view_network(read_run(golden)) is None


def test_nothing_changes(make_run):
    units = [{"name": name, "kind": "conv", "out_shape": [8, 4, 4]} for name in "ab"]
    run = make_run(config={"units": units}, recommendation={"add": [], "verdict": "keep"})
    network = view_network(read_run(run))
    assert not network.changed
    assert network.summary == "2 units now; nothing changes."


def test_channels_of_images_vectors_and_tokens():
    assert [channels(shape) for shape in ([16, 8, 8], [10], [128, 64], [])] == [16, 10, 64, 1]
