from __future__ import annotations

import pytest

from relay.policy.endpoint import Endpoint, parse_endpoint
from relay.policy.names import is_name
from relay.policy.routes import RouteTable


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("smart.example", "smart.example", 25),
        ("Smart.Example.:587", "smart.example", 587),
        ("192.0.2.1", "192.0.2.1", 25),
        ("192.0.2.1:2525", "192.0.2.1", 2525),
        ("[192.0.2.1]:2525", "192.0.2.1", 2525),
        ("[192.0.2.1]", "192.0.2.1", 25),
        ("[2001:DB8::1]:26", "2001:db8::1", 26),
        ("[2001:db8::1]", "2001:db8::1", 25),
        ("2001:db8::1", "2001:db8::1", 25),
        (" smart.example:25 ", "smart.example", 25),
    ],
)
def test_a_place_is_understood(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text, 25) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":25",
        "host:",
        "host:0",
        "host:65536",
        "host:smtp",
        "host:-1",
        "host:٢٥",
        "a:b:c",
        "[smart.example]:25",
        "[192.0.2.1",
        "[192.0.2.1]25",
        "[192.0.2.1]:",
        "two words:25",
        "user@host:25",
        "smtp://host:25",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_endpoint(text, 25)


@pytest.mark.parametrize("text", ["smart.example:587", "192.0.2.1:25", "[2001:db8::1]:25"])
def test_a_place_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_endpoint(text, 1)) == text


@pytest.mark.parametrize(
    "text", ["example.com", "a", "xn--bcher-kva.example", "3com.com", "mail_1.example", "a-b.c1"]
)
def test_a_name_can_be_looked_up(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "example.com.",
        "Example.com",
        "-a.example",
        "a-.example",
        "a..example",
        ".example",
        "bücher.example",
        "192.0.2.1",
        "a b.example",
        "a\0.example",
        "example.com\n",
        "*.example",
        "[192.0.2.1]",
        "a" * 64 + ".example",
        ".".join(["a" * 49] * 5) + ".abcde",
    ],
)
def test_what_is_no_name_is_never_looked_up(text: str) -> None:
    assert not is_name(text)


def test_a_name_may_have_253_characters() -> None:
    assert is_name(".".join(["a" * 49] * 5) + ".abc")


def test_a_domains_own_route_wins_over_the_one_for_every_domain() -> None:
    table = RouteTable({"Example.COM": "own.example:26", "*": "[192.0.2.1]"}, 25)
    assert table.find("example.com") == Endpoint("own.example", 26)
    assert table.find("sub.example.com") == Endpoint("192.0.2.1", 25)


def test_without_a_route_the_mx_decides() -> None:
    assert RouteTable({"example.com": "own.example"}, 25).find("example.net") is None


def test_localhost_is_loopback_whatever_the_dns_says() -> None:
    assert RouteTable({"*": "localhost:1025"}, 25).find("x.example") == Endpoint("127.0.0.1", 1025)
