"""Each way in which the hub, or the way to it, can fail, as one sentence and a next step.

huggingface_hub has changed its HTTP library twice (requests, httpx, httpx2), so nothing here names
one: what the installed version raises is read off the base classes of its own HfHubHTTPError.
"""

import re

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from drcnet_cli.errors import NetworkError
from drcnet_cli.weights.manifest import HubSource

_ANCESTRY = HfHubHTTPError.__mro__
# The base of all errors of the HTTP library: requests' RequestException or httpx's HTTPError.
_CLIENT_ERROR = _ANCESTRY[_ANCESTRY.index(OSError) - 1]
# The client's text for a complete answer of the wrong length; it has no class of its own.
_INCOMPLETE = re.compile(r"should be of size (?P<announced>\d+) but has size (?P<sent>\d+)")
_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}

# All that the hub's client raises on purpose: ValueError for an answer that it cannot parse,
# RuntimeError for a failed transfer through hf-xet or LFS, the HTTP library's errors and OSErrors.
HUB_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    RuntimeError,
    EntryNotFoundError,
    _CLIENT_ERROR,
)


def root_cause(error: BaseException) -> BaseException:
    """Unwrap `not found locally either` and `upload failed`, which hide what the server said."""
    wraps = isinstance(error, (LocalEntryNotFoundError, RuntimeError))
    return error.__cause__ if wraps and error.__cause__ is not None else error


def is_connection_failure(error: BaseException) -> bool:
    """Tell whether the server was not reached or the connection broke: a partial file is good."""
    if isinstance(error, (HfHubHTTPError, OfflineModeIsEnabled)):
        return False
    return isinstance(error, (_CLIENT_ERROR, ConnectionError, TimeoutError))


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may well succeed a moment later."""
    return is_connection_failure(error) or _status(error) in _TRANSIENT_STATUS


def is_local(error: BaseException) -> bool:
    """Tell whether the file system of this machine refused (full, read-only), not the hub."""
    return (
        isinstance(error, OSError)
        and error.errno is not None
        and not isinstance(error, (_CLIENT_ERROR, ConnectionError, TimeoutError))
    )


def explain(error: BaseException, source: HubSource, hint: str) -> NetworkError:
    """Return (not raise) the NetworkError for an error among HUB_ERRORS.

    `hint` is the way that works without the hub; a better one for the case at hand replaces it.
    """
    token = "Log in with a token that may read it: set HF_TOKEN."
    place = f"{source.repo} at {constants.ENDPOINT}"
    # Kinds before their base classes: a gated repository is also a `not found` one.
    sentences: tuple[tuple[type[BaseException], str, str], ...] = (
        (OfflineModeIsEnabled, f"Offline mode forbids asking {place}.", hint),
        (HFValidationError, f"{source.repo!r} is not a repository name (owner/name).", hint),
        (GatedRepoError, f"The repository {place} is gated; access was refused.", token),
        (
            RepositoryNotFoundError,
            f"There is no repository {place}, or it is private.",
            f"Check the name; for a private repository set HF_TOKEN. {hint}",
        ),
        (RevisionNotFoundError, f"{place} has no revision {source.revision}.", hint),
        (EntryNotFoundError, f"{place} has no {source.filename} in {source.revision}.", hint),
        (
            FileMetadataError,
            f"{constants.ENDPOINT} answered, but not as a hub: most likely the page of a proxy or "
            "of a login portal.",
            f"Check HF_ENDPOINT and the proxy. {hint}",
        ),
    )
    for kind, message, what_next in sentences:
        if isinstance(error, kind):
            return NetworkError(message, what_next)
    return _explain_status(error, source, hint)


def _explain_status(error: BaseException, source: HubSource, hint: str) -> NetworkError:
    """Explain an HTTP status without a class of its own, a broken connection, or the rest."""
    status, place = _status(error), f"{source.repo} at {constants.ENDPOINT}"
    if status in (401, 403):
        return NetworkError(
            f"Access to {place} was refused (HTTP {status}).",
            "Set HF_TOKEN to a valid token with the rights that this needs.",
        )
    if status == 404:
        return NetworkError(f"{place} was not found (HTTP 404).", hint)
    if status is not None:
        return NetworkError(f"{place} answered with HTTP {status}.", f"Try again later. {hint}")
    if short := _INCOMPLETE.search(str(error)):
        return NetworkError(
            f"{place} sent {short['sent']} of the {short['announced']} bytes of {source.filename}.",
            f"Try again. {hint}",
        )
    if is_connection_failure(error):
        return NetworkError(
            f"{constants.ENDPOINT} cannot be reached, or the connection broke off: "
            f"{_first_line(error)}.",
            f"Check the network and try again. {hint}",
        )
    return NetworkError(
        f"The transfer of {source.filename} with {place} failed: {_first_line(error)}.",
        f"Try again. {hint}",
    )


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    return getattr(response, "status_code", None)


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's text, without its full stop, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
