"""A small authoritative DNS server on loopback: real UDP and TCP sockets, answers from a table.

In a test, in a thread of its own:

    with DnsServer({"example.test": Zone(mx=["10 mx.example.test."])}) as dns:
        Resolver(ResolverOptions(nameservers=(dns.endpoint,)))
        assert dns.asked["example.test", "MX"] == 1

As a process, for tests that start processes: every domain has its own MX at the sink's address:

    python -m tests.support.dns --port 5353 --sink-ip 127.0.0.1
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import selectors
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

#: How many answers are kept as octets, by question, so that a load test is about Relay.
_MOST_KEPT = 100_000


@dataclass(frozen=True)
class Zone:
    """What the server says about a name, or about all names that match a pattern such as `*.test`.

    In the records, `{name}` stands for the name asked for. A name without records of a type exists
    without them; a name that is not in the table does not exist.
    """

    mx: Sequence[str] = ()
    a: Sequence[str] = ()
    aaaa: Sequence[str] = ()
    txt: Sequence[str] = ()
    ptr: Sequence[str] = ()
    tlsa: Sequence[str] = ()
    cname: str = ""
    ttl: int = 60
    #: SERVFAIL, REFUSED, FORMERR or NXDOMAIN instead of records.
    rcode: str = ""
    #: Types of which the server says nothing at all; "*" for all.
    silent: frozenset[str] = frozenset()
    #: Types that are answered with SERVFAIL while the others have their records.
    broken: frozenset[str] = frozenset()
    #: Seconds before the answer over UDP is sent.
    delay: float = 0.0
    #: Over UDP only: the answer is cut off, and has to be asked for over TCP.
    truncate: bool = False
    #: Datagrams that are sent before the right one, such as a forger would send.
    forgeries: int = 0
    #: The answer over TCP is one to another question.
    astray: bool = False
    #: Octets that are sent behind the header and question instead of records.
    garbage: bytes | None = None
    #: Negative answers have an SOA record.
    soa: bool = True
    #: Name servers are named instead of an answer, as a server does that does not look up for us.
    referral: bool = False
    #: The answer is as one from a resolver that has validated it (AD), where that was asked for.
    signed: bool = False

    def records(self, rdtype: str) -> Sequence[str]:
        """The records of a type."""
        of = {"MX": self.mx, "A": self.a, "AAAA": self.aaaa, "TXT": self.txt, "PTR": self.ptr}
        of["TLSA"] = self.tlsa
        return of.get(rdtype, ())


#: Every domain takes mail at a host of its own, all of which are at one address.
def sink_zone(address: str) -> dict[str, Zone]:
    """For load tests: each domain has its own site, and all lead to one address."""
    return {"mx.*": Zone(a=[address]), "*": Zone(mx=["10 mx.{name}."], a=[address])}


@dataclass
class DnsServer:
    """Serves `zones`, which may be changed while it runs (then call `forget`)."""

    zones: dict[str, Zone]
    port: int = 0
    host: str = "127.0.0.1"
    #: How often each (name, type) was asked, over UDP and TCP together.
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    over_tcp: int = 0
    #: Ports that questions came from.
    sources: list[int] = field(default_factory=list)
    #: The numbers that questions had.
    numbers: list[int] = field(default_factory=list)

    def start(self) -> Self:
        """Bind both sockets and answer in a thread."""
        self._kept: dict[bytes, bytes] = {}
        self._lock = threading.Lock()
        self._timers: list[threading.Timer] = []
        self._udp, self._tcp = self._bind()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the sockets; nothing is answered any more."""
        self._wake.send(b"x")
        self._thread.join()
        for timer in self._timers:
            timer.cancel()
            timer.join()
        for each in (self._udp, self._tcp, self._wake, self._woken):
            each.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """host:port, as the setting `nameservers` takes it."""
        return f"{self.host}:{self.port}"

    def forget(self) -> None:
        """Make answers anew after a change of `zones`."""
        self._kept.clear()

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        """UDP and TCP on one port; where the port is free for one only, another is tried."""
        wanted = self.port
        for _ in range(20):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((self.host, wanted))
                self.port = udp.getsockname()[1]
                tcp.bind((self.host, self.port))
            except OSError:
                udp.close()
                tcp.close()
                if wanted:
                    raise
                continue
            tcp.listen(64)
            return udp, tcp
        raise OSError("no port was free for both UDP and TCP")

    def _serve(self) -> None:
        with selectors.DefaultSelector() as ready:
            for each in (self._udp, self._tcp, self._woken):
                ready.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is self._woken:
                        return
                    if key.fileobj is self._udp:
                        self._one_datagram()
                    else:
                        self._one_connection()

    def _one_datagram(self) -> None:
        octets, client = self._udp.recvfrom(4096)
        self.sources.append(client[1])
        self.numbers.append(int.from_bytes(octets[:2], "big"))
        known = self._kept.get(octets[2:])
        if known is not None:
            self._count(octets)
            self._udp.sendto(octets[:2] + known, client)
            return
        try:
            query = dns.message.from_wire(octets)
        except dns.exception.DNSException:
            return
        zone, name, rdtype = self._find(query)
        self.asked[name, rdtype] += 1
        answer = self._answer(query, zone, name, rdtype, tcp=False)
        if answer is None:
            return
        for forged in _forgeries(answer, zone.forgeries):
            self._udp.sendto(forged, client)
        if zone.delay:
            self._later(zone.delay, answer, client)
            return
        if not zone.forgeries and len(self._kept) < _MOST_KEPT:
            self._kept[octets[2:]] = answer[2:]
        self._udp.sendto(answer, client)

    def _count(self, octets: bytes) -> None:
        end = octets.index(b"\0", 12)
        labels, at = [], 12
        while at < end:
            labels.append(octets[at + 1 : at + 1 + octets[at]].decode("ascii"))
            at += 1 + octets[at]
        [rdtype] = struct.unpack_from("!H", octets, end + 1)
        self.asked[".".join(labels).lower(), dns.rdatatype.to_text(rdtype)] += 1

    def _later(self, delay: float, answer: bytes, client: tuple[str, int]) -> None:
        timer = threading.Timer(delay, self._udp.sendto, (answer, client))
        self._timers.append(timer)
        timer.start()

    def _one_connection(self) -> None:
        connection, _ = self._tcp.accept()
        # Whoever says nothing, or hangs up, does not end the server for all.
        with connection, contextlib.suppress(OSError, dns.exception.DNSException):
            connection.settimeout(5)
            reader = connection.makefile("rb")
            with reader:
                length = int.from_bytes(reader.read(2), "big")
                query = dns.message.from_wire(reader.read(length))
            self.over_tcp += 1
            zone, name, rdtype = self._find(query)
            self.asked[name, rdtype] += 1
            answer = self._answer(query, zone, name, rdtype, tcp=True)
            if answer is not None:
                answer = _forgeries(answer, 1)[0] if zone.astray else answer
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _find(self, query: dns.message.Message) -> tuple[Zone, str, str]:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        return self._zone(name), name, dns.rdatatype.to_text(question.rdtype)

    def _zone(self, name: str) -> Zone:
        """The table's own entry, else that of the first pattern that matches."""
        if name in self.zones:
            return self.zones[name]
        for pattern, zone in self.zones.items():
            if "*" in pattern and fnmatch.fnmatchcase(name, pattern):
                return zone
        return Zone(rcode="NXDOMAIN")

    def _answer(
        self, query: dns.message.Message, zone: Zone, name: str, rdtype: str, *, tcp: bool
    ) -> bytes | None:
        """The octets to send; None for silence."""
        if rdtype in zone.silent or "*" in zone.silent:
            return None
        response = dns.message.make_response(query, our_payload=1232)
        response.flags |= dns.flags.AA | dns.flags.RA
        response.flags &= ~dns.flags.AD
        if zone.signed and query.flags & dns.flags.AD:
            response.flags |= dns.flags.AD
        if zone.garbage is not None:
            octets = bytearray(response.to_wire())
            octets[6:8] = b"\0\2"
            return bytes(octets[: _question_end(octets)]) + zone.garbage
        if zone.truncate and not tcp:
            response.flags |= dns.flags.TC
            return response.to_wire()
        if zone.rcode or rdtype in zone.broken:
            response.set_rcode(dns.rcode.from_text(zone.rcode or "SERVFAIL"))
        else:
            self._fill(response, zone, name, rdtype)
        if not any(records.rdtype == query.question[0].rdtype for records in response.answer):
            self._explain(response, zone, name)
        size = 65535 if tcp else max(query.payload, 512)
        try:
            return response.to_wire(max_size=size)
        except dns.exception.TooBig:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            return cut.to_wire()

    def _fill(self, response: dns.message.Message, zone: Zone, name: str, rdtype: str) -> None:
        """Records of the type, behind the aliases that lead to them."""
        for _ in range(20):
            if not zone.cname:
                break
            _add(response, name, zone.ttl, "CNAME", [zone.cname])
            name = zone.cname.rstrip(".").lower()
            zone = self._zone(name)
        if zone.rcode:
            response.set_rcode(dns.rcode.from_text(zone.rcode))
        _add(response, name, zone.ttl, rdtype, zone.records(rdtype))

    @staticmethod
    def _explain(response: dns.message.Message, zone: Zone, name: str) -> None:
        apex = f"{name.rsplit('.', 1)[-1]}."
        if zone.referral:
            response.authority.append(dns.rrset.from_text(apex, zone.ttl, "IN", "NS", f"ns.{apex}"))
        elif zone.soa and response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            text = f"ns.{apex} hostmaster.{apex} 1 3600 600 86400 {zone.ttl}"
            response.authority.append(dns.rrset.from_text(apex, zone.ttl, "IN", "SOA", text))


def _add(
    response: dns.message.Message, name: str, ttl: int, rdtype: str, records: Sequence[str]
) -> None:
    if records:
        texts = [record.replace("{name}", name) for record in records]
        response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", rdtype, *texts))


def _question_end(octets: bytes | bytearray) -> int:
    return octets.index(b"\0", 12) + 5


def _forgeries(answer: bytes, count: int) -> list[bytes]:
    """Answers with another number, or to another question, or that are questions themselves."""
    number = int.from_bytes(answer[:2], "big")
    other = bytearray(answer)
    other[13] ^= 1
    kinds = (
        (number ^ 1).to_bytes(2, "big") + answer[2:],
        bytes(other),
        answer[:2] + b"\1\0" + answer[4:],
        answer[:5],
    )
    return [kinds[i % len(kinds)] for i in range(count)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended; says `ready` and its address when it answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sink-ip", default="127.0.0.1", help="address of every host")
    parser.add_argument("--mx", default="", help="one MX for all domains, instead of one each")
    options = parser.parse_args(arguments)
    zones: Mapping[str, Zone] = sink_zone(options.sink_ip)
    if options.mx:
        zones = {options.mx: Zone(a=[options.sink_ip]), "*": Zone(mx=[f"10 {options.mx}."])}
    server = DnsServer(dict(zones), port=options.port).start()
    print(f"ready {server.endpoint}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
