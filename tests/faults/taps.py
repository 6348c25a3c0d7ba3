"""What can be seen on a connection to the store, and on one to a host."""

from __future__ import annotations

import re
from collections import deque
from importlib.resources import files
from typing import Any

import hiredis

from relay.store.script import script
from tests.faults.proxy import Proxy

_SCRIPTS = sorted(
    file.name.removesuffix(".lua")
    for file in (files("relay.store") / "scripts").iterdir()
    if file.name.endswith(".lua")
)
#: Every script that the product says, by what names it on the wire.
NAMES = {script(name).sha.encode(): name for name in _SCRIPTS}
_SOURCES = {script(name).source.encode(): name for name in _SCRIPTS}
_REPLY = re.compile(rb"^(\d\d\d)( |\r)", re.MULTILINE)


class StoreTap:
    """Points: (script or command, "before" it is said | "after" it was answered).

    With `marked`, an answer that holds those octets is the point ("marked", "after").
    """

    def __init__(self, proxy: Proxy, marked: bytes = b"") -> None:
        self._proxy = proxy
        self._marked = marked
        self._said = hiredis.Reader(notEnoughData=Ellipsis)
        self._answered = hiredis.Reader(notEnoughData=Ellipsis)
        self._open: deque[str] = deque()

    def said(self, data: bytes) -> tuple[bytes, bool]:
        self._said.feed(data)
        while (command := self._said.gets()) is not Ellipsis:
            name = _name(command)
            if not self._proxy.passes((name, "before")):
                return b"", False
            self._open.append(name)
        return data, True

    def answered(self, data: bytes) -> tuple[bytes, bool]:
        if self._marked and self._marked in data and not self._proxy.passes(("marked", "after")):
            return b"", False
        self._answered.feed(data)
        while self._answered.gets() is not Ellipsis:
            name = self._open.popleft() if self._open else ""
            if not self._proxy.passes((name, "after")):
                return b"", False
        return data, True


def _name(command: Any) -> str:
    verb = bytes(command[0]).upper()
    if verb == b"EVALSHA":
        return NAMES.get(bytes(command[1]), "another script")
    if verb == b"EVAL":
        return _SOURCES.get(bytes(command[1]), "another script")
    return verb.decode()


class HostTap:
    """Points: ("content", "within"), ("dot", "before" it is passed on | "after" the host had it).

    The last one is ("marked dot", "after") for content that holds the octets `marked`.
    """

    def __init__(self, proxy: Proxy, marked: bytes = b"") -> None:
        self._proxy = proxy
        self._marked = marked
        self._has_mark = False
        self._content = False
        #: The end of what was passed on, for a final dot that comes in pieces.
        self._tail = b""
        self._awaited = False

    def said(self, data: bytes) -> tuple[bytes, bool]:
        if not self._content:
            return data, True
        if self._marked and self._marked in data:
            self._has_mark = True
        at = (self._tail + data).find(b"\r\n.\r\n") - len(self._tail)
        ends = (self._tail + data).find(b"\r\n.\r\n") >= 0
        if not self._proxy.passes(("content", "within")):
            return data[: (at if ends else len(data)) // 2], False
        if not ends:
            self._tail = (self._tail + data)[-4:]
            return data, True
        if not self._proxy.passes(("dot", "before")):
            return data[: max(at, 0)], False
        self._content, self._tail, self._awaited = False, b"", True
        return data, True

    def answered(self, data: bytes) -> tuple[bytes, bool]:
        for found in _REPLY.finditer(data):
            if self._awaited:
                point = ("marked dot" if self._has_mark else "dot", "after")
                self._awaited = self._has_mark = False
                if not self._proxy.passes(point):
                    return b"", False
            elif found[1] == b"354":
                self._content, self._tail = True, b"\r\n"
        return data, True
