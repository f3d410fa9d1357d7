"""What a file is that should hold weights and does not: half a download, a pointer, a web page."""

import json
from pathlib import Path

from drcnet_cli.files.mistaken import GIT_LFS_POINTER, is_markup

_AGAIN = "Download it again"
_LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit
_ARCHIVE_END, _ARCHIVE_TAIL = b"PK\5\6", 65_557  # its longest comment included


def describe_damage(path: Path) -> tuple[str, str] | None:
    """Say what a file is (it follows its name) and what helps; None if there is nothing to say."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
            if not start:
                return "is empty.", _AGAIN
            if start.startswith(GIT_LFS_POINTER):
                return (
                    "is a Git LFS pointer, not the file that it stands for.",
                    "In its repository: git lfs pull",
                )
            if is_markup(start):
                return "is a web page, not a checkpoint.", "Download the file itself"
            if start.startswith(b"PK\3\4"):
                file.seek(-min(size, _ARCHIVE_TAIL), 2)
                is_whole = _ARCHIVE_END in file.read(_ARCHIVE_TAIL)
                return None if is_whole else ("is cut off: its end is missing.", _AGAIN)
            file.seek(8)
            header = int.from_bytes(start[:8], "little")
            if start[8:9] != b"{" or header > _LONGEST_HEADER:
                return None
            whole = 8 + header + _data_bytes(file.read(min(header, size)))
    except (OSError, ValueError, RecursionError):
        return None
    return (f"is cut off: {size} of {whole} bytes are there.", _AGAIN) if size < whole else None


def _data_bytes(header: bytes) -> int:
    """Return the bytes of all tensors that a safetensors header describes; 0 of half a header."""
    try:
        entries = json.loads(header)
    except ValueError:
        return 0
    ends = [0]
    for entry in entries.values() if isinstance(entries, dict) else ():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if isinstance(offsets, list):
            ends += [offset for offset in offsets if isinstance(offset, int)]
    return max(ends)
