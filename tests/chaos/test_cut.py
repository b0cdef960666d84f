"""A client that dies between the head and the body of a write must not leave an empty object behind.

Amazon S3 refuses a body that is shorter than announced. SeaweedFS and ministack store what came, be
it nothing, even in place of what an `If-Match` protected, unless the request says what the body's
digest is. `kill -9` of a worker hits that moment once in a few hundred times.
"""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit

import pytest

from oqkit.errors import Missing, Unavailable
from oqkit.store.s3 import S3Store
from tests.local import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


class Scissors:
    """Passes each connection's first `n_body` bytes behind the head on to the server, and hangs up on both."""

    def __init__(self, url, *, n_body):
        upstream = urlsplit(url)
        self._upstream = (upstream.hostname, upstream.port)
        self._n_body = n_body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.n_cut = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self._upstream) as server:
                data = b""
                while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < self._n_body:
                    data += client.recv(65536)
                head, end, body = data.partition(b"\r\n\r\n")
                server.sendall(head + end + body[: self._n_body])
                self.n_cut += 1


@pytest.mark.parametrize("n_body", (0, 10))
@pytest.mark.parametrize("name", ("seaweed", "ministack_server"))
def test_write_that_was_cut_off_leaves_no_trace(request, aws, name, n_body):
    server = request.getfixturevalue(name)
    server.create_bucket("cut-bucket")
    store = S3Store("cut-bucket", f"cut-{n_body}", endpoint_url=server.endpoint_url)
    etag = store.create("there", b"what was there")
    with Scissors(server.endpoint_url, n_body=n_body) as scissors:
        cut = S3Store("cut-bucket", f"cut-{n_body}", endpoint_url=scissors.url, read_timeout_s=2)
        for write in (
            lambda: cut.create("new", b"something quite new"),
            lambda: cut.replace("there", b"something else instead", etag=etag),
            lambda: cut.overwrite("there", b"something else instead"),
        ):
            with pytest.raises(Unavailable):
                write()
        assert scissors.n_cut >= 3
    threading.Event().wait(0.5)  # the server may still be at it
    until(lambda: store.read("there").data == b"what was there", wait_s=1, what="the object is what it was")
    assert store.read("there").etag == etag
    with pytest.raises(Missing):
        store.read("new")
