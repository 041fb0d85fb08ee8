"""Own a process: signals, the total deadline of the stop, and the exit code."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, TypeAlias

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from supervisor._core.view import paths_alive
from supervisor._errors import TreeFailed
from supervisor._happenings import Event, StopBegun
from supervisor._record.log import LineFormatter
from supervisor._record.prose import account
from supervisor._runtime.clock import machine
from supervisor._runtime.context import ContextFilter
from supervisor._runtime.host import open_supervisor, refuse_invalid
from supervisor._runtime.loop import Exit, new_loop
from supervisor._runtime.tree import Tree
from supervisor._spec.tree import Supervisor

Backend: TypeAlias = Literal["asyncio", "trio"]
Watch: TypeAlias = Callable[[Tree], Coroutine[Any, Any, None]]

STOPPED: Final = 0
ESCALATED: Final = 1
STUCK: Final = 70

AT_ONCE: Final = 1.0
"""Seconds that everything has to end after a second signal."""

GRACE: Final = 0.5
"""Seconds that the event loop has after the total deadline to notice it itself."""

BY_SIGNAL: Final = "a signal asked for it"
BY_EXIT: Final = "a task wants the process to end"

LAST_WORDS: Final = 2.0
"""Seconds that the process has to flush its logs before it is left with exit code 70."""

log = logging.getLogger("supervisor")


def run(
    tree: Supervisor,
    *,
    backend: Backend = "asyncio",
    uvloop: bool = False,
    stop_within: float = 25,
) -> None:
    """Run a tree as the program that it is, until it has stopped.

    Owns the process: the first SIGINT or SIGTERM stops the tree in order, the second at once. If
    nothing is set up to handle log records, they go to standard error as lines for a person.
    Returns when the tree has stopped, and leaves the process otherwise: with exit code 1 when the
    tree failed, after one account of why in the log; with 70 when something was stuck at the
    deadline, after its stack.

    Args:
        tree: the declared tree.
        backend: ``asyncio`` or ``trio``.
        uvloop: whether asyncio runs on uvloop, which has to be installed.
        stop_within: seconds that the whole stop may take.

    Raises:
        TreeInvalid: the declaration is wrong; nothing was started.
        ValueError: uvloop is asked for with trio.
        SystemExit: with code 1, or with a child's own code if it raised SystemExit.
    """
    code = run_tree(tree, backend=backend, uvloop=uvloop, stop_within=stop_within)
    if code:
        raise SystemExit(code)


def run_tree(
    tree: Supervisor,
    *,
    backend: Backend = "asyncio",
    uvloop: bool = False,
    stop_within: float = 25,
    watch: Watch | None = None,
) -> int:
    """:func:`run`, with the exit code as its result, and something that watches the tree."""
    if uvloop and backend != "asyncio":
        raise ValueError(f"uvloop is an event loop for asyncio, not for {backend}")
    refuse_invalid(tree)
    _log_somewhere()
    warden = _Warden(stop_within)
    options: dict[str, Any] = {}
    if backend == "asyncio":
        options["loop_factory"] = partial(new_loop, uvloop=uvloop, on_exit=warden.on_exit)
    threads = set(threading.enumerate())
    with warden:
        try:
            failure = anyio.run(
                _main, tree, stop_within, warden, watch, backend=backend, backend_options=options
            )
            return _exit_code(failure, warden.exit)
        except BaseExceptionGroup as group:  # out of what watches the tree
            raise _of_the_process(group) from None
        finally:
            _join(threads)


def _exit_code(failure: BaseException | None, wanted: Exit | None) -> int:
    """What the process ends with, after an account of why; raises what a child, or a task that
    wants the process to end, has raised for it."""
    if isinstance(failure, TreeFailed):  # before anybody wanted something: a tree that stops cannot
        log.critical("%s", account(failure))
        return ESCALATED
    if cause := wanted or failure:
        raise _of_the_process(cause)
    return STOPPED


def _of_the_process(failure: BaseException) -> BaseException:
    """The exception by which a child wants the process to end, if it is among a group's leaves."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    for kind in (SystemExit, KeyboardInterrupt):
        at: BaseException | None = failure.subgroup(kind)
        while isinstance(at, BaseExceptionGroup):
            at = at.exceptions[0]
        if at is not None:
            return at
    return failure


def _join(before: set[threading.Thread]) -> None:
    """Wait for the threads that the tree has left behind, as the interpreter will: while the warden
    is still on its watch."""
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join()


async def _main(
    tree: Supervisor, stop_within: float, warden: _Warden, watch: Watch | None
) -> BaseException | None:
    """Run the tree; with what it ended. Not raised here: asyncio would leave its loop at once."""
    failure: BaseException | None = None
    async with anyio.create_task_group() as helpers:

        def on_open(running: Tree) -> None:
            warden.guard(running, current_token())
            if watch is not None:
                helpers.start_soon(watch, running)

        host = open_supervisor(tree, stop_within=stop_within)
        host._on_open = on_open
        try:
            async with host as running:
                await running.wait_stopped()
        except (Exception, BaseExceptionGroup, KeyboardInterrupt, SystemExit) as exc:
            failure = exc
        helpers.cancel_scope.cancel()
    return failure


def _log_somewhere() -> None:
    """Have records written to standard error, the children's own with path and life, unless
    somebody has decided where they go."""
    root = logging.getLogger()
    if root.handlers or log.handlers:
        return
    if sys.stderr is None:  # closed by whoever started us
        root.addHandler(logging.NullHandler())
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(coloured=sys.stderr.isatty()))
    handler.addFilter(ContextFilter())
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class _Warden:
    """A thread that sleeps until a signal comes, a task wants the process to end, or the tree begins
    to stop, and then sees to it that the process ends in time, even when the event loop is blocked.

    The handler only puts a word into a queue, which may be done in the middle of anything.
    """

    def __init__(self, stop_within: float) -> None:
        self._stop_within = stop_within
        self._queue: SimpleQueue[str] = SimpleQueue()
        self._handlers = _handled(self._queue)
        self._signals = 0
        self._running: tuple[Tree, EventLoopToken] | None = None
        self.exit: Exit | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor warden", daemon=True)

    def __enter__(self) -> None:
        self._handlers.__enter__()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._queue.put("over")
        self._thread.join()
        self._handlers.__exit__(None, None, None)

    def guard(self, tree: Tree, token: EventLoopToken) -> None:
        self._running = (tree, token)
        if self._signals:  # it came before there was anything to stop
            tree._runtime.stop(BY_SIGNAL)
        tree._runtime.bus.sinks.append(self._see)
        if tree._runtime.root.node.closing:
            self._queue.put("stopping")

    def on_exit(self, exc: Exit) -> None:
        """A task has raised what asyncio leaves its loop for: the tree stops in order instead."""
        if self.exit is None:  # what raises at each turn of the loop is one word all the same
            self.exit = exc
            self._queue.put("exit")

    def _see(self, event: Event) -> None:
        if type(event) is StopBegun and self._running and event.path == self._running[0].name:
            self._queue.put("stopping")

    def _watch(self) -> None:
        word = self._queue.get()
        if word == "over":
            return
        deadline = machine() + self._stop_within + GRACE
        while word != "over":
            if word == "signal":
                self._signals += 1
                self._pass_on(BY_SIGNAL, at_once=self._signals > 1)
                if self._signals > 1:
                    deadline = min(deadline, machine() + AT_ONCE + GRACE)
            elif word == "exit":
                self._pass_on(BY_EXIT)
            try:
                word = self._queue.get(timeout=max(0.0, deadline - machine()))
            except Empty:
                self._leave()

    def _pass_on(self, reason: str, *, at_once: bool = False) -> None:
        if self._running is None:
            return
        tree, token = self._running

        def stop() -> None:
            if at_once:
                tree._runtime.stop_at_once(AT_ONCE)
            else:
                tree._runtime.stop(reason)

        # In a thread of its own: a blocked event loop must not keep the warden from its watch.
        threading.Thread(target=_call, args=(stop, token), daemon=True).start()

    def _leave(self) -> None:
        # What is blocked may hold the lock of a log handler, or be the reader of our standard
        # error: neither may keep the process.
        words = threading.Thread(target=self._last_words, daemon=True)
        words.start()
        words.join(LAST_WORDS)
        os._exit(STUCK)

    def _last_words(self) -> None:
        alive = list(paths_alive(self._running[0]._runtime.root.node)) if self._running else []
        alive += [f"thread {t.name!r}" for t in threading.enumerate() if _keeps_us(t)]
        log.critical(
            "%s did not end by the total stop deadline; leaving with exit code %d",
            ", ".join(alive) or "something",
            STUCK,
        )
        logging.shutdown()
        sys.stdout.flush()
        faulthandler.dump_traceback(all_threads=True)


def _keeps_us(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()


def _call(stop: Callable[[], None], token: EventLoopToken) -> None:
    with suppress(RuntimeError):  # the event loop has just ended
        from_thread.run_sync(stop, token=token)


@contextmanager
def _handled(queue: SimpleQueue[str]) -> Iterator[None]:
    """Put a word into the queue for each SIGINT and SIGTERM, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        queue.put("signal")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
