"""Pictures by address, over real sockets: servers that redirect, lie, drip, compress and break off, and an S3 store."""

import asyncio
import gzip
import io
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from PIL import Image

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.testing import serve
from services.preprocessing.app import servicer
from services.preprocessing.pipelines.fetch import web
from services.preprocessing.pipelines.fetch.body import MAX_BYTES
from services.preprocessing.pipelines.fetch.fetcher import Fetcher, open_fetcher
from services.preprocessing.pipelines.workers import Workers
from tests.integration.preproc_service import pipelines, refused

SECRET = "signature-4711"  # noqa: S105 - of nothing
MEBIBYTE = 1024 * 1024


class Server:
    """Answers each path with bytes written as they are, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Callable] = {}
        self.asked: list[bytes] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(head)
                path = head.split()[1].decode().partition("?")[0]
                answer = self.answers.get(path, status(404))
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(answer)
                    await writer.drain()
                if callable(answer) or b"close" in answer[:200]:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def __getitem__(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def status(code: int, *headers: str, body: bytes = b"", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    return status(302, f"Location: {location}")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


def fetching(*sources: str, private_networks=True, seconds=10.0, max_at_once=4):
    return open_fetcher(sources, private_networks=private_networks, seconds=seconds, max_at_once=max_at_once)


async def fetch(fetcher: Fetcher, uri: str, seconds: float = 10.0) -> bytes:
    return await fetcher.fetch(uri, field="image.uri", deadline=Deadline.after(seconds))


@asynccontextmanager
async def raising(kind: type[errors.MeshError], match: str):
    """The error, its field, and that it tells nothing of the address but scheme and host."""
    with pytest.raises(kind, match=match) as caught:
        yield
    error = caught.value
    assert SECRET not in error.message
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    if kind is errors.InvalidArgument:
        assert [violation.field for violation in error.violations] == ["image.uri"]
    if kind in {errors.Unavailable, errors.Exhausted}:
        assert error.retry_after_seconds > 0


async def test_a_picture(server):
    """What lies at an allowed address comes as it is; the query is sent as written, and neither cookies nor proxies."""
    server.answers["/photos/a%20b.jpg"] = status(200, "Set-Cookie: a=b", body=b"picture")
    async with fetching(server["/photos/"]) as fetcher:
        for _ in range(2):
            assert await fetch(fetcher, server[f"/photos/a%20b.jpg?s=%2f%2B+{SECRET}#top"]) == b"picture"
    first, second = server.asked
    assert first.startswith(f"GET /photos/a%20b.jpg?s=%2f%2B+{SECRET} HTTP/1.1".encode())
    assert b"cookie" not in second.lower()
    assert b"accept-encoding: identity" in first.lower()


async def test_proxies_of_the_environment_are_ignored(server, monkeypatch):
    """The connection goes to the address itself."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/a"] = status(200, body=b"picture")
    async with fetching(server["/"]) as fetcher:
        assert await fetch(fetcher, server["/a"]) == b"picture"


async def test_nothing_is_allowed_by_default():
    """Without a setting every address is refused, in words that say how to send a picture instead."""
    async with fetching() as fetcher, raising(errors.InvalidArgument, "MEDIA_SOURCES"):
        await fetch(fetcher, f"https://example.com/{SECRET}")


async def test_other_places(server):
    """Places that the operator did not write down are never asked."""
    async with fetching(server["/photos/"]) as fetcher:
        for path in (f"/{SECRET}", f"/photos/../{SECRET}", f"/photos/%2e%2e/{SECRET}"):
            async with raising(errors.InvalidArgument, "image.uri"):
                await fetch(fetcher, server[path])
        async with raising(errors.InvalidArgument, "user"):
            await fetch(fetcher, f"http://127.0.0.1:{server.port}@127.0.0.1/photos/{SECRET}")
    assert not server.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_private_networks_are_refused(server, host):
    """By name or by number, no connection is made to an address that is not public, though its prefix is allowed."""
    prefix = f"http://{host}:{server.port}/"
    async with (
        fetching(prefix, private_networks=False) as fetcher,
        raising(errors.InvalidArgument, "private network"),
    ):
        await fetch(fetcher, prefix + SECRET)
    assert not server.asked


async def test_a_name_is_judged_by_the_address_that_is_connected_to(server, monkeypatch):
    """A name that is public when it is looked up and private a moment later is refused: there is one look-up."""
    answers = iter(["93.184.216.34", "127.0.0.1"])
    looked_up = []

    async def getaddrinfo(host, port, **_):
        looked_up.append(host)
        return [(2, 1, 6, "", (next(answers), server.port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    connected = []

    async def sock_connect(sock, address):
        connected.append(address[0])
        raise OSError(111, "refused")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    prefix = f"http://rebinding.example:{server.port}/"
    async with fetching(prefix, private_networks=False) as fetcher:
        async with raising(errors.Unavailable, "does not answer"):
            await fetch(fetcher, prefix + SECRET)
        assert (looked_up, connected) == (["rebinding.example"], ["93.184.216.34"])
        fetcher.web._session.connector.clear_dns_cache()
        async with raising(errors.InvalidArgument, "private network"):
            await fetch(fetcher, prefix + SECRET)
    assert connected == ["93.184.216.34"]


async def test_redirects(server):
    """Three are followed, relative ones too, and a fourth is not."""
    server.answers |= {
        "/a/1": redirect("2?x=1"),
        "/a/2": redirect("/a/3"),
        "/a/3": redirect(server["/a/4"]),
        "/a/4": status(200, body=b"picture"),
        "/a/0": redirect("1"),
    }
    async with fetching(server["/a/"]) as fetcher:
        assert await fetch(fetcher, server["/a/1"]) == b"picture"
        async with raising(errors.InvalidArgument, "more than 3 times"):
            await fetch(fetcher, server["/a/0"])


@pytest.mark.parametrize(
    "location",
    [
        "/secret",
        "../secret",
        "..%2fsecret",
        "http://evil.net/a/1",
        "file:///etc/passwd",
        "//evil.net/a/",
        "http://[",
        "",
    ],
)
async def test_redirects_that_leave(server, location):
    """Each redirect must lead to an allowed place; none other is asked."""
    server.answers["/a/1"] = redirect(location)
    async with fetching(server["/a/"]) as fetcher, raising(errors.InvalidArgument, "is redirected to a place"):
        await fetch(fetcher, server["/a/1"])
    assert len(server.asked) == 1


async def test_a_redirect_into_a_private_network(server, monkeypatch):
    """The connection of a redirect is checked as the first one is, also when its prefix is allowed."""
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    server.answers["/a"] = redirect(f"http://127.0.0.2:{server.port}/b")
    sources = (server["/"], f"http://127.0.0.2:{server.port}/")
    async with (
        fetching(*sources, private_networks=False) as fetcher,
        raising(errors.InvalidArgument, "private network"),
    ):
        await fetch(fetcher, server["/a"])
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("code", "kind", "match"),
    [
        (404, errors.NotFound, "has nothing"),
        (410, errors.NotFound, "has nothing"),
        (401, errors.InvalidArgument, "refused by http://127.0.0.1 .401"),
        (403, errors.InvalidArgument, "refused"),
        (206, errors.InvalidArgument, "refused"),
        (304, errors.InvalidArgument, "refused"),
        (429, errors.Unavailable, "does not answer"),
        (500, errors.Unavailable, "does not answer"),
        (503, errors.Unavailable, "does not answer"),
    ],
)
async def test_statuses(server, code, kind, match):
    """What a server says becomes what it means for the caller."""
    server.answers["/a"] = status(code, body=b"" if code == 304 else b"words")
    async with fetching(server["/"]) as fetcher, raising(kind, match):
        await fetch(fetcher, server[f"/a?{SECRET}"])


async def test_nothing_listens():
    """A place where nobody answers is UNAVAILABLE."""
    async with fetching("http://127.0.0.1:1/") as fetcher, raising(errors.Unavailable, "does not answer"):
        await fetch(fetcher, f"http://127.0.0.1:1/{SECRET}")


async def test_the_largest(server):
    """20 MiB are taken, and a byte more is not, whether it was announced or not."""
    content = bytes(MAX_BYTES)
    server.answers["/whole"] = status(200, body=content)
    server.answers["/announced"] = status(200, length=MAX_BYTES + 1)
    server.answers["/unannounced"] = b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + content + b"x"
    async with fetching(server["/"]) as fetcher:
        assert await fetch(fetcher, server["/whole"]) == content
        for path in ("/announced", "/unannounced"):
            async with raising(errors.InvalidArgument, "more than 20971520 bytes"):
                await fetch(fetcher, server[path])


async def test_endless(server):
    """A server that never ends is cut at the limit, with little read beyond it."""
    sent = 0

    async def pour(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"100000\r\n" + bytes(MEBIBYTE) + b"\r\n")
            await writer.drain()
            sent += MEBIBYTE

    server.answers["/a"] = pour
    async with fetching(server["/"]) as fetcher, raising(errors.InvalidArgument, "more than 20971520 bytes"):
        await fetch(fetcher, server["/a"])
    assert sent < 32 * MEBIBYTE


@pytest.mark.parametrize(
    "answer",
    [
        status(200, "Connection: close", body=b"half", length=100),
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: -5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 200 X\r\nX: " + b"a" * 100_000 + b"\r\nConnection: close\r\n\r\n",
        b"nonsense close\r\n\r\n",
        b"close",
    ],
)
async def test_answers_that_are_broken(server, answer):
    """Half an answer, and what is no HTTP, is UNAVAILABLE and never a picture."""
    server.answers["/a"] = answer
    async with fetching(server["/"]) as fetcher, raising(errors.Unavailable, "does not answer"):
        await fetch(fetcher, server[f"/a?{SECRET}"])


async def test_compressed(server):
    """What is sent compressed, unasked, is refused and not unpacked: it may be a bomb."""
    server.answers["/a"] = status(200, "Content-Encoding: gzip", body=gzip.compress(bytes(64 * MEBIBYTE)))
    async with fetching(server["/"]) as fetcher, raising(errors.InvalidArgument, "compressed"):
        await fetch(fetcher, server["/a"])


async def test_nothing_inside(server):
    """An empty file is refused."""
    server.answers["/a"] = status(200)
    async with fetching(server["/"]) as fetcher, raising(errors.InvalidArgument, "0 bytes"):
        await fetch(fetcher, server["/a"])


class Dripping:
    """A server's answer that comes byte by byte and never ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, writer) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            self.begun.set()
            await asyncio.sleep(0.01)


async def test_dripping(server):
    """A slow server is given up after the time that a fetch may take, or at the caller's deadline if earlier."""
    server.answers["/a"] = Dripping()
    async with fetching(server["/"], seconds=0.2) as fetcher:
        async with raising(errors.Unavailable, "does not answer"):
            await fetch(fetcher, server["/a"])
        async with raising(errors.DeadlineExceeded, "in time"):
            await fetch(fetcher, server["/a"], seconds=0.1)


async def test_too_many_at_once(server):
    """Those beyond the bound wait, and are refused at their deadline; a place is free again when a caller goes away."""
    server.answers["/slow"] = dripping = Dripping()
    server.answers["/a"] = status(200, body=b"picture")
    async with fetching(server["/"], max_at_once=1) as fetcher:
        slow = asyncio.create_task(fetch(fetcher, server["/slow"]))
        await dripping.begun.wait()
        async with raising(errors.Exhausted, "too many"):
            await fetch(fetcher, server["/a"], seconds=0.1)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await fetch(fetcher, server["/a"]) == b"picture"


async def test_logs_are_silent(server, caplog):
    """Nothing of an address is logged, whatever goes wrong."""
    server.answers["/broken"] = b"nonsense close\r\n\r\n"
    server.answers["/away"] = redirect(f"http://evil.net/{SECRET}")
    with caplog.at_level(logging.DEBUG):
        async with fetching(server["/"]) as fetcher:
            for path in ("/broken", "/away", "/absent"):
                with pytest.raises(errors.MeshError):
                    await fetch(fetcher, server[f"{path}?{SECRET}"])
    assert SECRET not in caplog.text


def photo() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "PNG")
    return file.getvalue()


async def test_a_picture_by_address_through_the_service(server):
    """Each RPC for pictures takes an address in the place of bytes, and FetchMedia gives the bytes."""
    server.answers["/a.png"] = status(200, body=photo())
    server.answers["/b.png"] = status(200, body=b"noise")
    good, bad = media_pb2.Image(uri=server["/a.png"]), media_pb2.Image(uri=server["/b.png"])
    target = pb.ImageTarget(width=8, height=8)
    with Workers(threads=1, max_waiting=4) as workers:
        async with (
            fetching(server["/"]) as fetcher,
            serve(servicer(await pipelines(workers, fetcher=fetcher))) as channel,
        ):
            stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)
            assert (await stub.TransformImage(pb.TransformImageRequest(image=good))).source_width == 256
            assert (await stub.RenderImage(pb.RenderImageRequest(image=good, targets=[target]))).source_height == 256
            regions = [media_pb2.BoundingBox(x_max=1, y_max=1)]
            covered = await stub.RedactImage(pb.RedactImageRequest(image=good, regions=regions))
            assert covered.media_type == "image/png"
            fetched = await stub.FetchMedia(pb.FetchMediaRequest(uri=good.uri))
            assert fetched.content == photo()
            code, (_, violations) = await refused(stub.TransformImage(pb.TransformImageRequest(image=bad)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert violations.field_violations[0].field == "image.content"
            code, (info,) = await refused(stub.FetchMedia(pb.FetchMediaRequest(uri=server["/absent"])))
            assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "MEDIA_NOT_FOUND")


@pytest.mark.parametrize("source", ["images.example.com", "file:///photos/", "https://user@host/", "s3://bucket/../x"])
async def test_a_source_that_is_none_stops_the_start(source):
    """The setting is read at start."""
    with pytest.raises(ValueError, match="MEDIA_SOURCES"):
        async with fetching(source):
            pass


@pytest.fixture
def s3(server, monkeypatch):
    """A store on the local server, as the environment names it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return server


def stored(body: bytes, *, length: int | None = None) -> bytes:
    return status(
        200, 'ETag: "1"', "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT", "Connection: close", body=body, length=length
    )


def missing(code: int, word: str) -> bytes:
    return status(code, "Connection: close", body=f"<Error><Code>{word}</Code></Error>".encode())


async def test_an_object(s3):
    """An object below an allowed prefix comes signed with the process's own credentials, its name taken literally."""
    s3.answers["/bucket/photos/a.jpg"] = stored(b"picture")
    s3.answers["/bucket/photos/a%2520b.jpg"] = stored(b"literal")
    async with fetching("s3://bucket/photos/") as fetcher:
        assert await fetch(fetcher, "s3://bucket/photos/a.jpg") == b"picture"
        assert await fetch(fetcher, "s3://bucket/photos/a%20b.jpg") == b"literal"
        asked = len(s3.asked)
        for uri in (
            f"s3://bucket/{SECRET}",
            "s3://bucket/photos/../a",
            "s3://other/photos/a.jpg",
            "gs://bucket/photos/a",
        ):
            async with raising(errors.InvalidArgument, "image.uri"):
                await fetch(fetcher, uri)
    assert len(s3.asked) == asked
    assert re.search(rb"authorization: AWS4-HMAC-SHA256 Credential=me/", s3.asked[0], re.IGNORECASE)


async def test_objects_that_cannot_be_had(s3):
    """Nothing there, no permission, too large, empty, broken off: each is the error that a web address would give."""
    s3.answers |= {
        "/bucket/absent": missing(404, "NoSuchKey"),
        "/bucket/closed": missing(403, "AccessDenied"),
        "/bucket/large": stored(b"", length=MAX_BYTES + 1),
        "/bucket/empty": stored(b""),
        "/bucket/half": stored(b"half", length=100),
        "/bucket/busy": missing(503, "SlowDown"),
    }
    async with fetching("s3://bucket", seconds=2) as fetcher:
        for name, kind, match in (
            ("absent", errors.NotFound, "s3://bucket has nothing"),
            ("closed", errors.InvalidArgument, "no permission"),
            ("large", errors.InvalidArgument, "more than 20971520 bytes"),
            ("empty", errors.InvalidArgument, "0 bytes"),
            ("half", errors.Unavailable, "does not answer"),
            ("busy", errors.Unavailable, "does not answer"),
            ("a//b", errors.InvalidArgument, "name of an object"),
            ("a/", errors.InvalidArgument, "name of an object"),
            ("", errors.InvalidArgument, "name of an object"),
        ):
            async with raising(kind, match):
                await fetch(fetcher, f"s3://bucket/{name}")


async def test_a_slow_store(s3):
    """A store that drips is given up too."""
    s3.answers["/bucket/slow"] = Dripping()
    async with fetching("s3://bucket/", seconds=0.3) as fetcher, raising(errors.Unavailable, "does not answer"):
        await fetch(fetcher, "s3://bucket/slow")
