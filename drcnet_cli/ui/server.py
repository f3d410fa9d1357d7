"""Serving the page: to this machine alone unless told otherwise, and never asking others.

Everything that visitors leave lies in one temporary folder, which goes when the server ends.
"""

import socket
import tempfile
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drcnet_cli import settings
from drcnet_cli.errors import UsageError, import_extra
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.ui import NEEDED
from drcnet_cli.ui.store import Store

LOCAL = "127.0.0.1"
# The page may load and send to where it came from, and nothing else.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
# What would have the server fetch an address that a visitor names.
_FETCHING = ("/gradio_api/file=http", "/gradio_api/proxy=")


@dataclass(frozen=True)
class PageOptions:
    """How the page is served. `auth`: a name and a password; `limit`: pictures at a time."""

    host: str = LOCAL
    port: int = 7860
    auth: tuple[str, str] | None = None
    limit: int = 100
    megabytes: int = 200
    open: bool = True


def serve_page(base: RestoreConfig, options: PageOptions, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted; `ready` is told its address.

    Raises UsageError for an address that cannot be served, and where an extra is not installed.
    """
    with (
        _listen(options.host, options.port) as listener,
        tempfile.TemporaryDirectory(prefix="drcnet-ui-", ignore_cleanup_errors=True) as root,
    ):
        settings.prepare_gradio(Path(root))  # before it is imported, which is when it looks
        store = Store(Path(root))
        uvicorn: Any = import_extra("uvicorn", "ui", NEEDED)
        app = _make_app(base, store, options)
        store.keep()
        # Open pages would keep it from ending, and fill the terminal when it does.
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        host = LOCAL if options.host in ("0.0.0.0", "::") else options.host  # noqa: S104
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        ready(address)
        if options.open:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        try:
            server.run(sockets=[listener])
        finally:
            store.close()


def _make_app(base: RestoreConfig, store: Store, options: PageOptions) -> Any:  # noqa: ANN401
    """Make the application that is served."""
    gradio, fastapi, trustedhost = (
        import_extra(name, "ui", NEEDED)
        for name in ("gradio", "fastapi", "fastapi.middleware.trustedhost")
    )
    from drcnet_cli.ui.page import build_page

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if options.host == LOCAL:
        # Else a site could call itself by a name that leads here, and use the page from within.
        app.add_middleware(trustedhost.TrustedHostMiddleware, allowed_hosts=[LOCAL, "localhost"])
    app.add_middleware(_Guard)
    return gradio.mount_gradio_app(
        app,
        build_page(base, store, options.limit),
        path="/",
        auth=options.auth,
        max_file_size=f"{options.megabytes}mb",
        show_error=False,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=True,
    )


class _Guard:
    """Add the headers that keep the page to itself; refuse what would fetch from elsewhere."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        async def guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        if scope["type"] == "http" and scope["path"].startswith(_FETCHING):
            await guarded({"type": "http.response.start", "status": 403, "headers": []})
            await guarded({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, guarded)


def _listen(host: str, port: int) -> socket.socket:
    """Open the port; raises UsageError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"Port {port} of {host} cannot be served: {error.strerror or error}.",
            f"Use --port {port + 1}, or --port 0 for any that is free",
        ) from error
    return listener
