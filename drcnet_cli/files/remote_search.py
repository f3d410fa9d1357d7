"""What an address names: one object, a folder's objects, or those that its pattern matches."""

from collections.abc import Collection
from pathlib import PurePosixPath

from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.remote import find_object, list_objects, match_objects
from drcnet_cli.files.spelling import MAGIC, MAGIC_IN_PART, alternatives

Found = list[tuple[Address, str]]  # each object with its place below the folder or fixed part


def search_address(address: Address) -> tuple[str, Found]:
    """Return what an address is ("file", "folder", "pattern"), and the objects that it names.

    Raises UsageError where there is nothing, RemoteError where that cannot be found out.
    """
    base, patterns = _parted(address)
    if patterns:
        if not (found := _matched(base, patterns)):
            raise UsageError(f"Nothing matches {address}.", "Check the address.")
        return "pattern", found
    if (lone := find_object(address)) is not None:
        return "file", [(lone, lone.name)]
    return "folder", list_objects(address)


def _parted(address: Address) -> tuple[Address, list[str]]:
    """Return an address's fixed leading folder and the patterns below it; none for no pattern."""
    parts = address.path.split("/")
    index = next((n for n, part in enumerate(parts) if MAGIC_IN_PART.search(part)), None)
    if index is None or not MAGIC.search(address.path):
        return address, []
    base, rest = "/".join(parts[:index]), "/".join(parts[index:])
    patterns = [pattern for pattern in alternatives(rest) if pattern]
    return Address(f"{address.scheme}://{base}{address.container}"), patterns


def _matched(base: Address, patterns: list[str]) -> Found:
    """Return what patterns match; of the web, which lists nothing, what they name."""
    if base.is_web:
        return [(base / pattern, pattern) for pattern in patterns]
    plain = {pattern.rstrip("/") for pattern in patterns if not MAGIC.search(pattern)}
    found = _named(base, plain) if plain else []
    for pattern in patterns:
        if MAGIC.search(pattern):
            found += match_objects(base, pattern)
    return found


def _named(base: Address, places: Collection[str]) -> Found:
    """Return the objects that have one of these places, or lie in one, by one listing."""
    return [
        (address, place)
        for address, place in list_objects(base)
        if any(
            str(part) in places for part in (PurePosixPath(place), *PurePosixPath(place).parents)
        )
    ]
