"""What is wrong is refused whole, before anything starts; and faults of our own end the tree."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest
from anyio import sleep, sleep_forever

from supervisor import (
    Component,
    Resource,
    Supervisor,
    TreeInvalid,
    open_supervisor,
    serve,
)
from supervisor._runtime.clock import draws
from supervisor.testing import Crashing, Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")


async def test_a_wrong_tree_is_refused_with_every_mistake() -> None:
    """Law 14: refused whole before anything starts, with the path to each field."""
    hanging = Hanging()
    spec = Supervisor(
        "root",
        [
            Component(hanging, name="a"),
            Component(hanging, name="a"),
            Component(hanging, name="b", needs=["nobody"]),
            Supervisor("inner", [Component(hanging, name="c", start_timeout=-1)]),
        ],
    )
    with pytest.raises(TreeInvalid) as caught:
        async with open_supervisor(spec):
            pytest.fail("the block must not run")
    assert len(caught.value.problems) >= 3
    assert any("root/inner/c" in problem.path for problem in caught.value.problems)
    with pytest.raises(TreeInvalid):
        await serve(spec)
    await settle()
    assert not hanging.lives


@pytest.mark.parametrize(
    "options", [{"start_timeout": -1}, {"needs": ["nobody"]}, {"priority": "urgent"}]
)
async def test_a_wrong_dynamic_child_is_refused_and_leaves_nothing(options: Any) -> None:
    hanging = Hanging()
    async with open_supervisor() as tree:
        with pytest.raises(TreeInvalid):
            tree.start_soon(hanging, name="a", **options)
        with pytest.raises(TreeInvalid):
            await tree.start(hanging, name="a", **options)
        with pytest.raises(TreeInvalid):
            await tree.add(Component(hanging, name="a", **options))
        assert "a" not in tree
        assert not tree.snapshot().root.children
        assert tree.start_soon(hanging, name="a").path == "supervisor/a"
        await tree.stop()


async def test_an_unknown_option_of_a_dynamic_child_is_a_type_error() -> None:
    async with open_supervisor() as tree:
        with pytest.raises(TypeError):
            tree.start_soon(Hanging(), retries=3)  # type: ignore[call-arg]


async def test_copies_of_an_added_child_are_refused() -> None:
    async with open_supervisor() as tree:
        with pytest.raises(TreeInvalid, match="copies"):
            await tree.add(Component(Hanging(), name="a", copies=3))
        assert "a" not in tree


async def test_an_argument_that_is_no_elder_sibling_is_refused() -> None:
    stranger = Resource(lambda: None, name="stranger")  # type: ignore[arg-type, return-value]
    with pytest.raises(TreeInvalid):
        open_supervisor(Supervisor("root", [Component(Hanging(), args=(stranger,))]))


@pytest.mark.parametrize("stop_within", [0, -1, float("nan")])
async def test_a_stop_without_time_is_refused(stop_within: float) -> None:
    with pytest.raises(ValueError, match="stop_within"):
        open_supervisor(stop_within=stop_within)


async def test_both_a_tree_and_options_is_refused() -> None:
    with pytest.raises(TypeError):
        open_supervisor(Supervisor("root", []), strategy="one_for_all")


async def test_a_fault_of_the_machinery_ends_the_tree_instead_of_hanging_it() -> None:
    """Law 7 for ourselves: an error of ours is raised, and takes nothing with it in silence."""

    class Broken(random.Random):
        def random(self) -> float:
            raise ZeroDivisionError("a fault of our own")

    draws.set(Broken())
    hanging = Hanging()
    spec = Supervisor(
        "root", [Component(hanging, name="a"), Component(Crashing(after=1), name="b")]
    )
    with pytest.raises(BaseExceptionGroup) as caught, anyio.fail_after(100):
        async with open_supervisor(spec):
            await sleep_forever()
    assert caught.group_contains(ZeroDivisionError)
    assert not hanging.alive
    await sleep(1)
