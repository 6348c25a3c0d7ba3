"""Idle sessions: so many are kept, and the one that waits longest goes first."""

from __future__ import annotations

from relay.delivery.idle import IdleSessions
from relay.mail.outcome import Failure
from relay.smtp.connect import connect
from relay.smtp.options import ConnectOptions, Target
from relay.smtp.session import Session
from tests.support.driver import Recorder
from tests.support.mx import Mx


async def idle_session(server: Mx) -> tuple[Session, Recorder]:
    options = ConnectOptions(hello="relay.example", permitted=lambda address: True)
    session = await connect(Target("mx.example", "127.0.0.1", server.port), options)
    assert not isinstance(session, Failure), session
    driver = Recorder()
    session.start(driver)
    return session, driver


async def test_beyond_the_limit_the_session_that_waits_longest_ends() -> None:
    async with Mx() as server:
        idle = IdleSessions(2)
        sessions = [await idle_session(server) for _ in range(3)]
        for session, _ in sessions:
            idle.add(session)
        await sessions[0][1].until_closed()
        assert [driver.closed_times for _, driver in sessions] == [1, 0, 0]
        assert len(idle) == 2
        await end(sessions[1:])


async def test_a_session_that_was_used_again_has_not_waited_long() -> None:
    async with Mx() as server:
        idle = IdleSessions(2)
        sessions = [await idle_session(server) for _ in range(3)]
        idle.add(sessions[0][0])
        idle.add(sessions[1][0])
        idle.remove(sessions[0][0])
        idle.add(sessions[0][0])
        idle.add(sessions[2][0])
        await sessions[1][1].until_closed()
        assert [driver.closed_times for _, driver in sessions] == [0, 1, 0]
        await end([sessions[0], sessions[2]])


async def test_where_none_is_to_be_kept_each_ends_at_once() -> None:
    async with Mx() as server:
        idle = IdleSessions(0)
        session, driver = await idle_session(server)
        idle.add(session)
        await driver.until_closed()
        assert len(idle) == 0


async def end(sessions: list[tuple[Session, Recorder]]) -> None:
    for session, driver in sessions:
        session.quit()
        await driver.until_closed()
