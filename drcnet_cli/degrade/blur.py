"""Motion blur: a moving picture averaged over the exposure, in linear light as on a sensor.

The camera shifts and turns, so that the blur differs over the picture; in a share of the pictures a
softly bounded foreground moves on its own. A small share is out of focus instead. Noise is added in
linear light before the display curve, then the picture is rounded to 8 bits.

`VIDEO` blurs as the sets do that were made from video (GoPro, HIDE, REDS): a few sharp frames along
a smooth path are averaged, and the one in the middle is the truth.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    Array,
    Degraded,
    Range,
    chance,
    display_curve,
    log_uniform,
    look_up,
    quantize,
    to_chw,
    to_hwc,
)

_BORDER = cv2.BORDER_REFLECT_101
_INSTANTS = 192  # of a drawn path


@dataclass(frozen=True)
class BlurParams:
    """Ranges that each image draws from.

    `length`: of the path in pixels, each doubling as likely. `turn`: how far turning moves the
    corners, as a multiple of that. `layers_share`: how often a foreground moves on its own; in
    `still_share` of these the camera hardly moves, as when a person walks past. `disc_share`,
    `disc`: how often the picture is out of focus, and the disc's radius in pixels.
    `highlight_share`, `highlight`: how often clipped lights are given back the brightness that the
    sensor could not hold, in multiples of white. `shot`, `read`: the noise's variance in linear
    light is `shot * light + read`. `frames`: how many sharp frames are averaged, along a smooth
    path; (0, 0) is one exposure along a hand's path. `soft`: how soft a frame, and with it the
    clean image, is before it moves, as the sigma of a Gaussian in pixels.
    """

    length: Range = (2.0, 40.0)
    turn: Range = (0.0, 0.8)
    layers_share: float = 0.35
    still_share: float = 0.25
    disc_share: float = 0.06
    disc: Range = (0.8, 4.0)
    highlight_share: float = 0.3
    highlight: Range = (0.3, 3.0)
    shot: Range = (1e-6, 1e-4)
    read: Range = (1e-9, 1e-7)
    frames: tuple[int, int] = (0, 0)
    soft: Range = (0.0, 0.0)


MIXED = BlurParams()
LIGHT = BlurParams(length=(2.0, 10.0), disc=(0.8, 2.0))
HEAVY = BlurParams(length=(12.0, 40.0), disc=(2.0, 4.0))
# A video's frames are clipped one by one and hold little noise once averaged; people move in them.
VIDEO = BlurParams(
    length=(3.0, 48.0),
    layers_share=0.5,
    disc_share=0.0,
    highlight_share=0.0,
    shot=(1e-7, 1e-5),
    read=(1e-9, 1e-8),
    frames=(7, 13),
    soft=(0.3, 0.8),
)


@dataclass(frozen=True)
class Shake:
    """Poses of the picture during the exposure, each with the share of time spent near it.

    `shift`: N x 2, pixels to the right and down. `angle`: N, radians, turning about `center` (x, y
    in pixels). `weight`: N, sums to 1. So that the blurred picture stays aligned with the sharp
    one, the weighted means of shift and angle are zero, or those of the middle pose are.
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
    center = _draw_center(rng, shape)
    path = draw_path(rng, axes=3)
    shift = _unit_length(path[:, :2]) * length
    angle = _unit_length(path[:, 2:])[:, 0] * rotation
    # The corners move farthest; angles are small.
    corners = [(x - center[0], y - center[1]) for x in (0, width) for y in (0, height)]
    tracks = [shift + angle[:, None] * np.array([-y, x]) for x, y in corners]
    steps = np.max([np.hypot(*np.diff(track, axis=0).T) for track in tracks], axis=0)
    return _resample(shift, angle, steps, center, max_step)


def _draw_center(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[float, float]:
    height, width = shape
    return (width * rng.uniform(-0.5, 1.5), height * rng.uniform(-0.5, 1.5))


def draw_frames(
    rng: np.random.Generator, shape: tuple[int, int], length: float, rotation: float, count: int
) -> Shake:
    """Draw the poses of `count` frames, 2 or more, the middle one's zero; else as `draw_shake`.

    In the thirtieth of a second that they last a hand hardly changes its mind: the path is a
    polynomial in time, next to straight, that bends a little and slows down or gathers speed. The
    shutter is open for a part of each frame, three poses of the path.
    """
    shutter = rng.uniform(0, 1) * 2 / (count - 1) * np.array([-1 / 3, 0, 1 / 3])
    time = (np.linspace(-1, 1, count)[:, None] + shutter).ravel()
    bends = rng.normal(0, rng.uniform(0, 0.6), 2) / (2, 3)
    across = rng.normal(0, rng.uniform(0, 0.4), 2) / (2, 3)
    along = time + bends[0] * time**2 + bends[1] * time**3
    aside = across[0] * time**2 + across[1] * time**3
    heading = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(heading), np.sin(heading)
    path = np.stack([cosine * along - sine * aside, sine * along + cosine * aside], axis=1)
    path = _unit_length(path) * length
    angle = 0.5 * rotation * rng.choice([-1, 1]) * (time + rng.normal(0, 0.2) * time**2)
    middle = 3 * (count // 2) + 1
    weight = np.full(len(time), 1 / len(time), np.float32)
    return Shake(path - path[middle], angle - angle[middle], weight, _draw_center(rng, shape))


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


def average_over(picture: Array, shake: Shake) -> Array:
    """Average H x W x C over the poses of a shake; beyond the border the picture is reflected."""
    height, width = picture.shape[:2]
    total = np.zeros_like(picture)
    x, y = shake.center
    for (right, down), angle, weight in zip(shake.shift, shake.angle, shake.weight, strict=True):
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array(
            [
                [cosine, -sine, x - cosine * x + sine * y + right],
                [sine, cosine, y - sine * x - cosine * y + down],
            ]
        )
        pose = cv2.warpAffine(
            picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=_BORDER
        )
        total = cv2.scaleAdd(pose, float(weight), total)
    return total


def draw_mask(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw a foreground, H x W in [0, 1]: a few smooth blobs with soft borders."""
    height, width = shape
    cells = int(rng.integers(3, 6))
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    sharpness = np.float32(max(height, width) / cells / rng.uniform(2, 8))
    return np.clip(0.5 + sharpness * (field - np.float32(rng.uniform(-0.3, 0.6))), 0, 1)


def disc_kernel(radius: float) -> Array:
    """Make an out-of-focus disc with an anti-aliased rim; sums to 1."""
    half = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return disc / disc.sum()


def brighten_lights(linear: Array, amount: float) -> Array:
    """Lend small clipped areas `amount` times white more light; large ones are paper or sky."""
    clipped = np.clip((linear.min(axis=2, keepdims=True) - 0.9) / np.float32(0.1), 0, 1) ** 2
    rarity = max(0.0, 1 - float(clipped.mean()) / 0.05)
    return linear * (1 + np.float32(amount * rarity) * clipped)


def motion(linear: Array, rng: np.random.Generator, params: BlurParams) -> Array:
    """Blur H x W x 3 in linear light by a random shake, with a foreground of its own in a share."""
    shape = (linear.shape[0], linear.shape[1])
    if not chance(rng, params.layers_share):
        return average_over(linear, _draw(rng, shape, params))
    still = chance(rng, params.still_share)
    behind = _draw(rng, shape, params, 0.1 if still else 1.0)
    front = _draw(rng, shape, params)
    mask = draw_mask(rng, shape)[..., None]
    # Premultiplied, so that the foreground's light spreads over the background and not the reverse.
    covered = average_over(np.concatenate([linear * mask, mask], axis=2), front)
    return covered[..., :3] + (1 - covered[..., 3:]) * average_over(linear, behind)


def _draw(
    rng: np.random.Generator, shape: tuple[int, int], params: BlurParams, share: float = 1.0
) -> Shake:
    """Draw a shake, `share` of its length."""
    length = share * log_uniform(rng, params.length)
    rotation = rng.uniform(*params.turn) * length / (0.5 * float(np.hypot(*shape)))
    fewest, most = params.frames
    if most:
        count = int(rng.integers(fewest, most + 1))
        return draw_frames(rng, shape, length, rotation, count)
    return draw_shake(rng, shape, length, rotation)


def add_blur(image: Array, rng: np.random.Generator, params: BlurParams = MIXED) -> Degraded:
    """Blur as a shaken or moving camera does; the clean image is the given one, made soft if asked.

    Near the border the blur draws on the reflected picture: where that matters, pass a margin and
    crop both results.
    """
    clean = to_hwc(image)
    if params.soft[1]:
        clean = cv2.GaussianBlur(clean, (0, 0), rng.uniform(*params.soft), borderType=_BORDER)
    curve = display_curve()
    linear = look_up(curve.to_linear, clean)
    if chance(rng, params.highlight_share):
        linear = brighten_lights(linear, rng.uniform(*params.highlight))
    if chance(rng, params.disc_share):
        blurred = cv2.filter2D(
            linear, -1, disc_kernel(rng.uniform(*params.disc)), borderType=_BORDER
        )
    else:
        blurred = motion(linear, rng, params)
    blurred = np.clip(blurred, 0, 1)
    variance = log_uniform(rng, params.shot) * blurred + np.float32(log_uniform(rng, params.read))
    grain = np.sqrt(variance, dtype=np.float32) * rng.standard_normal(blurred.shape, np.float32)
    return Degraded(to_chw(quantize(look_up(curve.to_display, blurred + grain))), to_chw(clean))
