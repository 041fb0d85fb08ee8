"""The pytest plugin in a project of a user's, which has only what its conftest.py asks for."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFTEST = 'pytest_plugins = ["supervisor.testing.plugin"]'


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


def run(project: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    project.makepyfile(source)
    return project.runpytest_inprocess("-v", "-panyio", "--strict-markers", *options)


def test_both_backends_are_virtual(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import anyio, pytest

        @pytest.mark.anyio
        async def test_an_hour():
            await anyio.sleep(3600)
            assert anyio.current_time() == 3600

        def test_that_is_not_async():
            pass
        """,
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_an_hour?asyncio*PASSED*", "*test_an_hour?trio*PASSED*"])


def test_realtime_and_options_by_marker(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import asyncio, anyio, pytest

        @pytest.mark.realtime
        async def test_real(anyio_backend_options):
            assert not {"clock", "loop_factory"} & set(anyio_backend_options)

        @pytest.mark.virtual_clock(threshold=0.2)
        async def test_patient(anyio_backend_name, anyio_backend_options):
            if anyio_backend_name == "trio":
                assert anyio_backend_options["clock"].autojump_threshold == 0.2
            with anyio.fail_after(1):
                await anyio.to_thread.run_sync(len, "")

        async def test_asyncio_is_in_debug_mode(anyio_backend_name):
            if anyio_backend_name == "asyncio":
                assert asyncio.get_running_loop().get_debug()
        """,
        "--anyio-mode=auto",
    )
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(
        [f"*test_real?{name}*PASSED*" for name in ("asyncio", "uvloop", "trio")]
    )


def test_a_users_own_backend_is_left_alone(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def test_own_fixture(anyio_backend):
            assert anyio_backend == "asyncio"

        @pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["mine"])
        async def test_own_parameters(anyio_backend):
            assert anyio_backend == ("trio", {})
        """,
        "--anyio-mode=auto",
    )
    result.assert_outcomes(passed=2)


def test_leak_check_finds_what_a_test_leaves(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import socket

        LEFT = []

        async def test_leaves_a_socket(leak_check):
            LEFT.append(socket.socket())

        def test_closes_them():
            for left in LEFT:
                left.close()
        """,
        "--anyio-mode=auto",
    )
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*Leaked: 1 left alive:", "*file descriptor *: socket:*"])


def test_a_backend_that_is_absent_is_skipped_with_the_reason(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.testing.plugin.find_spec", lambda name: None)
    result = run(project, "async def test_it(): pass", "--anyio-mode=auto", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*trio is not installed*"])


def test_a_deadlock_fails_and_says_where(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import anyio

        async def wait_in_vain():
            await anyio.Event().wait()

        async def test_of_tasks():
            async with anyio.create_task_group() as tg:
                tg.start_soon(wait_in_vain, name="in vain")

        async def test_after_some_time():
            await anyio.to_thread.run_sync(len, "")
            await anyio.sleep(100)
            await wait_in_vain()

        async def test_of_one_that_raises_then():
            try:
                await wait_in_vain()
            finally:
                raise KeyError
        """,
        "--anyio-mode=auto",
    )
    result.assert_outcomes(failed=6)
    result.stdout.fnmatch_lines(
        [
            "*Deadlocked: nothing is left to wait for; blocked:",
            "*task 'in vain', at *test_a_deadlock_fails_and_says_where.py:4 in wait_in_vain",
        ]
    )
    assert result.stdout.str().count("nothing is left to wait for") >= 6


def test_no_deadlock_where_something_can_come(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import os, signal, threading, time
        import anyio
        from anyio import from_thread, to_thread
        from supervisor.testing import settle

        async def test_a_thread():
            await to_thread.run_sync(time.sleep, 0.3)
            event = anyio.Event()
            token = anyio.lowlevel.current_token()

            def later():
                time.sleep(0.3)
                from_thread.run_sync(event.set, token=token)

            thread = threading.Thread(target=later)
            thread.start()
            await event.wait()
            thread.join()

        async def test_a_process():
            await anyio.run_process(["sleep", "0.3"])

        async def test_settling():
            for _ in range(100):
                await settle()

        async def test_a_signal():
            with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
                os.kill(os.getpid(), signal.SIGUSR1)
                async for _ in signals:
                    break

        async def test_a_socket():
            async with await anyio.create_udp_socket(local_host="127.0.0.1") as one:
                to = one.extra(anyio.abc.SocketAttribute.local_address)
                await one.sendto(b"me", *to)
                assert await one.receive()
        """,
        "--anyio-mode=auto",
    )
    result.assert_outcomes(passed=10)
