"""Makes the runs and the pictures of docs/gallery.md.

Run: OMP_NUM_THREADS=1 python docs/gallery.py FOLDER     (about five minutes)

Needs Chromium. The commands are those of the page, typed in FOLDER with the examples beside them; what is there already
is not made again.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
PICTURES = DOCS / "gallery"
COLOURS = 256  # enough for flat drawings, and a quarter of the bytes
LARGEST = 150_000  # bytes of a picture
OPTIONS = ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", "allow-file-access-from-files")
_FRAME = '<!doctype html><body style="margin:0"><iframe src="{page}" style="border:0;width:{width}px;height:{end}px">'


@dataclass(frozen=True)
class Picture:
    """A stretch of a page. width: of the screen; top, end: of the stretch; all in CSS pixels."""

    name: str
    page: str
    width: int
    end: int
    top: int = 0
    dark: bool = False


SHOWN = (
    Picture("grow", "grown/report.html", 1280, 1700),
    Picture("grow-phone", "grown/report.html", 390, 2300),
    Picture("shrink", "shrunk/report.html", 1280, 1750),
    Picture("width", "narrow/report.html", 1280, 1620),
    Picture("width-costs", "narrow/report.html", 1280, 2330, top=1820, dark=True),
    Picture("compare", "compared.html", 1280, 1420),
)


def commands() -> list[str]:
    """What the page says was typed."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", (DOCS / "gallery.md").read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith("depthprobe ")]


def make_runs(folder: Path) -> None:
    """Type every command whose output is not there yet."""
    if not (folder / "examples").exists():
        shutil.copytree(DOCS.parent / "examples", folder / "examples")
    for line in commands():
        words = shlex.split(line)
        made = words[words.index("--out") + 1] if "--out" in words else None
        if made and not (folder / made).exists():
            subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True)


def take(picture: Picture, folder: Path) -> Path:
    """Take one picture, cut it, and write it with few colours."""
    with tempfile.TemporaryDirectory() as place:
        frame, shot = Path(place, "frame.html"), Path(place, "shot.png")
        page = (folder / picture.page).resolve().as_uri()
        frame.write_text(_FRAME.format(page=page, width=picture.width, end=picture.end))
        browser = shutil.which("chromium") or "chromium-browser"
        options = [f"--{word}" for word in OPTIONS]
        options += ["--blink-settings=preferredColorScheme=0"] if picture.dark else []
        size = f"--window-size={max(picture.width, 500)},{picture.end}"  # no window is narrower: the frame is
        wait = "--virtual-time-budget=10000"
        command = [browser, *options, size, wait, f"--screenshot={shot}", f"--user-data-dir={place}", frame.as_uri()]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": place})
        image = Image.open(shot).convert("RGB").crop((0, picture.top, picture.width, picture.end))
    path = PICTURES / f"{picture.name}.png"
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def main() -> None:
    """Everything; says how large each picture is."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(exist_ok=True)
    make_runs(folder)
    PICTURES.mkdir(exist_ok=True)
    for picture in SHOWN:
        path = take(picture, folder)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
