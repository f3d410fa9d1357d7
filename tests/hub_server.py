"""A small hub on 127.0.0.1 that speaks enough of the real one's HTTP for its real client.

Downloads: HEAD and GET of `/OWNER/NAME/resolve/REVISION/FILE` with Range, ETag, X-Repo-Commit and
X-Error-Code. Uploads: repository creation, preupload, LFS batch, LFS upload and commit. `fault`
makes it misbehave in one of the ways that real servers, proxies and networks do.
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

REPO = "someone/checkpoints"
COMMIT = "c0ffee" + "0" * 34

Fault = Literal[
    "",
    "cut once",  # the first GET breaks off half way, later ones with Range are served
    "short",  # HEAD announces the whole file, GET serves a complete answer of half of it
    "web page",  # every answer is HTML with 200, as a login portal's
    "body is a web page",  # HEAD is a hub's, the content is HTML with 200
    "error 500",
    "error once",  # the first answer is 503
    "gated",
    "forbidden",
]
PAGE = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class Seen:
    """One request as it arrived, and the status that it got."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


@dataclass
class HubServer:
    """A hub with one repository; used as a context manager, then `url` is its address."""

    files: dict[str, bytes] = field(default_factory=dict)
    fault: Fault = ""
    commit: str = COMMIT
    private: bool = False
    delay: float = 0.0  # seconds before each GET is answered
    pace: float = 0.0  # bytes a second of a body; 0 is as fast as can be
    seen: list[Seen] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    created: list[dict] = field(default_factory=list)
    commits: list[list[dict]] = field(default_factory=list)

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def requests(self, method: str) -> list[Seen]:
        return [item for item in self.seen if item.method == method]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):  # noqa: N802
        self._serve()

    def do_GET(self):  # noqa: N802
        self._serve()

    def do_PUT(self):  # noqa: N802
        oid = self.path.rsplit("/", 1)[-1]
        self.hub.uploaded[oid] = self._body()
        self._reply(200)

    def do_POST(self):  # noqa: N802
        body, path = self._body(), urlsplit(self.path).path
        if self.hub.fault == "forbidden":
            return self._reply(403, b"{}", X_Error_Message="You may not write here")
        if path == "/api/repos/create":
            self.hub.created.append(json.loads(body))
            return self._json({"url": f"{self.hub.url}/{REPO}"})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in path:
            return self._json({"files": [self._upload_mode(f) for f in json.loads(body)["files"]]})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [self._lfs_action(item) for item in json.loads(body)["objects"]]
            return self._json({"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            self.hub.commits.append([json.loads(line) for line in body.splitlines()])
            url = f"{self.hub.url}/{REPO}/commit/{self.hub.commit}"
            return self._json(
                {"success": True, "commitOid": self.hub.commit, "commitUrl": url, "hookOutput": ""}
            )
        return self._reply(404)

    def _upload_mode(self, file):
        mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _lfs_action(self, item):
        upload = {"href": f"{self.hub.url}/lfs/{item['oid']}"}
        return {"oid": item["oid"], "size": item["size"], "actions": {"upload": upload}}

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self):
        """Answer a HEAD or GET for a file, with the fault of the day."""
        fault = self.hub.fault
        if fault == "web page":
            return self._reply(200, PAGE, Content_Type="text/html")
        if fault == "error 500" or (fault == "error once" and not self.hub.seen):
            return self._reply(500 if fault == "error 500" else 503)
        if fault == "gated":
            return self._reply(403, X_Error_Code="GatedRepo", X_Error_Message="Access is gated")
        if fault == "forbidden":
            return self._reply(403, X_Error_Message="Forbidden")
        if self.hub.private and "Authorization" not in self.headers:
            return self._reply(401, X_Error_Code="RepoNotFound")
        match = RESOLVE.fullmatch(urlsplit(self.path).path)
        if match is None or match["repo"] != REPO:
            return self._reply(404, X_Error_Code="RepoNotFound")
        if match["revision"] not in ("main", self.hub.commit):
            return self._reply(404, X_Error_Code="RevisionNotFound")
        if match["file"] not in self.hub.files:
            commit = self.hub.commit
            return self._reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        return self._file(self.hub.files[match["file"]])

    def _file(self, content):
        fault, is_get = self.hub.fault, self.command == "GET"
        time.sleep(self.hub.delay if is_get else 0.0)
        names: dict = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        names |= {"X_Repo_Commit": self.hub.commit, "Accept_Ranges": "bytes"}
        if is_get and fault == "body is a web page":
            return self._reply(200, PAGE, **names)
        if is_get and fault == "short":
            return self._reply(200, content[: len(content) // 2], **names)
        cut = is_get and fault == "cut once" and len(self.hub.requests("GET")) == 0
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start is None:
            return self._reply(200, content, cut=cut, **names)
        first = int(start[1])
        names["Content_Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return self._reply(206, content[first:], cut=cut, **names)

    def _json(self, value):
        self._reply(200, json.dumps(value).encode(), Content_Type="application/json")

    def _reply(self, status, content=b"", cut=False, **headers):
        """Send an answer; `cut` closes the connection after half of what was announced."""
        self.hub.seen.append(Seen(self.command, self.path, dict(self.headers), status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._send(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _send(self, content):
        pace = self.hub.pace
        if not pace:
            self.wfile.write(content)
            return
        step = max(1, int(pace / 50))
        for start in range(0, len(content), step):
            time.sleep(0.02)
            try:
                self.wfile.write(content[start : start + step])
            except ConnectionError:  # the client was killed
                self.close_connection = True
                return


def committed_files(hub: HubServer) -> dict[str, bytes]:
    """Return the contents of the last commit, its LFS files filled in from the uploads."""
    files = {}
    for line in hub.commits[-1]:
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            files[value["path"]] = hub.uploaded[value["oid"]]
    return files
