"""How arrays get to a device and results back, without the host and the device waiting for each
other where the device has queues of its own.

Written for CUDA devices, but never run on one so far.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Late = Callable[[], Tensor]  # waits for values that are on their way to the host


class DeviceQueue:
    """One thing after the other: on a CPU, where nothing is copied, and on mps.

    `overlaps`: the device computes and copies while the host goes on, so that a batch should be
    begun before the last one is completed, and tiles be blended where they are.
    """

    overlaps = False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def host(self, shape: Sequence[int]) -> Tensor:
        """Return unfilled float32 memory of the host that `send` takes."""
        return torch.empty(*shape)

    def send(self, values: Tensor) -> Tensor:
        """Return the host's values on the device; they must stay as they are until it has them."""
        return values.to(self.device)

    def fetch(self, values: Tensor) -> Late:
        """Begin to bring the device's values to the host; they must stay until they are there."""
        found = values.cpu()
        return lambda: found


class CudaQueue(DeviceQueue):
    """Copies in both directions on streams of their own, beside what is computed.

    Page-locked memory is torch's, which hands out a block again only when its copies are done.
    """

    overlaps = True

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._up, self._down = (torch.cuda.Stream(device) for _ in range(2))

    def host(self, shape: Sequence[int]) -> Tensor:
        """Return page-locked memory, which is copied without the host's help."""
        return torch.empty(*shape, pin_memory=True)

    def send(self, values: Tensor) -> Tensor:
        """Copy on one stream; what is computed from now on waits for that."""
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            sent = values.to(self.device, non_blocking=True)
        computing.wait_stream(self._up)
        sent.record_stream(computing)  # its memory is not given away before that
        return sent

    def fetch(self, values: Tensor) -> Late:
        """Copy on another stream, once all that was asked for so far is computed."""
        found = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            found.copy_(values, non_blocking=True)
            done = self._down.record_event()
        values.record_stream(self._down)

        def wait() -> Tensor:
            done.synchronize()
            return found

        return wait


def queue_for(device: torch.device) -> DeviceQueue:
    """Return what suits a device."""
    return CudaQueue(device) if device.type == "cuda" else DeviceQueue(device)
