"""Camera shake: the path that an image takes over the sensor while the shutter is open."""

from dataclasses import dataclass

import numpy as np

from drcnet_cli.degrade.base import Array, chance, log_uniform

_INSTANTS = 192


@dataclass(frozen=True)
class Shake:
    """Poses of the picture during the exposure, each with the share of time spent near it.

    `shift`: N x 2, pixels to the right and down. `angle`: N, radians, turning about `center` (x, y
    in pixels). `weight`: N, sums to 1. The weighted means of shift and angle are zero, so that the
    blurred picture stays aligned with the sharp one.
    """

    shift: Array
    angle: Array
    weight: Array
    center: tuple[float, float]


def draw_path(rng: np.random.Generator, axes: int = 2, instants: int = _INSTANTS) -> Array:
    """Draw a hand's path, `instants` x `axes`, at equal times, of arbitrary length.

    A random walk with inertia, in the manner of Boracchi and Foi 2012: the velocity drifts, is
    pulled back towards the start and at times gets an impulse. Little drift gives straight paths.
    """
    drift = log_uniform(rng, (0.003, 0.3))
    pull = rng.uniform(0, 0.002) if chance(rng, 0.5) else 0.0
    impulses = rng.random(instants) < rng.choice([0.0, 0.005, 0.02])
    kicks = drift * rng.standard_normal((instants, axes))
    kicks[impulses] += rng.standard_normal((int(impulses.sum()), axes))
    start = rng.standard_normal(axes)
    start /= np.linalg.norm(start)
    walks = [_walk(float(start[axis]), kicks[:, axis].tolist(), pull) for axis in range(axes)]
    return np.array(walks).T


def _walk(velocity: float, kicks: list[float], pull: float) -> list[float]:
    # Plain numbers: ten times as fast as arrays of two or three.
    position, positions = 0.0, []
    for kick in kicks:
        velocity = 0.995 * velocity + kick - pull * position
        position += velocity
        positions.append(position)
    return positions


def _unit_length(path: Array) -> Array:
    """Scale a path, N x axes, so that its pieces add up to 1."""
    return path / max(float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()), 1e-9)


def draw_shake(
    rng: np.random.Generator,
    shape: tuple[int, int],
    length: float,
    rotation: float,
    max_step: float = 1.0,
) -> Shake:
    """Draw a shake whose path is `length` pixels long and turns through `rotation` radians in all.

    `shape` is H, W. Poses lie so densely that no pixel of the picture moves by more than `max_step`
    pixels from one to the next.
    """
    height, width = shape
    center = (width * rng.uniform(-0.5, 1.5), height * rng.uniform(-0.5, 1.5))
    path = draw_path(rng, axes=3)
    shift = _unit_length(path[:, :2]) * length
    angle = _unit_length(path[:, 2:])[:, 0] * rotation
    # The corners move farthest; angles are small.
    corners = [(x - center[0], y - center[1]) for x in (0, width) for y in (0, height)]
    tracks = [shift + angle[:, None] * np.array([-y, x]) for x, y in corners]
    steps = np.max([np.hypot(*np.diff(track, axis=0).T) for track in tracks], axis=0)
    return _resample(shift, angle, steps, center, max_step)


def _resample(
    shift: Array, angle: Array, steps: Array, center: tuple[float, float], max_step: float
) -> Shake:
    """Pick poses at equal distances along the path, weighted by the time spent there; centre."""
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    # Short paths bend as much as long ones do: a few poses in any case.
    count = max(9, int(np.ceil(travelled[-1] / max_step)) + 1)
    stops = np.linspace(0, travelled[-1], count)
    weight = np.zeros(count)
    spacing = max(travelled[-1] / (count - 1), 1e-12)
    np.add.at(weight, np.rint(travelled / spacing).astype(np.int64).clip(0, count - 1), 1.0)
    # A quick stretch may hold no instant at all: each pose gets a little light.
    weight = (weight + 0.05) / (weight + 0.05).sum()
    x, y = (np.interp(stops, travelled, shift[:, axis]) for axis in (0, 1))
    turned = np.interp(stops, travelled, angle)
    poses = np.stack([x - weight @ x, y - weight @ y], axis=1)
    return Shake(poses, turned - weight @ turned, weight.astype(np.float32), center)
