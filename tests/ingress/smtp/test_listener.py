import socket

import pytest

from relay.errors import ConfigError
from relay.ingress.listener import Listen
from tests.support.dialog import dialog
from tests.support.reception import Servers


async def test_a_taken_port_names_the_setting(servers: Servers) -> None:
    port = await servers.start()
    taken = Listen("127.0.0.1", port, key="smtp.listen[1]")
    with pytest.raises(ConfigError) as refused:
        await servers.start(listen=taken)
    [problem] = refused.value.problems
    assert problem.startswith(f"smtp.listen[1]: cannot listen on 127.0.0.1:{port}: ")
    assert "in use" in problem


async def test_a_port_taken_by_sharing_processes_is_taken_for_one_that_does_not_share(
    servers: Servers,
) -> None:
    port = await servers.start(listen=Listen("127.0.0.1", 0, shared=True))
    with pytest.raises(ConfigError):
        await servers.start(listen=Listen("127.0.0.1", port))


async def test_processes_that_share_listen_on_one_port(servers: Servers) -> None:
    port = await servers.start(listen=Listen("127.0.0.1", 0, shared=True))
    assert await servers.start(listen=Listen("127.0.0.1", port, shared=True)) == port
    async with dialog(port) as client:
        assert (await client.reply()).startswith("220 relay.example")


async def test_an_address_of_another_machine_names_the_setting(servers: Servers) -> None:
    with pytest.raises(ConfigError, match=r"smtp\.listen: cannot listen on 192\.0\.2\.1:2525"):
        await servers.start(listen=Listen("192.0.2.1", 2525))
    with pytest.raises(ConfigError, match=r"cannot listen on \[2001:db8::1\]:2525"):
        await servers.start(listen=Listen("2001:db8::1", 2525))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6_is_listened_on(servers: Servers) -> None:
    try:
        port = await servers.start(listen=Listen("::1", 0))
    except ConfigError:
        pytest.skip("no IPv6 loopback here")
    async with dialog(port, "::1") as client:
        assert (await client.reply()).startswith("220 relay.example")
