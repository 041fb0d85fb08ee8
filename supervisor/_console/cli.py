"""SHOW: the command line: ``supervisor run TREE`` and ``supervisor check TREE``.

Exit codes of ``run``: 0 stopped, 1 a supervisor gave up, 2 the command or the tree is wrong and
nothing was started, 70 something did not end by its deadline. Of ``check``: 0 fine, at most with
warnings; 1 the tree is wrong; 2 the command is wrong or there is no tree to look at; 141 whoever
read the answer has gone.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, TextIO

from msgspec.structs import asdict, replace

from supervisor._console.target import CannotRead, read
from supervisor._errors import Problem
from supervisor._record.log import JsonFormatter, LineFormatter
from supervisor._record.wording import count
from supervisor._runtime.context import ContextFilter
from supervisor._runtime.run import Backend, Watch, run_tree
from supervisor._spec.tree import Supervisor

FINE: Final = 0
WRONG: Final = 1
USAGE: Final = 2
NOBODY_READS: Final = 141
"""What a shell reports of a command that SIGPIPE has ended: 128 and the number of the signal."""

DISTRIBUTION: Final = "anyio-supervisor"
LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (by default that of the process) and answer its exit code."""
    _open_missing_streams()
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except CannotRead as error:
        _say(str(error))
        return USAGE


def _open_missing_streams() -> None:
    """Where the process was started without standard output or error, write to nobody.

    For Python ``print`` to a missing standard error goes to standard output, and the next file or
    socket that is opened would get the missing one's number.
    """
    if sys.stdout is None:
        sys.stdout = _nobody()
    if sys.stderr is None:
        sys.stderr = _nobody()


def _nobody() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="supervisor", description="Keep trees of async services up."
    )
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_check(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a tree until it is stopped (SIGINT, SIGTERM; a second one stops it at once)",
        epilog="Exit codes: 0 stopped; 1 a supervisor gave up; 2 the command or the tree is wrong, "
        "nothing was started; 70 something did not end by its deadline.",
    )
    _add_target(run)
    run.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    run.add_argument("--uvloop", action="store_true", help="run asyncio on uvloop")
    run.add_argument(
        "--log-level", type=str.lower, choices=LEVELS, default="info", metavar="|".join(LEVELS)
    )
    run.add_argument("--log-json", action="store_true", help="log one JSON object a line")
    run.add_argument(
        "--stop-within",
        type=_seconds,
        default=25.0,
        metavar="S",
        help="seconds that an ordered stop may take in all (25)",
    )
    run.set_defaults(command=_run)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser(
        "check",
        help="find everything that is wrong with a tree, and start nothing",
        epilog="Exit codes: 0 fine, at most with warnings; 1 the tree is wrong; 2 the command is "
        "wrong, or there is no tree to look at.",
    )
    _add_target(check)
    check.add_argument("--json", action="store_true", help="answer with one JSON object")
    check.set_defaults(command=_check)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "target", metavar="TREE", help="a .toml or .json file, or module:attribute"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _check(options: argparse.Namespace) -> int:
    tree, problems = read(options.target)
    problems = [*problems, *_namesake()]
    errors = _errors(problems)
    children = sum(1 for _ in _below(tree)) if tree is not None else None
    try:
        if options.json:
            found = {"children": children, "problems": list(map(asdict, problems))}
            print(json.dumps({"target": options.target, "fine": not errors, **found}))
        else:
            _print_problems(problems, sys.stdout)
            _say(_summary(options.target, errors, problems, children))
        sys.stdout.flush()
    except BrokenPipeError:
        _print_to_nobody()
        return NOBODY_READS
    return WRONG if errors else FINE


def _print_to_nobody() -> None:
    """Keep what is still buffered from failing at the exit, as Python's documentation advises."""
    with _nobody() as nobody:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nobody.fileno(), stream.fileno())


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level == "error"]


def _print_problems(problems: Iterable[Problem], file: IO[str]) -> None:
    for problem in problems:
        if problem.level == "warning":
            problem = replace(problem, what=f"warning: {problem.what}")  # noqa: PLW2901
        print(problem, file=file)


def _summary(
    target: str, errors: Sequence[Problem], problems: Sequence[Problem], children: int | None
) -> str:
    warnings = len(problems) - len(errors)
    parts = [count(len(errors), "error")] if errors else ["fine"]
    if warnings:
        parts.append(count(warnings, "warning"))
    if children is not None and not errors:
        parts.append(count(children, "child"))
    return f"{target}: {', '.join(parts)}"


def _below(tree: Supervisor) -> Iterable[object]:
    for child in tree.children:
        yield from [child] * child.copies
        if isinstance(child, Supervisor):
            yield from _below(child)


def _namesake() -> Iterable[Problem]:
    """supervisord installs its files into a package of our name; which of the two wins is luck."""
    try:
        version = metadata.version("supervisor")
    except metadata.PackageNotFoundError:
        return
    yield Problem(
        "supervisor",
        f"the distribution supervisor {version} (supervisord) is installed into the same package",
        f"keep it and {DISTRIBUTION} in separate environments",
        level="warning",
    )


def _run(options: argparse.Namespace) -> int:
    missing = _missing(options.backend, options.uvloop)
    if missing:
        _say(missing)
        return USAGE
    # First, so that what the tree's own modules log on import is shown as well.
    watch = _log(options.log_level, as_json=options.log_json)
    tree, problems = read(options.target)
    errors = _errors(problems)  # warnings are logged by the tree itself
    if tree is None or errors:
        _print_problems(errors, sys.stderr)
        _say(f"{options.target}: nothing was started")
        return USAGE
    return run_tree(
        tree,
        backend=options.backend,
        uvloop=options.uvloop,
        stop_within=options.stop_within,
        watch=watch,
    )


def _missing(backend: Backend, uvloop: bool) -> str:
    """What is in the way of running on this backend; empty if nothing."""
    if uvloop and backend != "asyncio":
        return f"--uvloop is for asyncio, not for --backend {backend}"
    needed = "uvloop" if uvloop else backend
    if find_spec(needed) is None:
        return f"{needed} is not installed: pip install '{DISTRIBUTION}[{needed}]'"
    return ""


def _log(level: str, *, as_json: bool) -> Watch | None:
    """Send all log records to the terminal or the pipe; on a terminal, answer with a live view."""
    handler, watch = _handler(as_json)
    handler.addFilter(ContextFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    return watch


def _handler(as_json: bool) -> tuple[logging.Handler, Watch | None]:
    terminal = _is_terminal(sys.stderr)
    if terminal and _is_terminal(sys.stdout) and not as_json:
        try:
            from rich.console import Console

            from supervisor._console.live import LiveHandler
        except ModuleNotFoundError:
            _say(f"for a live view of the tree: pip install '{DISTRIBUTION}[cli]'")
        else:
            live = LiveHandler(Console())
            return live, live.watch
    lines = logging.StreamHandler(sys.stderr)
    coloured = terminal and "NO_COLOR" not in os.environ
    lines.setFormatter(JsonFormatter() if as_json else LineFormatter(coloured=coloured))
    return lines, None


def _is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _say(text: str) -> None:
    print(f"supervisor: {text}", file=sys.stderr)
