"""Stores of other kinds: what they tell of their files is compared, web servers are read within bounds."""

import base64
import contextlib
import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fsspec.asyn import AsyncFileSystem

from optsuite import storage
from optsuite.errors import StorageError
from optsuite.storage import _patience


class Store(AsyncFileSystem):
    """An object store like Google's, or one whose checksums are of another kind."""

    protocol = ("gs", "gcs")
    cachable = False

    def __init__(self, told="md5Hash", damage=()):
        super().__init__()
        self.files, self.told, self.damage, self.calls = {}, told, list(damage), []

    def _answer(self, path):
        content = self.files[path]
        digest = hashlib.md5(content).digest()
        answer = {"name": path, "size": len(content), "type": "file"}
        tags = {"md5Hash": base64.b64encode(digest).decode(), "ETag": f'"{digest.hex()}"'}
        return {**answer, self.told: tags[self.told]} if self.told in tags else {**answer, "ETag": "ab" * 16}

    def _damaged(self, content):
        return content[:-1] + b"?" if self.damage and self.damage.pop(0) else content

    async def _pipe_file(self, path, value, mode="overwrite", chunksize=0):
        self.calls.append("put")
        assert chunksize > 2**32
        if mode == "create" and path in self.files:
            raise FileExistsError(path)
        self.files[path] = self._damaged(value)
        return self._answer(path) if self.told != "nothing" else None

    async def _info(self, path, **kwargs):
        self.calls.append("head")
        if path not in self.files:
            raise FileNotFoundError(path)
        return self._answer(path)

    async def _cat_file(self, path, start=None, end=None, **kwargs):
        self.calls.append("get")
        return self._damaged(self.files[path])[start:end]


@pytest.fixture
def use(monkeypatch):
    def use(store):
        monkeypatch.setattr(storage._files, "opened", lambda url: (store, url.removeprefix("gs://")))
        monkeypatch.setattr(_patience, "WRITING", _patience.Patience(30, 10))
        monkeypatch.setattr(_patience, "READING", _patience.Patience(30, 10))
        return store

    return use


@pytest.mark.parametrize("told", ["md5Hash", "ETag"])
def test_a_put_whose_checksum_is_told_is_one_call(use, told):
    store = use(Store(told))
    storage.write_bytes("gs://b/a", b"123")
    assert store.calls == ["put"]
    assert storage.create("gs://b/c", b"1")
    assert store.calls == ["put", "put"]
    assert not storage.create("gs://b/c", b"2")
    assert storage.read_bytes("gs://b/a") == b"123"


@pytest.mark.parametrize("told", ["another", "nothing"])
def test_a_put_whose_checksum_is_not_told_is_read_back(use, told):
    store = use(Store(told))
    storage.write_bytes("gs://b/a", b"123")
    assert store.calls[0] == "put"
    assert "get" in store.calls
    assert storage.read_bytes("gs://b/a") == b"123"


@pytest.mark.parametrize("told", ["md5Hash", "ETag", "another", "nothing"])
def test_a_put_that_was_damaged_is_made_again(use, told):
    store = use(Store(told, damage=[True]))
    storage.write_bytes("gs://b/a", b"123")
    assert store.files == {"b/a": b"123"}
    assert store.calls.count("put") == 2


def test_a_get_that_was_damaged_is_made_again(use):
    store = use(Store(damage=[False, True]))
    storage.write_bytes("gs://b/a", b"123")
    assert storage.read_bytes("gs://b/a") == b"123"
    assert store.calls == ["put", *["head", "get"] * 2]


@pytest.mark.parametrize("told", ["md5Hash", "another"])
@pytest.mark.parametrize("other", [b"1", b"1234567", b"321"])
def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(use, told, other):
    store = use(Store(told))
    storage.write_bytes("gs://b/a", b"123")
    answer = store._answer

    def replace_after(path):
        try:
            return answer(path)
        finally:
            store.files[path] = other

    store._answer = replace_after
    assert storage.read_bytes("gs://b/a") == other


def test_a_file_larger_than_it_may_be_is_not_fetched_whole(use):
    store = use(Store())
    storage.write_bytes("gs://b/a", b"123456")
    with pytest.raises(storage.CorruptFileError, match="too large"):
        storage.read_bytes("gs://b/a", most=4)
    storage.write_bytes("gs://b/a", b"")
    assert storage.read_bytes("gs://b/a", most=4) == b""
    assert "get" in store.calls


def test_a_create_whose_answer_was_lost_is_known_by_its_content(use):
    store = use(Store())
    put, lost = store._pipe_file, []

    async def lose(*args, **kwargs):
        await put(*args, **kwargs)
        if not lost:
            lost.append(1)
            raise ConnectionResetError

    store._pipe_file = lose
    assert storage.create("gs://b/a", b"mine")
    assert not storage.create("gs://b/a", b"other")


# Errors that pass, and others


class AnswerError(Exception):
    def __init__(self, status):
        self.status = status


class ClientConnectionError(Exception):
    """As aiohttp's."""


def told_by_s3(status, code):
    class ClientError(Exception):
        response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}  # noqa: RUF012

    error = OSError(errno.EINVAL, "translated")
    error.__cause__ = ClientError()
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ClientConnectionError(), True),
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.ESTALE, ""), True),
        (OSError(errno.EROFS, ""), False),
        (OSError("Forbidden: b/a"), False),
        (PermissionError(), False),
        (FileNotFoundError(), False),
        (ValueError(), False),
        (StorageError(), False),
        *[(AnswerError(status), True) for status in (408, 429, 500, 502, 503, 504)],
        *[(AnswerError(status), False) for status in (400, 401, 403, 404, 501)],
        (told_by_s3(503, "SlowDown"), True),
        (told_by_s3(400, "BadDigest"), True),
        (told_by_s3(400, "IncompleteBody"), True),
        (told_by_s3(409, "ConditionalRequestConflict"), True),
        (told_by_s3(400, "InvalidBucketName"), False),
        (told_by_s3(403, "RequestTimeTooSkewed"), False),
        (told_by_s3(412, "PreconditionFailed"), False),
    ],
)
def test_errors_that_pass_are_told_from_others(error, passes):
    assert _patience.is_passing(error) == passes
    assert _patience.is_refusal(error) == ("412" in str(getattr(error.__cause__, "response", "")))


# Web servers


class Web(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path == "/none":
            self.send_error(404)
        elif self.path == "/busy" and (self.server.tries.append(1) or len(self.server.tries) < 3):
            self.send_error(503)
        elif self.path == "/stuck":
            self.server.stopped.wait()
        else:
            self.send_response(200)
            self.send_header("Content-Length", "5" if self.path == "/busy" else str(2**40))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"12345")
                while self.path == "/endless":
                    self.wfile.write(bytes(2**16))


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.daemon_threads, server.block_on_close = True, False
    server.tries, server.stopped = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.stopped.set()
    server.shutdown()
    server.server_close()


def test_no_more_of_a_web_page_is_read_than_it_may_be_large(web):
    with pytest.raises(storage.CorruptFileError, match="endless` is too large: needed at most 100,000 bytes"):
        storage.read_bytes(f"{web}/endless", most=100_000)


def test_web_servers_are_asked_again_and_their_refusals_told(web, monkeypatch):
    monkeypatch.setattr(_patience, "READING", _patience.Patience(30, 10))
    assert storage.read_bytes(f"{web}/busy") == b"12345"
    with pytest.raises(storage.MissingFileError, match="none`: there is no such file"):
        storage.read_bytes(f"{web}/none")
    monkeypatch.setattr(_patience, "READING", _patience.Patience(0.5, 0.5))
    with pytest.raises(storage.UnreachableError, match="stuck"):
        storage.read_bytes(f"{web}/stuck", most=10)
    with pytest.raises(storage.UnreachableError, match="cut"):
        storage.read_bytes(f"{web}/cut", most=10)


def test_files_of_a_web_server_cannot_be_created(web):
    with pytest.raises(StorageError, match="cannot create"):
        storage.create(f"{web}/a", b"")


def test_the_random_numbers_of_others_are_left_alone(tmp_path, monkeypatch):
    import random

    random.seed(0)
    state = random.getstate()
    monkeypatch.setattr(
        storage._files, "replace_local", lambda *args: (_ for _ in ()).throw(OSError(errno.EIO, "x"))
    )
    with pytest.raises(storage.UnreachableError):
        storage.write_bytes(str(tmp_path / "a"), b"")
    assert random.getstate() == state
