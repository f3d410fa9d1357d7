"""An S3 of moto's on 127.0.0.1, behind a door that can answer badly: 503, 403, cut off, slow."""

import http.client
import logging
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

BUCKET = "pictures"


class S3Server:
    """Serves one bucket; `fault` gets a request's method and path and names what goes wrong.

    Faults: "503", "403", "cut" (half of an answer), "slow" (no answer for a while).
    """

    def __init__(self, fault: Callable[[str, str], str | None] = lambda _method, _path: None):
        self.fault = fault
        self.asked: list[tuple[str, str]] = []

    def __enter__(self) -> "S3Server":
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)

        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._moto.start()
        self._inner = self._moto.get_host_and_port()
        handler = type("Handler", (_Handler,), {"store": self})
        self._door = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._door.daemon_threads, self._door.block_on_close = True, False
        threading.Thread(target=self._door.serve_forever, args=(0.02,), daemon=True).start()
        self.call("PUT", f"/{BUCKET}")
        return self

    def __exit__(self, *_: object) -> None:
        self.call("POST", "/moto-api/reset")
        self._door.shutdown()
        self._door.server_close()
        self._moto.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What leads s3fs here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._door.server_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "SECRET-OF-THE-TEST",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.call("PUT", f"/{BUCKET}/{quote(key)}", content)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self.call("GET", f"/{BUCKET}/{quote(key)}")[1]

    def names(self) -> set[str]:
        """Return the names of all objects."""

        listing = self.call("GET", f"/{BUCKET}?list-type=2")[1].decode()
        return set(re.findall(r"<Key>([^<]*)</Key>", listing))

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Any]:
        """Ask moto itself: status, body, headers."""
        host, port = self._inner
        connection = http.client.HTTPConnection(host, port, timeout=30)
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4"}
        connection.request(method, path, body, headers or signed)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.getheaders()


class _Handler(BaseHTTPRequestHandler):
    store: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def _serve(self) -> None:
        store, method = self.store, self.command
        store.asked.append((method, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = store.fault(method, self.path)
        if fault in ("503", "403"):
            code = {"503": "SlowDown", "403": "AccessDenied"}[fault]
            text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            return self._answer(int(fault), text, [("Content-Type", "application/xml")])
        if fault == "slow":
            time.sleep(3)
        status, content, headers = store.call(method, self.path, body, dict(self.headers))
        return self._answer(status, content, headers, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _answer(
        self, status: int, content: bytes, headers: list[tuple[str, str]], cut: bool = False
    ) -> None:
        self.send_response(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date"):
                self.send_header(name, value)
        length = lengths[0] if self.command == "HEAD" and lengths else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut
