"""KeyboardInterrupt and SystemExit: the tree ends in order, and they are raised bare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import current_time, sleep, sleep_forever

from supervisor import Component, Crashed, Stopped, Supervisor, open_supervisor, serve
from supervisor.testing import Boom, Crashing, Hanging, SlowStopping, settle

pytestmark = pytest.mark.usefixtures("leak_check")


def spec(run: Any, **options: Any) -> Supervisor:
    slow = [Component(SlowStopping(1), name=name) for name in "ab"]
    return Supervisor("root", [*slow, Component(run, name="c", **options)])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_from_a_child(told: Any, kind: type[BaseException], restart: Any) -> None:
    """Law 16: it ends the tree in order, and is not supervised away."""
    error = kind(3)
    crashing = Crashing(error=error, after=1)
    with pytest.raises(kind) as caught:
        async with open_supervisor(spec(crashing, restart=restart)):
            await sleep(1000)
    assert caught.value is error
    assert told.names(Stopped) == ["b", "a"]
    assert current_time() == 3.0
    assert [e.verdict.rule for e in told.of(Crashed)] == ["process-level"]


async def test_inside_a_group() -> None:
    async def component() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(Hanging())
            await sleep(1)
            raise KeyboardInterrupt

    with pytest.raises(BaseException) as caught:  # noqa: PT011
        async with open_supervisor(spec(component)):
            await sleep(1000)
    found = caught.value
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, KeyboardInterrupt)


async def test_from_a_child_of_a_nested_supervisor() -> None:
    crashing = Crashing(error=SystemExit(4), after=1)
    inner = Supervisor("inner", [Component(crashing)])
    tree = Supervisor("root", [Component(SlowStopping(1)), Supervisor("middle", [inner])])
    with pytest.raises(SystemExit) as caught:
        async with open_supervisor(tree):
            await sleep(1000)
    assert caught.value.code == 4
    assert current_time() == 2.0


async def test_while_the_tree_stops() -> None:
    class Last(KeyboardInterrupt):
        pass

    async def component() -> None:
        try:
            await sleep_forever()
        finally:
            raise Last

    with pytest.raises(Last):
        async with open_supervisor(spec(component)) as tree:
            await settle()
            await tree.stop()
    assert current_time() == 2.0


async def test_at_the_first_start() -> None:
    with pytest.raises(SystemExit):
        async with open_supervisor(spec(Crashing(error=SystemExit))):
            await sleep(1000)


async def test_during_a_boot() -> None:
    crashing = Crashing(error=SystemExit, after=1)
    tree = Supervisor("root", [Component(crashing), Component(SlowStopping(1))], boot="strict")
    with pytest.raises(SystemExit):
        async with open_supervisor(tree):
            await sleep(1000)
    assert current_time() == 2.0


async def test_of_a_child_that_is_being_added() -> None:
    with pytest.raises(SystemExit):
        async with open_supervisor() as tree:
            await tree.start(Crashing(error=SystemExit))
            await sleep(1000)


async def test_from_the_block_itself(told: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with open_supervisor(spec(Hanging())):
            await settle()
            raise KeyboardInterrupt
    assert told.names(Stopped) == ["c", "b", "a"]


async def test_under_serve() -> None:
    with pytest.raises(SystemExit):
        await serve(spec(Crashing(error=SystemExit(5), after=1)))


@pytest.mark.parametrize("make", [MemoryError, lambda: ExceptionGroup("two", [MemoryError()])])
async def test_memory_errors_end_the_tree(make: Callable[[], BaseException]) -> None:
    with pytest.raises((MemoryError, ExceptionGroup)):
        async with open_supervisor(spec(Crashing(error=make))):
            await sleep(1000)


async def test_together_with_an_ordinary_error_of_the_block() -> None:
    crashing = Crashing(error=SystemExit(6), after=1)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_supervisor(spec(crashing)):
            try:
                await sleep(1000)
            finally:
                raise Boom
    assert [type(error) for error in caught.value.exceptions] == [Boom, SystemExit]
