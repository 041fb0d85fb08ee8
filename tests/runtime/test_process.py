"""What a program sees that run() owns: exit codes, left-over threads, wrong options."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from supervisor import Component, Supervisor, run
from supervisor.testing import Hanging

ROOT = Path(__file__).parents[2]
BACKENDS = ("asyncio", "trio")
LOOPS = ("backend='asyncio'", "backend='asyncio', uvloop=True", "backend='trio'")


def program(body: str, *, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a program whose tree is made by ``body``, which defines ``child``."""
    text = "import anyio, sys\nfrom supervisor import Component, Stop, Supervisor, run\n"
    text += textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


EXITS = """
async def slow(name):
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        print(name, "ended")

async def ends():
    sys.exit(7)

async def child():
    await anyio.sleep(0.05)
    %s

children = [Component(slow, args=("elder",)), Component(child), Component(slow, name="s", args=("younger",))]
run(Supervisor("t", children), %s)
"""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "raises",
    [
        "raise SystemExit(7)",
        "raise BaseExceptionGroup('two', [ValueError(), SystemExit(7)])",
        "async with anyio.create_task_group() as group: [group.start_soon(ends) for _ in range(2)]",
    ],
)
def test_the_exit_code_of_a_child_is_that_of_the_process(raises: str, loop: str) -> None:
    """Law 16, alone, in a group, and out of tasks of the child's own; in order each time."""
    done = program(EXITS % (raises, loop))
    assert done.returncode == 7
    assert done.stdout == "younger ended\nelder ended\n"
    assert "ForeignCancellation" not in done.stderr


@pytest.mark.parametrize("loop", LOOPS[:2])
def test_what_a_task_of_nobody_raises_ends_the_tree_in_order(loop: str) -> None:
    """asyncio would leave its loop at once."""
    raises = "import asyncio; task = asyncio.create_task(ends()); await anyio.sleep_forever()"
    done = program(EXITS % (raises, loop))
    assert done.returncode == 7
    assert done.stdout == "younger ended\nelder ended\n"
    assert "a task wants the process to end" in done.stderr


@pytest.mark.parametrize("loop", LOOPS[:2])
def test_what_is_raised_in_the_last_turn_of_the_loop_does_not_keep_it(loop: str) -> None:
    """A loop that is left by an exception forgets that it was told to stop."""
    raises = """
    import asyncio
    (main,) = (task for task in asyncio.all_tasks() if "_main" in task.get_name())
    main.add_done_callback(lambda main: sys.exit(8))
    task = asyncio.create_task(ends())
    await anyio.sleep_forever()
    """
    done = program(EXITS % (raises.strip(), f"{loop}, stop_within=5"))
    assert done.returncode == 7
    assert done.stdout == "younger ended\nelder ended\n"


def test_what_raises_at_every_turn_of_the_loop_does_not_keep_the_process() -> None:
    """Law 9: the warden is not kept from its watch by words that come without an end."""
    raises = """
    import asyncio
    def again():
        asyncio.get_running_loop().call_soon(again)
        sys.exit(7)
    asyncio.get_running_loop().call_soon(again)
    await anyio.sleep_forever()
    """
    done = program(EXITS % (raises.strip(), "stop_within=1"), seconds=10)
    assert done.returncode == 70
    assert done.stdout == "younger ended\nelder ended\n"


def test_who_wants_to_end_a_process_whose_tree_has_failed_does_not_hide_that() -> None:
    """Law 7: SystemExit(0) out of a task would be no account and a good exit code."""
    done = program(
        """
        import asyncio
        from supervisor import Intensity

        async def slow():
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.2)

        async def ends():
            await anyio.sleep(0.1)
            sys.exit(0)

        async def child():
            global task
            task = asyncio.create_task(ends())
            raise ValueError("the cause")

        children = [Component(slow), Component(child)]
        run(Supervisor("t", children, intensity=Intensity(0, 60)))
        """
    )
    assert done.returncode == 1
    assert re.search(r"CRITICAL.*t failed", done.stderr)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_exit_code_of_what_watches_the_tree_is_that_of_the_process(backend: str) -> None:
    done = program(
        f"""
        from supervisor._runtime.run import run_tree

        async def watch(tree):
            sys.exit(7)

        run_tree(Supervisor("t", [Component(anyio.sleep_forever)]), backend={backend!r}, watch=watch)
        """
    )
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


def test_a_thread_that_outlives_the_tree_does_not_keep_the_process() -> None:
    """Law 9: the program can still exit; asyncio's worker threads would keep it."""
    done = program(
        """
        import time
        from anyio import to_thread

        async def child():
            with anyio.move_on_after(0.1):
                await to_thread.run_sync(time.sleep, 60, abandon_on_cancel=True)
            raise SystemExit(3)

        run(Supervisor("t", [Component(child)]), stop_within=0.5)
        """
    )
    assert done.returncode == 70
    assert "thread" in done.stderr


def test_a_stuck_child_ends_the_process_with_70_and_its_stack() -> None:
    done = program(
        """
        async def child():
            while True:
                try:
                    await anyio.sleep_forever()
                except BaseException:
                    pass

        async def ends():
            await anyio.sleep(0.05)
            raise SystemExit(3)

        children = [Component(child, stop=Stop(deadline=0.1)), Component(ends)]
        run(Supervisor("t", children), stop_within=1.5)
        """
    )
    assert done.returncode == 70
    assert re.search(r"t/child life 1 did not end within .*: stuck in child", done.stderr)
    assert "t/child did not end by the total stop deadline" in done.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_blocked_event_loop_does_not_keep_the_process(backend: str) -> None:
    done = program(
        f"""
        import time

        async def child():
            try:
                await anyio.sleep_forever()
            finally:
                time.sleep(60)

        async def ends():
            await anyio.sleep(0.05)
            raise SystemExit(3)

        children = [Component(child), Component(ends)]
        run(Supervisor("t", children), backend={backend!r}, stop_within=0.5)
        """
    )
    assert done.returncode == 70
    assert "t/child did not end by the total stop deadline" in done.stderr
    assert "in child" in done.stderr


def test_uvloop_is_refused_on_trio() -> None:
    with pytest.raises(ValueError, match="not for trio"):
        run(Supervisor("t", [Component(Hanging())]), backend="trio", uvloop=True)
