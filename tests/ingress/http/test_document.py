"""The API's document: it is true, as schemathesis finds by asking what it allows and what not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from relay.ingress.http.document import document
from tests.ingress.http.conftest import HELLO, Serve


async def test_the_document_and_its_page_are_served(api: httpx.AsyncClient) -> None:
    served = (await api.get("/openapi.json")).json()
    assert served == msgspec.json.decode(msgspec.json.encode(document()))
    page = await api.get("/docs")
    assert "POST /v1/messages" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "src=" not in page.text


async def test_schemathesis_finds_nothing(
    serve: Serve, token: Callable[..., Any], tmp_path: Path
) -> None:
    root = await token("root", scopes=("send", "read", "admin"))
    async with serve(index=("recipients", "tags")) as url:
        await asked_by_schemathesis(url, root, tmp_path)


async def asked_by_schemathesis(url: str, root: dict[str, str], tmp_path: Path) -> None:
    # What a schema cannot say, such as what an address is, is refused all the same. Events are
    # a stream, whose answer does not end; and a batch has a result for each message, bad or good.
    scheduled = HELLO | {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    async with httpx.AsyncClient(base_url=url, headers=root) as api:
        accepted = await api.post("/v1/messages", json=scheduled)
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        [checks]
        positive_data_acceptance.enabled = false
        [parameters]
        "path.id" = "{accepted.json()["id"]}"
        [[operations]]
        include-path = "/v1/suppressions"
        checks.not_a_server_error.enabled = false
        [[operations]]
        include-path = "/v1/events"
        enabled = false
        [[operations]]
        include-path = "/v1/messages:batch"
        checks.negative_data_rejection.enabled = false
        """
    )
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json"),
        *("--max-examples", "8", "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("-H", f"Authorization: {root['Authorization']}"),
    ]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(100):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
