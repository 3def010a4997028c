"""A hub on this machine: what huggingface_hub asks of the real one for a model, and no more.

Serves folders as repositories; gated ones want a token of an account that accepted the licence.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LocalHub:
    """repositories: folder by name. gated: names that want a token. accounts: whether the account
    of a token accepted the licences. requests: what was asked, as "GET /path". hold: while it is
    clear, weights stop after their first bytes.
    """

    repositories: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    accounts: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def files(self, name: str) -> list[Path]:
        """A repository's files, by their paths in it."""
        folder = self.repositories[name]
        return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())

    def downloads(self) -> list[str]:
        """The files whose bytes were asked for."""
        return [
            r.split("/resolve/")[1].split("/", 1)[1]
            for r in self.requests
            if "GET" in r and "/resolve/" in r
        ]


@contextmanager
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    """The hub on a free port of this machine."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    hub.hold.set()
    try:
        yield hub
    finally:
        hub.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.served.requests.append(f"{self.command} {path}")
        is_api = path.startswith("/api/models/")
        rest = path.removeprefix("/api/models/").lstrip("/")
        name = "/".join(rest.split("/")[:2])
        rest = rest[len(name) + 1 :]
        if name not in self.served.repositories:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif is_api and rest.startswith("revision/"):
            self._describe(name, rest.removeprefix("revision/"))
        elif not self._is_let_in(name):
            pass
        elif is_api:
            self._send(200, b"{}", {}, with_body=with_body)
        else:
            self._send_file(name, rest.split("/", 2), with_body=with_body)

    def _is_let_in(self, name: str) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.served.accounts:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif name not in self.served.gated or self.served.accounts.get(token):
            return True
        else:
            status = 403 if token else 401
            self._refuse(status, "GatedRepo", f"Access to model {name} is restricted.")
        return False

    def _describe(self, name: str, revision: str) -> None:
        if revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        folder = self.served.repositories[name]
        siblings = [
            {"rfilename": str(file), "size": (folder / file).stat().st_size}
            for file in self.served.files(name)
        ]
        about = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}
        self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _send_file(self, name: str, place: list[str], *, with_body: bool) -> None:
        _, revision, file = place
        path = self.served.repositories[name] / file
        if revision not in ("main", COMMIT) or not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        data = path.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = self.headers.get("Range")
        if start is None or not with_body:
            self._send(200, data, headers, with_body=with_body)
            return
        first = int(start.removeprefix("bytes=").split("-")[0])
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send(206, data[first:], headers)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": message})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if not with_body:
            return
        try:
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            if len(body) > 1_000_000:
                self.served.hold.wait()
            self.wfile.write(body[half:])
        except OSError:
            self.close_connection = True  # the other side has gone

    def log_message(self, format: str, *args: object) -> None:
        pass
