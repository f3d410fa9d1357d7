"""A bound on the bytes of the pictures that wait on either side of the network."""

import threading


class Gate:
    """Hold readers back while the pictures in flight take more than a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._closed = False
        self._condition = threading.Condition()

    def pass_through(self) -> None:
        """Wait until the pictures in flight leave room, or the gate is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._taken < self._limit)

    def take(self, count: int) -> None:
        """Count the bytes of a picture that was read."""
        with self._condition:
            self._taken += count

    def give_back(self, count: int) -> None:
        """Count those of one that is written, or given up."""
        with self._condition:
            self._taken -= count
            self._condition.notify_all()

    def close(self) -> None:
        """Hold nobody back any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
