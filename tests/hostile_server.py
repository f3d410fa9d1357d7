"""A server on 127.0.0.1 that answers HEAD as a hub should, and GET in one of the worst ways."""

import contextlib
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34
FILE_ADDRESS = "file:///etc/hostname"
_MOST = 64 << 20  # bytes that an endless answer sends at most, should nobody stop it


class HostileServer:
    """Serves `content` under every path; `way` names a method of the handler below."""

    def __init__(self, content: bytes, way: str) -> None:
        self.content, self.way = content, way
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.closed = threading.Event()

    def __enter__(self) -> "HostileServer":
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HostileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):  # noqa: N802
        self._note()
        size, location = len(self.hub.content), None
        if self.hub.way == "no answer":
            return self.hub.closed.wait(30)
        if self.hub.way == "huge announced":
            size = 10**15
        if self.hub.way == "redirect to a file":
            location = FILE_ADDRESS
        if self.hub.way == "redirect in circles":
            location = self.path
        self._head(302 if location else 200, size, Location=location)

    def do_GET(self):  # noqa: N802
        self._note()
        name = "_" + self.hub.way.replace(" ", "_")
        way: Callable[[], None] = getattr(self, name, self._whole)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            way()
        self.close_connection = True

    def _note(self):
        self.hub.asked.append((self.command, self.path, dict(self.headers)))

    def _head(self, status, size, **more):
        etag = hashlib.sha256(self.hub.content).hexdigest()
        names = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Length": size, **more}
        self.send_response(status)
        for name, value in names.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _send(self, pieces: Iterator[bytes], pause: float = 0.0):
        for piece in pieces:
            if self.hub.closed.wait(pause) or self.hub.closed.is_set():
                return
            self.wfile.write(piece)

    def _whole(self):
        self._head(200, len(self.hub.content))
        self._send(iter([self.hub.content]))

    def _endless(self):
        self._head(200, None, Connection="close")
        self._send(bytes(1 << 16) for _ in range(_MOST >> 16))

    def _endless_and_announced(self):
        self._head(200, 10**15)
        self._send(bytes(1 << 16) for _ in range(_MOST >> 16))

    def _endless_in_chunks(self):
        self._head(200, None, Transfer_Encoding="chunked")
        self._send(b"10000\r\n" + bytes(1 << 16) + b"\r\n" for _ in range(_MOST >> 16))

    def _trickle(self):
        self._head(200, len(self.hub.content))
        self._send((self.hub.content[i : i + 1] for i in range(len(self.hub.content))), 0.1)

    def _silence(self):
        self._head(200, len(self.hub.content))
        self.hub.closed.wait(30)

    def _slow_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._send((b"X-%d: 1\r\n" % i for i in range(300)), 0.1)

    def _compressed(self):
        data = gzip.compress(bytes(_MOST), 1)
        self._head(200, len(data), Content_Encoding="gzip")
        self._send(iter([data]))

    def _longer(self):
        self._head(200, len(self.hub.content) + 1)
        self._send(iter([self.hub.content + b"!"]))

    def _shorter_than_said(self):
        self._head(200, len(self.hub.content))
        self._send(iter([self.hub.content[:100]]))

    def _get_redirects_to_a_file(self):
        self._head(302, 0, Location=FILE_ADDRESS)

    def _get_redirects_in_circles(self):
        self._head(302, 0, Location=self.path)

    def _other_file(self):
        data = bytes(len(self.hub.content))
        self._head(200, len(data))
        self._send(iter([data]))

    def _error_page(self):
        data = b"<!DOCTYPE html><title>502</title>"
        self._head(200, len(data), Content_Type="text/html")
        self._send(iter([data]))

    def _no_http(self):
        self.wfile.write(b"\x16\x03\x01" + bytes(200))

    def _closes(self):
        time.sleep(0)
