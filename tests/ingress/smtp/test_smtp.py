import re

import pytest

from relay.errors import StoreUnavailable, SubmissionRefused
from relay.mail.reply import Reply
from tests.support.dialog import dialog, greeted
from tests.support.programs import program
from tests.support.reception import ENVELOPE, MESSAGE, Servers, run, until
from tests.support.smuggling import VARIANTS, smuggling


@pytest.mark.parametrize("reuse", [["-d"], []], ids=["one connection", "a connection a message"])
async def test_smtp_source_hands_in_every_message(servers: Servers, reuse: list[str]) -> None:
    port = await servers.start()
    await run(
        program("smtp-source", "postfix"), *reuse, "-s", "5", "-m", "200", "-l", "4096", "-r", "2",
        "-f", "a@s.example", "-t", "b@d.example", f"127.0.0.1:{port}",
    )  # fmt: skip
    assert len(servers.submitter.submissions) == 200
    assert len({submission.id for submission in servers.submitter.submissions}) == 200
    for submission in servers.submitter.submissions:
        assert submission.envelope.sender == "a@s.example"
        assert len(submission.envelope.recipients) == 2
        assert submission.client == "127.0.0.1"
    assert servers.tally.messages == [
        (submission.id, len(content))
        for submission, content in zip(
            servers.submitter.submissions, servers.submitter.contents, strict=True
        )
    ]


@pytest.mark.parametrize("pipelined", [[], ["--pipeline"]], ids=["one by one", "pipelined"])
async def test_swaks_sees_the_id_in_the_answer(servers: Servers, pipelined: list[str]) -> None:
    port = await servers.start()
    output = await run(
        program("swaks"), "--server", f"127.0.0.1:{port}", "--helo", "client.example",
        "--from", "a@s.example", "--to", "b@d.example,c@e.example",
        "--body", ".a dot\n..two", *pipelined,
    )  # fmt: skip
    [submission] = servers.submitter.submissions
    assert f"250 2.0.0 Ok: queued as {submission.id}" in output
    recipients = [recipient.address for recipient in submission.envelope.recipients]
    assert recipients == ["b@d.example", "c@e.example"]
    assert b"\r\n\r\n.a dot\r\n..two\r\n" in servers.submitter.contents[0]


async def test_the_trace_header_stands_in_front(servers: Servers) -> None:
    port = await servers.start()
    async with greeted(port) as client:
        await client.say(MESSAGE, 4)
    [submission] = servers.submitter.submissions
    assert re.fullmatch(
        rb"Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n"
        rb"\tby relay\.example \(Relay\) with ESMTP id %b;\r\n"
        rb"\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n"
        rb"Subject: x\r\n\r\nhi\r\n" % submission.id.encode(),
        b"".join(submission.content),
    )


async def test_empty_content_is_a_message(servers: Servers) -> None:
    port = await servers.start()
    async with greeted(port) as client:
        assert (await client.say(ENVELOPE + b".\r\n", 4))[-1].startswith("250 2.0.0 Ok: queued as")
    assert servers.submitter.contents == [b""]


async def test_a_large_message_comes_in_chunks(servers: Servers) -> None:
    port = await servers.start()
    content = b"\r\n" + b"".join(b"%076d\r\n" % n for n in range(20_000))
    async with greeted(port) as client:
        assert (await client.say(ENVELOPE + content + b".\r\n", 4))[-1].startswith("250 ")
    [submission] = servers.submitter.submissions
    assert servers.submitter.contents == [content]
    assert len(submission.content) > 4
    assert max(map(len, submission.content)) <= 256 * 1024


async def test_a_session_piped_in_whole_gets_every_reply(servers: Servers) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    async with dialog(port) as client:
        client.writer.write(b"HELO client.example\r\n" + MESSAGE)
        client.writer.write_eof()
        await servers.submitter.handed_over.wait()
        servers.submitter.answer()
        lines = (await client.rest()).splitlines()
    assert [line[:3] for line in lines] == [b"220", b"250", b"250", b"250", b"354", b"250"]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_smuggling_ends_in_one_refused_message(servers: Servers, variant: str) -> None:
    port = await servers.start()
    async with greeted(port) as client:
        replies = await client.say(ENVELOPE + smuggling(VARIANTS[variant]) + b"QUIT\r\n", 5)
        assert await client.rest() == b""
    assert replies[3][:9] in ("550 5.6.1", "550 5.6.0")
    assert replies[4].startswith("221 ")
    assert servers.submitter.submissions == []


async def test_who_is_in_no_network_may_not_relay(servers: Servers) -> None:
    port = await servers.start(networks=())
    async with greeted(port) as client:
        replies = await client.say(ENVELOPE, 3)
        assert [reply[:9] for reply in replies] == ["250 2.1.0", "554 5.7.1", "554 5.5.1"]
    assert servers.submitter.submissions == []
    assert [reply.enhanced for reply in servers.tally.refusals] == ["5.7.1", "5.5.1"]


async def test_no_answer_is_given_before_the_message_is_durable(servers: Servers) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    async with greeted(port) as client:
        await client.say(MESSAGE + b"NOOP\r\n" + MESSAGE, 3)
        await servers.submitter.handed_over.wait()
        # Whatever is said on another connection comes after all that this one could have said.
        async with greeted(port) as other:
            await other.say(b"NOOP\r\n")
        assert len(servers.submitter.submissions) == 1
        assert servers.tally.messages == []
        servers.submitter.answer()
        replies = [await client.reply() for _ in range(5)]
        assert replies[0] == f"250 2.0.0 Ok: queued as {servers.submitter.submissions[0].id}"
        assert [reply[:3] for reply in replies] == ["250", "250", "250", "250", "354"]
        servers.submitter.answer()
        assert (await client.reply()).endswith(servers.submitter.submissions[1].id)


@pytest.mark.parametrize("raised", [False, True], ids=["the future fails", "submit raises"])
@pytest.mark.parametrize(
    ("failure", "reply"),
    [
        (
            SubmissionRefused(Reply(452, "4.3.1", "The queue is full")),
            "452 4.3.1 The queue is full",
        ),
        (StoreUnavailable("gone"), "451 4.3.0"),
        (ZeroDivisionError("a bug"), "451 4.3.0"),
    ],
    ids=["refused", "unavailable", "a bug"],
)
async def test_what_was_not_accepted_is_answered_and_the_session_lives(
    servers: Servers, failure: Exception, reply: str, raised: bool
) -> None:
    (servers.submitter.crashes if raised else servers.submitter.failures).append(failure)
    port = await servers.start()
    async with greeted(port) as client:
        assert (await client.say(MESSAGE, 4))[-1].startswith(reply)
        assert (await client.say(MESSAGE, 4))[-1].startswith("250 2.0.0 Ok: queued as")
    assert len(servers.tally.messages) == 1


async def test_a_submission_given_up_is_to_be_sent_again(servers: Servers) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    async with greeted(port) as client:
        await client.say(MESSAGE, 3)
        await servers.submitter.handed_over.wait()
        servers.submitter.open.pop()[1].cancel()
        assert (await client.reply()).startswith("451 4.3.0")


async def test_a_client_that_goes_away_leaves_its_message_accepted(servers: Servers) -> None:
    servers.submitter.waits = True
    port = await servers.start()
    async with greeted(port) as client:
        await client.say(MESSAGE + MESSAGE, 3)
        await servers.submitter.handed_over.wait()
        client.reset()
    await until(lambda: servers.tally.sessions == 0)
    servers.submitter.answer()
    await until(lambda: len(servers.tally.messages) == 1)
    # What it had pipelined behind is not taken: nobody would hear the answer.
    assert len(servers.submitter.submissions) == 1
    async with greeted(port) as client:
        await client.say(b"NOOP\r\n")


async def test_an_idempotency_key_is_taken_out_of_the_message(servers: Servers) -> None:
    port = await servers.start(key_field="X-Relay-Idempotency-Key")
    async with greeted(port) as client:
        content = b"X-Relay-Idempotency-Key: k1\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
        assert (await client.say(ENVELOPE + content, 4))[-1].startswith("250 2.0.0")
    [submission] = servers.submitter.submissions
    assert submission.idempotency_key == "k1"
    assert servers.submitter.contents == [b"Subject: x\r\n\r\nhi\r\n"]
    assert submission.content[0][submission.trace :] == b"Subject: x\r\n\r\nhi\r\n"


async def test_a_bad_idempotency_key_is_refused_and_the_session_goes_on(servers: Servers) -> None:
    port = await servers.start(key_field="X-Relay-Idempotency-Key")
    async with greeted(port) as client:
        content = b"X-Relay-Idempotency-Key: a b\r\n\r\nhi\r\n.\r\n"
        assert (await client.say(ENVELOPE + content, 4))[-1].startswith("550 5.6.0")
        assert (await client.say(MESSAGE, 4))[-1].startswith("250 2.0.0")
