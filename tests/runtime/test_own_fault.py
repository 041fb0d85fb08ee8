"""A fault of the supervisor's own while the tree stops: told, and nobody waits for ever."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import current_time

from supervisor import Component, Supervisor, open_supervisor
from supervisor._core.effects import Exited
from supervisor._runtime import runtime
from supervisor.testing import Hanging, settle

pytestmark = pytest.mark.usefixtures("leak_check")


class Fault(Exception):
    pass


@pytest.mark.parametrize("at", ["root/peer", "root/listed"])
async def test_a_fault_while_all_of_start_soon_are_cancelled_together(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 1: an end that the machine never hears of is not waited for."""

    def step(node: Any, given: Any, now: float) -> Any:
        if isinstance(given, Exited) and given.child.path == at:
            raise Fault
        return machine(node, given, now)

    machine = runtime.step
    monkeypatch.setattr(runtime, "step", step)
    hanging = Hanging()
    spec = Supervisor("root", [Component(Hanging()), Component(Hanging(), name="listed")])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_supervisor(spec) as tree:
            for _ in range(3):
                tree.start_soon(hanging, name="peer")
            await settle()
            await tree.stop()
    assert caught.group_contains(Fault)
    assert not hanging.alive
    assert current_time() == 0.0
