"""Which shapes are recorded, and what is computed where recording fails."""

import pytest
import torch

from drcnet_cli.engines.graphs import MOST, RecordedShapes


class Recorder:
    """Records as a graph does: what it gives for a shape is of its own, changed by each replay."""

    def __init__(self, error=None):
        self.recorded, self.replayed, self.error = [], [], error

    def __call__(self, run, batch):
        if self.error is not None:
            raise self.error
        self.recorded.append(tuple(batch.shape))

        def replay(batch):
            self.replayed.append(tuple(batch.shape))
            return run(batch)

        return replay


def batch(count=1, side=8):
    return torch.rand(count, 3, side, side)


def test_a_shape_that_comes_again_is_recorded_once_and_replayed():
    record = Recorder()
    recorded = RecordedShapes(lambda x: x + 1, record)
    for _ in range(4):
        x = batch()
        assert torch.equal(recorded(x), x + 1)
    recorded(batch(2))
    assert record.recorded == [(1, 3, 8, 8)]
    assert record.replayed == [(1, 3, 8, 8)] * 3


def test_few_shapes_are_kept_and_a_dropped_one_may_return():
    record = Recorder()
    recorded = RecordedShapes(lambda x: x, record)
    for count in [*range(1, MOST + 2), 1]:
        for _ in range(2):
            recorded(batch(count))
    assert [shape[0] for shape in record.recorded] == [*range(1, MOST + 2), 1]


@pytest.mark.parametrize(
    "error", [RuntimeError("capturing"), torch.cuda.OutOfMemoryError("out of memory")]
)
def test_what_cannot_be_recorded_is_computed_as_before_and_not_tried_again(error):
    record = Recorder(error)
    calls = []
    recorded = RecordedShapes(lambda x: calls.append(1) or x * 2, record)
    for _ in range(4):
        x = batch()
        assert torch.equal(recorded(x), x * 2)
        record.error = error if len(calls) < 2 else None
    assert len(calls) == 4
    assert record.recorded == []
