"""Counts what is alive in this process: tasks, threads, file descriptors, child processes."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import anyio
import psutil

Census: TypeAlias = Mapping[object, str]
"""What is alive: a key that is never used twice, and a line about it."""

CERTAINTY = 0.1
"""Real seconds after which a thread that was given a job no longer looks idle."""

# anyio's plugin enters and leaves an async fixture in one task of this name each, on asyncio.
_RUNNER = {"TestRunner._call_in_runner_task"}


def tasks() -> Census:
    """The tasks of the running event loop; none where none runs."""
    try:
        running = anyio.get_running_tasks()
    except RuntimeError:
        return {}
    # A task's id can be used again once it is gone; its coroutine, held here, cannot.
    return {
        task.coro: f"task {task.name!r}, at {_where(task.coro)}"
        for task in running
        if getattr(task.coro, "__qualname__", "") not in _RUNNER
    }


def _where(coro: Any) -> str:
    """The innermost frame, of those of the user's code if there are any."""
    frames: list[FrameType] = []
    while coro is not None:
        if frame := getattr(coro, "cr_frame", None):
            frames.append(frame)
        # Of a coroutine that is running, Python 3.12 reads at random what it awaits, and crashes.
        coro = coro.cr_await if getattr(coro, "cr_suspended", False) else None
    if not frames:
        return "its end"
    frame = next((frame for frame in reversed(frames) if _is_users(frame)), frames[-1])
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _is_users(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).split(".")[0] not in {"anyio", "asyncio", "trio"}


def system() -> Census:
    """What the operating system knows of this process: threads, descriptors, child processes."""
    return {**threads(), **descriptors(), **processes()}


def threads() -> Census:
    """The threads that do something; those of a pool that wait for work are left out."""
    frames = sys._current_frames()
    return {
        thread: f"thread {thread.name!r}"
        for thread in threading.enumerate()
        if not _waits_for_work(frames.get(thread.ident or 0))
    }


def busy_threads() -> bool:
    """Whether any thread but this one does something."""
    return any(thread is not threading.current_thread() for thread in threads())


def _waits_for_work(frame: FrameType | None) -> bool:
    # The pools keep their threads for some seconds. What tells an idle one from a busy one without
    # touching the pool's own state is which function it is in, below those of ``threading``.
    while frame is not None and frame.f_globals.get("__name__") == "threading":
        frame = frame.f_back
    if frame is None:
        return False
    if _function(frame) == ("queue", "get") and frame.f_back is not None:
        return _function(frame.f_back) == ("anyio._backends._asyncio", "run")
    return _function(frame) in {
        ("trio._core._thread_cache", "_work"),
        ("concurrent.futures.thread", "_worker"),
    }


def _function(frame: FrameType) -> tuple[object, str]:
    return frame.f_globals.get("__name__"), frame.f_code.co_name


def descriptors() -> Census:
    return {("fd", *found): f"file descriptor {found[0]}: {found[1]}" for found in _open()}


def sockets_of_loop() -> Census:
    """The descriptors that the running event loop made for itself, among them the pair of sockets
    that uvloop makes anew for each of its runs.

    They are those it refers to directly; what it does for others, it keeps in collections.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return {}
    held = {str(it.fileno()) for it in gc.get_referents(loop) if isinstance(it, socket.socket)}
    return {("fd", *found): "the loop's own" for found in _open() if found[0] in held}


def _open() -> Iterator[tuple[str, str]]:
    folder = Path("/proc/self/fd")
    for link in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # that of the listing itself is closed by now
            target = os.readlink(link)  # noqa: PTH115 - "socket:[123]" is no path
            if target != os.devnull:  # uvloop opens that one when first needed, and keeps it
                yield link.name, target


def processes() -> Census:
    return {
        process: f"process {process.pid}: {_command(process)}"
        for process in psutil.Process().children(recursive=True)
    }


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or f"{process.name()} ({process.status()})"
    except psutil.Error:
        return "has ended"
