"""The pytest plugin: ``pytest_plugins = ["supervisor.testing.plugin"]`` in a ``conftest.py``.

It runs each async test on asyncio (in debug mode) and on trio, both on a virtual clock, by
redefining the ``anyio_backend`` fixture of anyio's own plugin with function scope. Two markers
change that: ``realtime`` runs a test on the real clock, on asyncio, uvloop and trio, and
``virtual_clock(threshold=..., spin=...)`` passes options to
:func:`~supervisor.testing.virtual_backend`. The fixture ``leak_check`` fails a test that leaves
something running. A test in which all tasks wait for what cannot come fails and says where they are,
rather than hanging (but not under Hypothesis).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import Any

import pytest

from supervisor.testing._clock import Backend, virtual_backend
from supervisor.testing._deadlock import fail_when_deadlocked
from supervisor.testing._leaks import no_leaks

_VIRTUAL = ("asyncio", "trio")
_REALTIME = ("asyncio", "uvloop", "trio")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "realtime: run this async test on the real clock, on asyncio, uvloop and trio.",
        "virtual_clock(threshold=0.0, spin=10_000): options of the virtual clock for this test.",
    ):
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    # Before anyio's plugin runs it. Hypothesis hides the coroutine function from us.
    test = pyfuncitem.obj
    if iscoroutinefunction(test) and "anyio_backend" in pyfuncitem.funcargs:
        pyfuncitem.obj = _ended_when_deadlocked(test)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "anyio_backend" not in metafunc.fixturenames or _is_overridden(metafunc):
        return
    realtime = metafunc.definition.get_closest_marker("realtime") is not None
    names = [_param(name) for name in (_REALTIME if realtime else _VIRTUAL)]
    metafunc.parametrize("anyio_backend", names, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """The backend of this test, as the plugin's docstring says."""
    name: Any = request.param
    if request.node.get_closest_marker("realtime") is not None:
        return _real_backend(name)
    marker = request.node.get_closest_marker("virtual_clock")
    backend, options = virtual_backend(name, **(marker.kwargs if marker else {}))
    return backend, options | ({"debug": True} if backend == "asyncio" else {})


@pytest.fixture
async def leak_check(anyio_backend: Backend) -> AsyncIterator[None]:
    """Fail the async test if it leaves a task, thread, descriptor or process of its own alive."""
    async with no_leaks():
        yield


def _ended_when_deadlocked(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def run(**fixtures: Any) -> None:
        with fail_when_deadlocked():
            await test(**fixtures)

    return run


def _real_backend(name: str) -> Backend:
    if name == "uvloop":
        return "asyncio", {"use_uvloop": True}
    return name, {"debug": True} if name == "asyncio" else {}


def _param(name: str) -> Any:
    absent = name != "asyncio" and find_spec(name) is None
    return pytest.param(name, marks=pytest.mark.skipif(absent, reason=f"{name} is not installed"))


def _is_overridden(metafunc: pytest.Metafunc) -> bool:
    marks = metafunc.definition.iter_markers("parametrize")
    if any("anyio_backend" in str(mark.args[0]) for mark in marks):
        return True
    definitions = metafunc._arg2fixturedefs["anyio_backend"]
    return definitions[-1].func.__module__ != __name__
