import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.address import BadAddress, Path, is_literal, parse_mailbox, parse_path

LONG_LABEL = "d" * 63
LONGEST_DOMAIN = ".".join([LONG_LABEL] * 3 + ["d" * 63])


@pytest.mark.parametrize(
    ("path", "address"),
    [
        pytest.param("<a@example.com>", "a@example.com", id="plain"),
        pytest.param("<A.b+C@Example.COM>", "A.b+C@example.com", id="domain in lower case"),
        pytest.param(
            "<!#$%&'*+-/=?^_`{|}~@d.example>", "!#$%&'*+-/=?^_`{|}~@d.example", id="atext"
        ),
        pytest.param("<a@localhost>", "a@localhost", id="one label"),
        pytest.param("<a@x--y.example>", "a@x--y.example", id="hyphens within"),
        pytest.param("<>", "", id="null reverse-path"),
        pytest.param("<PostMaster>", "postmaster", id="postmaster without a domain"),
        pytest.param("<postmaster@d.example>", "postmaster@d.example", id="postmaster with one"),
        pytest.param('<"a b"@d.example>', '"a b"@d.example', id="quoted blank"),
        pytest.param('<"a"@d.example>', "a@d.example", id="quotes that are not needed"),
        pytest.param('<"\\a\\b"@d.example>', "ab@d.example", id="pairs that are not needed"),
        pytest.param('<"\\"\\\\"@d.example>', '"\\"\\\\"@d.example', id="pairs that are needed"),
        pytest.param('<""@d.example>', '""@d.example', id="empty quoted"),
        pytest.param('<"a@evil.example"@d.example>', '"a@evil.example"@d.example', id="quoted @"),
        pytest.param('<"a>b"@d.example>', '"a>b"@d.example', id="quoted bracket"),
        pytest.param("<u%evil.example@d.example>", "u%evil.example@d.example", id="percent hack"),
        pytest.param("<evil.example!u@d.example>", "evil.example!u@d.example", id="UUCP path"),
        pytest.param("<@a.example,@b.example:u@d.example>", "u@d.example", id="source route"),
        pytest.param("<a@[192.0.2.1]>", "a@[192.0.2.1]", id="IPv4 literal"),
        pytest.param("<a@[IPV6:2001:DB8:0::1]>", "a@[IPv6:2001:db8::1]", id="IPv6 literal"),
        pytest.param(f"<{'l' * 64}@d.example>", f"{'l' * 64}@d.example", id="longest local part"),
        pytest.param(f"<a@{LONGEST_DOMAIN}>", f"a@{LONGEST_DOMAIN}", id="longest domain"),
        pytest.param("<a@xn--bcher-kva.example>", "a@xn--bcher-kva.example", id="A-label"),
    ],
)
def test_a_path_becomes_its_canonical_address(path: str, address: str) -> None:
    line = f"MAIL FROM:{path} SIZE=1".encode()
    assert parse_path(line, 10) == Path(address, 10 + len(path))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a@d.example", id="no brackets"),
        pytest.param("<a@d.example", id="no closing bracket"),
        pytest.param("<a>", id="no domain"),
        pytest.param("<@d.example>", id="no local part"),
        pytest.param("<a@>", id="empty domain"),
        pytest.param("<a@b@d.example>", id="double @"),
        pytest.param('<"a"@b@d.example>', id="double @ behind quotes"),
        pytest.param("<.a@d.example>", id="leading dot"),
        pytest.param("<a.@d.example>", id="trailing dot"),
        pytest.param("<a..b@d.example>", id="two dots"),
        pytest.param("<a b@d.example>", id="blank"),
        pytest.param('<"a"b@d.example>', id="text behind quotes"),
        pytest.param('<"a@d.example>', id="quotes left open"),
        pytest.param("<a@d..example>", id="empty label"),
        pytest.param("<a@d.example.>", id="dot behind the domain"),
        pytest.param("<a@-d.example>", id="leading hyphen"),
        pytest.param("<a@d-.example>", id="trailing hyphen"),
        pytest.param("<a@d_e.example>", id="underscore in a domain"),
        pytest.param("<a@192.0.2.1>", id="address without brackets"),
        pytest.param("<a@[192.0.2.256]>", id="no IPv4 address"),
        pytest.param("<a@[IPv6:::g]>", id="no IPv6 address"),
        pytest.param("<a@[IPv6:fe80::1%eth0]>", id="zone in a literal"),
        pytest.param("<a@[x:y]>", id="unknown kind of literal"),
        pytest.param("<a@[192.0.2.1].example>", id="text behind a literal"),
        pytest.param(f"<{'l' * 65}@d.example>", id="local part too long"),
        pytest.param(f'<"{"l " * 33}"@d.example>', id="quoted local part too long"),
        pytest.param(f"<a@{LONGEST_DOMAIN}.d>", id="domain too long"),
        pytest.param(f"<a@{LONG_LABEL}d.example>", id="label too long"),
        pytest.param("<@a.example:postmaster>", id="route without a domain"),
        pytest.param("<@:a@d.example>", id="empty route"),
        pytest.param("<\udcff@d.example>", id="neither ASCII nor UTF-8"),
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    assert isinstance(parse_path(path.encode(errors="surrogateescape")), BadAddress)


CONTROLS = [*range(0x20), 0x7F]


@pytest.mark.parametrize("control", CONTROLS, ids=[f"{control:#04x}" for control in CONTROLS])
@pytest.mark.parametrize(
    "frame", [b"<a%cb@d.example>", b'<"a%cb"@d.example>', b'<"a\\%cb"@d.example>', b"<a@d%ce.f>"]
)
def test_no_control_character_gets_into_an_address(control: int, frame: bytes) -> None:
    assert isinstance(parse_path(frame % control, smtputf8=True), BadAddress)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        pytest.param("<ü@d.example>", "ü@d.example", id="local part"),
        pytest.param('<"ü b"@d.example>', '"ü b"@d.example', id="quoted local part"),
        pytest.param("<a@Bücher.example>", "a@xn--bcher-kva.example", id="U-label"),
        pytest.param("<a@例え.テスト>", "a@xn--r8jz45g.xn--zckzah", id="Japanese"),
    ],
)
def test_addresses_beyond_ascii_need_smtputf8(path: str, address: str) -> None:
    line = path.encode()
    assert parse_path(line, smtputf8=True) == Path(address, len(line))
    refused = parse_path(line)
    assert isinstance(refused, BadAddress)
    assert refused.beyond_ascii


@pytest.mark.parametrize(
    "domain", ["\u2028.example", "\x85.example", "a\u200b\u2024.example", "￿.de"]
)
def test_what_idna_does_not_allow_is_no_domain(domain: str) -> None:
    assert isinstance(parse_path(f"<a@{domain}>".encode(), smtputf8=True), BadAddress)


def test_an_address_as_people_write_it_has_no_brackets() -> None:
    assert parse_mailbox("A@D.Example") == "A@d.example"
    for text in ("", "postmaster", "<a@d.example>", "a@d.example>x", "a@d.example> ", "\udcff@d"):
        assert isinstance(parse_mailbox(text), BadAddress), text


def test_a_literal_is_told_from_a_domain() -> None:
    assert is_literal("a@[192.0.2.1]")
    assert not is_literal("a@d.example")


@given(st.binary(max_size=80))
def test_any_octets_are_an_address_or_refused(octets: bytes) -> None:
    parsed = parse_path(b"<" + octets, smtputf8=True)
    if isinstance(parsed, Path):
        assert not any(character < " " or character == "\x7f" for character in parsed.address)


QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(QUOTED)
def test_the_canonical_form_is_its_own_canonical_form(inner: str) -> None:
    quoted = inner.replace("\\", "\\\\").replace('"', '\\"')
    canonical = parse_mailbox(f'"{quoted}"@d.example')
    assert isinstance(canonical, str)
    assert parse_mailbox(canonical) == canonical
    assert canonical.endswith("@d.example")


def test_a_hostile_address_takes_no_more_time_than_a_long_one() -> None:
    for hostile in (b"<" + b"a." * 1000, b"<a@" + b"a-" * 1000, b'<"' + b"\\a" * 1000):
        assert isinstance(parse_path(hostile), BadAddress)
