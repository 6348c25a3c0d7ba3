from __future__ import annotations

from contextlib import suppress

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import dns.wire
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.lookup import wire
from relay.lookup.wire import Malformed, Response, answers, query, question, read

ASKED = question("example.test", wire.MX)
LABELS = st.from_regex(r"\A[a-z0-9]{1,10}\Z")
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)


def response(
    *answer: str, authority: tuple[str, ...] = (), rcode: int = 0, asked: wire.Question = ASKED
) -> bytes:
    """A response with records such as `example.test. 60 IN MX 10 mx.test.`, as octets."""
    message = dns.message.make_response(dns.message.from_wire(query(asked, 7, 1232)))
    message.set_rcode(dns.rcode.Rcode(rcode))
    for section, records in ((message.answer, answer), (message.authority, authority)):
        for record in records:
            name, ttl, rdclass, rdtype, rest = record.split(" ", 4)
            section.append(dns.rrset.from_text(name, int(ttl), rdclass, rdtype, rest))
    return message.to_wire()


@given(
    name=NAMES, rdtype=st.sampled_from([wire.A, wire.AAAA, wire.MX]), number=st.integers(0, 65535)
)
def test_a_query_says_what_dnspython_would_say(name: str, rdtype: int, number: int) -> None:
    ours = dns.message.from_wire(query(question(name, rdtype), number, 1232))
    theirs = dns.message.make_query(name, wire.TYPE_NAMES[rdtype], use_edns=0, payload=1232)
    theirs.id = number
    assert ours == theirs
    assert ours.to_wire() == theirs.to_wire()
    assert (ours.edns, ours.payload, ours.flags) == (0, 1232, dns.flags.RD)


def test_a_query_without_edns_has_nothing_but_the_question() -> None:
    assert dns.message.from_wire(query(ASKED, 1, 0)).edns == -1


@given(
    hosts=st.lists(st.tuples(st.integers(0, 65535), NAMES), min_size=1, max_size=10),
    ttl=st.integers(0, 2**31 - 1),
)
def test_the_records_are_those_that_were_sent(hosts: list[tuple[int, str]], ttl: int) -> None:
    octets = response(*(f"example.test. {ttl} IN MX {p} {name}." for p, name in hosts))
    found = read(octets, ASKED)
    assert sorted(found.records) == sorted(hosts)
    assert found.ttl == ttl


@pytest.mark.parametrize(
    ("rdtype", "record", "expected"),
    [
        (wire.A, "A 192.0.2.1", "192.0.2.1"),
        (wire.AAAA, "AAAA 2001:DB8::1", "2001:db8::1"),
        (wire.MX, "MX 10 MX.Example.Test.", (10, "mx.example.test")),
        (wire.MX, "MX 0 .", (0, "")),
    ],
)
def test_each_type_is_read(rdtype: int, record: str, expected: wire.Record) -> None:
    asked = question("example.test", rdtype)
    octets = response(f"example.test. 60 IN {record}", asked=asked)
    assert read(octets, asked).records == (expected,)


def test_aliases_are_followed_and_the_shortest_life_counts() -> None:
    octets = response(
        "other.test. 20 IN CNAME third.test.",
        "example.test. 300 IN CNAME other.test.",
        "third.test. 60 IN MX 10 mx.test.",
    )
    assert read(octets, ASKED) == Response(0, False, ((10, "mx.test"),), 20)


def test_records_of_other_names_and_types_do_not_count() -> None:
    octets = response(
        "example.test. 60 IN A 192.0.2.1",
        "evil.test. 60 IN MX 10 mx.evil.test.",
        "sub.example.test. 60 IN MX 10 mx.evil.test.",
    )
    assert read(octets, ASKED).records == ()


def test_aliases_in_a_circle_are_malformed() -> None:
    octets = response("example.test. 60 IN CNAME a.test.", "a.test. 60 IN CNAME example.test.")
    with pytest.raises(Malformed):
        read(octets, ASKED)


def test_a_name_with_a_dot_inside_a_label_is_no_host() -> None:
    octets = response(r"example.test. 60 IN MX 10 mx\.good.test.")
    assert read(octets, ASKED).records == ((10, "\\"),)


@pytest.mark.parametrize(
    ("ttl", "minimum", "kept"), [(60, 300, 60), (300, 60, 60), (0, 60, 0), (60, 2**32 - 1, 0)]
)
def test_that_there_is_nothing_holds_as_long_as_the_soa_says(
    ttl: int, minimum: int, kept: int
) -> None:
    octets = response(authority=(f"test. {ttl} IN SOA ns.test. h.test. 1 2 3 4 {minimum}",))
    assert read(octets, ASKED) == Response(0, False, negative_ttl=kept)


def test_that_there_is_nothing_holds_no_longer_than_the_alias_that_leads_there() -> None:
    soa = "test. 60 IN SOA ns.test. h.test. 1 2 3 4 60"
    octets = response("example.test. 20 IN CNAME a.test.", authority=(soa,))
    assert read(octets, ASKED).negative_ttl == 20


def test_a_life_with_the_highest_bit_set_is_none() -> None:
    octets = bytearray(response("example.test. 60 IN MX 10 mx.test."))
    at = octets.index((60).to_bytes(4, "big"))
    octets[at] = 0x80
    assert read(bytes(octets), ASKED).ttl == 0


@pytest.mark.parametrize(
    ("answer", "authority"),
    [
        pytest.param((), ("test. 60 IN NS ns.test.",), id="others to ask"),
        pytest.param(("example.test. 60 IN CNAME a.test.",), (), id="an alias and no more"),
    ],
)
def test_an_answer_that_is_not_finished_says_so(
    answer: tuple[str, ...], authority: tuple[str, ...]
) -> None:
    assert read(response(*answer, authority=authority), ASKED).unfinished


def test_a_plain_empty_answer_is_finished() -> None:
    assert not read(response(), ASKED).unfinished


def test_an_alias_and_no_more_is_finished_where_the_server_looks_names_up_for_us() -> None:
    octets = bytearray(response("example.test. 60 IN CNAME a.test."))
    octets[3] |= 0x80
    assert not read(bytes(octets), ASKED).unfinished


def test_records_beside_nxdomain_do_not_count() -> None:
    found = read(response("example.test. 60 IN MX 10 mx.test.", rcode=3), ASKED)
    assert (found.rcode, found.records) == (wire.NXDOMAIN, ())


def test_too_many_records_are_malformed() -> None:
    octets = bytearray(response("example.test. 60 IN MX 10 mx.test."))
    octets[6:8] = (257).to_bytes(2, "big")
    with pytest.raises(Malformed):
        read(bytes(octets), ASKED)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda o: b"\0\1" + o[2:], id="another number"),
        pytest.param(lambda o: o[:2] + b"\1\0" + o[4:], id="a question"),
        pytest.param(lambda o: o[:2] + b"\xa0\0" + o[4:], id="another kind of message"),
        pytest.param(lambda o: o[:4] + b"\0\0" + o[6:], id="no question in it"),
        pytest.param(lambda o: o.replace(b"example", b"exemple"), id="another name"),
        pytest.param(lambda o: o[:27] + b"\1" + o[28:], id="another type"),
        pytest.param(lambda o: o[:11], id="no whole header"),
        pytest.param(lambda o: b"", id="nothing"),
    ],
)
def test_what_answers_something_else_is_no_answer(change: object) -> None:
    octets = response("example.test. 60 IN MX 10 mx.test.")
    assert answers(octets, 7, ASKED)
    assert callable(change)
    assert not answers(change(octets), 7, ASKED)


def test_the_name_may_come_back_in_other_case() -> None:
    octets = response("example.test. 60 IN MX 10 mx.test.")
    assert answers(octets.replace(b"example", b"eXaMpLe"), 7, ASKED)


@given(data=st.data())
def test_damaged_octets_are_read_or_malformed_and_nothing_else(data: st.DataObject) -> None:
    octets = bytearray(
        response(
            "example.test. 60 IN CNAME other.test.",
            "other.test. 60 IN MX 10 mx.other.test.",
            authority=("test. 60 IN SOA ns.test. h.test. 1 2 3 4 5",),
        )
    )
    start = 12 + len(ASKED.wire)
    for _ in range(data.draw(st.integers(1, 8))):
        octets[data.draw(st.integers(start, len(octets) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(start, len(octets)))
    with suppress(Malformed):
        read(bytes(octets[:end]), ASKED)


@given(st.binary(max_size=300))
def test_noise_behind_the_question_is_read_or_malformed(noise: bytes) -> None:
    head = bytearray(response()[: 12 + len(ASKED.wire)])
    head[6:8] = b"\0\3"
    with suppress(Malformed):
        read(bytes(head) + noise, ASKED)


#: Octets of which many begin a label or point to an earlier one.
PIECES = st.one_of(
    st.binary(min_size=1, max_size=5),
    st.binary(min_size=1, max_size=63).map(lambda label: bytes((len(label),)) + label),
    st.integers(0, 80).map(lambda at: bytes((0xC0, at))),
    st.just(b"\0"),
)


@given(octets=st.lists(PIECES, min_size=1, max_size=12).map(b"".join), start=st.integers(0, 60))
def test_a_name_is_read_as_dnspython_reads_it(octets: bytes, start: int) -> None:
    start = min(start, len(octets))
    theirs, ours = dns.wire.Parser(octets, start), dns.wire.Parser(octets, start)
    try:
        labels = theirs.get_name(decompress=True).labels
    except dns.exception.DNSException:
        with pytest.raises(dns.exception.DNSException):
            wire._name(ours)
        return
    dotted = any(b"." in label for label in labels)
    name = b".".join(labels[:-1]).decode("latin-1").lower()
    assert wire._name(ours) == ("\\" if dotted else name)
    assert ours.current == theirs.current


def test_pointers_without_end_are_no_name() -> None:
    chain = b"\0\0" + b"".join((0xC000 | at).to_bytes(2, "big") for at in range(0, 600, 2))
    with pytest.raises(dns.name.BadPointer):
        wire._name(dns.wire.Parser(chain, len(chain) - 2))
