"""What sizes an exported file accepts."""

from dataclasses import dataclass

from drcnet_cli.errors import UsageError


@dataclass(frozen=True)
class Shape:
    """What a file accepts, in images and pixels; None: any number, of pixels any fitting one."""

    batch: int | None = None
    height: int | None = None
    width: int | None = None

    def check(self, multiple: int) -> None:
        """Raise UsageError unless it can be halved as often as the network does."""
        for side in (self.height, self.width):
            if side is not None and (side < multiple or side % multiple):
                nearest = max(multiple, round(side / multiple) * multiple)
                raise UsageError(
                    f"A fixed side of {side} pixels cannot be used: it must be a multiple of "
                    f"{multiple}.",
                    f"Use {nearest}",
                )
