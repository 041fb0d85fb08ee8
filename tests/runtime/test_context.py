"""Finding the running child and the running tree from wherever the caller stands."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio import from_thread, sleep, sleep_forever, to_thread
from anyio.abc import TaskStatus

from supervisor import (
    Component,
    ContextFilter,
    NoTree,
    Supervisor,
    current_child,
    current_tree,
    open_supervisor,
)
from supervisor._runtime.context import current_path_and_life
from supervisor.testing import Boom, Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def who() -> tuple[str, int]:
    child = current_child()
    return child.path, child.life


async def test_each_child_sees_itself_although_many_run_at_once() -> None:
    seen: dict[str, list[tuple[str, int]]] = {}

    async def component(name: str) -> None:
        for _ in range(3):
            seen.setdefault(name, []).append(who())
            await sleep(1)

    async with open_supervisor() as tree:
        for name in "abc":
            tree.start_soon(component, name, name=name)
    assert seen == {name: [(f"supervisor/{name}", 1)] * 3 for name in "abc"}


@pytest.mark.virtual_clock(threshold=0.02)
async def test_in_tasks_and_threads_of_the_child() -> None:
    seen = []

    async def look() -> None:
        seen.append(who())

    async def component() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(look)
        seen.append(await to_thread.run_sync(who))
        await to_thread.run_sync(lambda: from_thread.run(look))

    async with open_supervisor() as tree:
        tree.start_soon(component, name="a")
    assert seen == [("supervisor/a", 1)] * 3


async def test_each_life_has_its_number() -> None:
    seen = []

    async def component() -> None:
        seen.append(who())
        if len(seen) < 3:
            raise Boom

    async with open_supervisor() as tree:
        tree.start_soon(component, name="a")
    assert seen == [("supervisor/a", life) for life in (1, 2, 3)]


async def test_outside_a_child_there_is_none() -> None:
    with pytest.raises(NoTree, match="not inside a supervised child"):
        current_child()
    assert current_path_and_life() is None
    async with open_supervisor():
        with pytest.raises(NoTree):
            current_child()


async def test_a_child_started_by_a_child_does_not_take_it_for_its_own() -> None:
    seen = []

    async def inner() -> None:
        seen.append(who())

    async def outer() -> None:
        current_child().tree.start_soon(inner, name="inner")
        await sleep(1)
        seen.append(who())

    async with open_supervisor() as tree:
        tree.start_soon(outer, name="outer")
    assert seen == [("supervisor/inner", 1), ("supervisor/outer", 1)]


async def test_the_context_of_the_opener_reaches_every_child_and_no_child_changes_it() -> None:
    var: ContextVar[str] = ContextVar("var", default="none")
    seen = []

    async def component() -> None:
        seen.append(var.get())
        var.set("changed")
        raise Boom

    var.set("opener's")
    async with open_supervisor() as tree:
        var.set("later")
        tree.start_soon(component)
        await sleep(5)
        await tree.stop()
    assert set(seen) == {"opener's"}
    assert var.get() == "later"


async def test_the_only_tree_of_the_event_loop() -> None:
    with pytest.raises(NoTree, match="no tree is open"):
        current_tree()
    async with open_supervisor() as tree:
        assert current_tree() is tree
    with pytest.raises(NoTree):
        current_tree()


async def test_two_trees_in_one_loop_share_nothing() -> None:
    spec = Supervisor("root", [Component(Hanging(), name="a")])
    async with open_supervisor(spec) as first, open_supervisor(spec) as second:
        with pytest.raises(NoTree, match="2 trees are open"):
            current_tree()
        await first["a"].restart()
        assert (first["a"].life, second["a"].life) == (2, 1)
        await first.stop()
        assert second["a"].state == "ready"


async def test_a_child_finds_its_own_tree_among_several() -> None:
    found = {}

    async def component() -> None:
        found[who()[0]] = current_tree()
        await sleep_forever()

    spec = Supervisor("root", [Component(component, name="a")])
    other = Supervisor("other", [Component(component, name="a")])
    async with open_supervisor(spec) as first, open_supervisor(other) as second:
        await settle()
    assert found == {"root/a": first, "other/a": second}


async def test_a_tree_within_a_child_of_a_tree() -> None:
    seen = []

    async def inner() -> None:
        seen.append(who())

    async def outer() -> None:
        async with open_supervisor(name="nested") as tree:
            tree.start_soon(inner)
        seen.append(who())

    async with open_supervisor() as tree:
        tree.start_soon(outer)
    assert seen == [("nested/inner", 1), ("supervisor/outer", 1)]


async def test_a_tree_that_failed_to_start_is_not_found() -> None:
    async def component(task_status: TaskStatus[None]) -> None:
        raise Boom

    with pytest.raises(BaseExceptionGroup):
        async with open_supervisor(Supervisor("root", [Component(component)], boot="strict")):
            pass
    with pytest.raises(NoTree):
        current_tree()


async def test_log_lines_within_a_child_carry_its_path_and_life(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("a.users.own")
    context = ContextFilter()

    async def component() -> None:
        log.warning("slow answer")
        if current_child().life == 1:
            raise Boom

    caplog.handler.addFilter(context)
    try:
        async with open_supervisor() as tree:
            tree.start_soon(component, name="chat")
            log.warning("from outside")
    finally:
        caplog.handler.removeFilter(context)
    own: list[Any] = [record for record in caplog.records if record.name == log.name]
    assert sorted((r.path, r.life) for r in own) == [
        ("", 0),
        ("supervisor/chat", 1),
        ("supervisor/chat", 2),
    ]


async def test_repr_of_the_child_as_it_sees_itself() -> None:
    seen = []

    async def component() -> None:
        seen.append(repr(current_child()))

    async with open_supervisor() as tree:
        tree.start_soon(component)
    assert seen == ["<supervisor/component life 1>"]
