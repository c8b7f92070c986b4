"""The app, and how errors leave it: a few lines on stderr and an exit code, never a traceback."""

import contextlib
import os
import sys
import traceback

import typer
from typer.exceptions import Abort, TyperException

from depthprobe import __version__
from depthprobe.cli import doctor, export, ext, grow, inspect, report, resume, shrink, train, tune, width, worker
from depthprobe.cli.saying import answering, forget, say
from depthprobe.cli.signals import interrupted_by_signals
from depthprobe.errors import DepthprobeError

INTERRUPTED = 130
VERBS = ("grow", "shrink", "width", "tune", "worker", "inspect", "train", "report", "export", "resume", "doctor", "ext")
RUNS = ("grow", "shrink", "width", "tune", "worker", "train", "resume")

app = typer.Typer(
    name="depthprobe",
    help="How deep and how wide should my network be? One probe run, a curve, an interval and one sentence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("grow")(grow.grow)
app.command("shrink")(shrink.shrink)
app.command("width")(width.width)
app.command("tune")(tune.tune)
app.command("worker")(worker.worker)
app.command("inspect")(inspect.inspect)
app.command("train")(train.train)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("resume")(resume.resume)
app.command("doctor")(doctor.doctor)
app.add_typer(ext.app, name="ext")


def _version(asked: bool) -> None:
    if asked:
        print(f"depthprobe {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Options before the verb."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the console script. Exit codes: 0 answered, 2 bad input, 3 run failed, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    # --debug may stand anywhere; the app itself knows it before the verb only.
    words = [word for word in words if word != "--debug"]
    with interrupted_by_signals():
        code = _run(words, debug)
    sys.exit(code)


def _run(words: list[str], debug: bool) -> int:
    code = 0
    try:
        # `depthprobe inspect ... | head` has answered; a run that cannot speak is another matter, see `watch`.
        with contextlib.nullcontext() if words[:1] and words[0] in RUNS and "--help" not in words else answering():
            code = app(words, prog_name="depthprobe", standalone_mode=False)
            sys.stdout.flush()
    except DepthprobeError as error:
        return _complain(error.render(), error.exit_code, debug)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED  # the run has said how to go on
    except TyperException as error:
        verb = words[0] + " " if words and words[0] in VERBS else ""
        hint = f"\n  {'try:':<10}depthprobe {verb}--help"
        return _complain(error.format_message() + hint if error.format_message() else "", error.exit_code, debug)
    except OSError as error:
        if error.filename is None:
            forget(sys.stdout)
        facts = DepthprobeError(
            "a file cannot be read or written", where=error.filename and str(error.filename), found=error.strerror
        )
        return _complain(facts.render(), facts.exit_code, debug)
    except Exception as error:  # noqa: BLE001  (a bug of ours: say so in one line, --debug shows it)
        if debug:
            traceback.print_exc()
        text = " ".join(str(error).split())[:300]
        return _complain(
            f"unexpected {type(error).__name__}: {text}\n  {'try:':<10}the same command with --debug, and report it",
            3,
            False,
        )
    return code if isinstance(code, int) else 0


def _complain(text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if text and _may_speak():
        say(f"error: {text}")
    return code


def _may_speak() -> bool:
    """Of several processes that train together, one says what went wrong."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return True
    from depthprobe.probes.together import may_speak

    return may_speak()
