"""Rain: layers of streaks added to a photograph, from one light shower to crossing sheets of rain.

The layered model is that of Yang et al. 2017, "Deep Joint Rain Detection and Removal from a Single
Image": light rain has streaks of one kind and direction, heavy rain sums up to five directions; the
streaks are rendered photo-realistically or sharp lines of nearly one direction. How strong the two
kinds are follows the input PSNR that is published for their test sets (about 27 and 13.5 dB).
"""

from dataclasses import dataclass

import numpy as np

from drcnet_cli.degrade.base import (
    Array,
    Degraded,
    Range,
    Streaks,
    chance,
    log_uniform,
    quantize,
    to_chw,
    to_hwc,
)
from drcnet_cli.degrade.streaks import (
    DropParams,
    curtain_layer,
    drop_layer,
    rendered_layer,
)


@dataclass(frozen=True)
class RainParams:
    """Ranges of one kind of rain, by default rain in between; each image draws from them.

    `layers`: how many layers of streaks. `main_angle`: degrees from the vertical of the wind's
    direction; `turn`: standard deviation of the layers' angles around it. Lengths and widths are in
    pixels, `density` in drops per 1000 pixels, `brightness` as a share of white: see `DropParams`.
    `rendered_share` and `curtain_share`: how often a layer is a rendered image (where there are
    any) or a far curtain instead of drawn drops; `gain` multiplies rendered ones. `max_mean` bounds
    the mean of what all layers add: denser draws are dimmed. `veil_share`, `veil`: how often light
    that the drops scatter hazes the picture, and by how much.
    """

    layers: tuple[int, int] = (1, 3)
    main_angle: Range = (-35, 35)
    turn: Range = (0, 12)
    length: Range = (8, 60)
    width: Range = (0.7, 3.0)
    density: Range = (1.0, 8.0)
    brightness: Range = (0.2, 1.0)
    gain: Range = (0.4, 1.8)
    max_mean: float = 0.2
    rendered_share: float = 0.5
    curtain_share: float = 0.25
    veil_share: float = 0.2
    veil: Range = (0.02, 0.2)


MEDIUM = RainParams()
LIGHT = RainParams(
    layers=(1, 1),
    main_angle=(-30, 30),
    turn=(0, 0),
    length=(10, 45),
    width=(0.8, 2.2),
    density=(1.5, 9.0),
    brightness=(0.3, 0.95),
    gain=(0.5, 1.4),
    max_mean=0.1,
    curtain_share=0.1,
    veil_share=0.0,
)
HEAVY = RainParams(
    layers=(2, 5),
    turn=(0, 25),
    length=(9, 75),
    width=(0.8, 2.8),
    density=(2.0, 40.0),
    brightness=(0.4, 1.0),
    gain=(0.8, 2.0),
    max_mean=0.3,
    curtain_share=0.15,
    veil_share=0.1,
)


def rain_layer(
    shape: tuple[int, int],
    rng: np.random.Generator,
    params: RainParams,
    streaks: Streaks = (),
) -> Array:
    """Sum the layers of one picture's rain: H x W, not negative, 1 where it adds full white."""
    main, turn = rng.uniform(*params.main_angle), rng.uniform(*params.turn)
    total = np.zeros(shape, np.float32)
    for _ in range(rng.integers(params.layers[0], params.layers[1] + 1)):
        angle = float(np.clip(main + turn * rng.standard_normal(), -60, 60))
        if streaks and chance(rng, params.rendered_share):
            gain = np.float32(rng.uniform(*params.gain))
            scale = log_uniform(rng, (0.7, 1.6))
            total += gain * rendered_layer(shape, rng, streaks, scale=scale, tilt=0.6 * angle)
        elif chance(rng, params.curtain_share):
            total += curtain_layer(
                shape,
                rng,
                angle=angle,
                length=log_uniform(rng, params.length),
                coverage=log_uniform(rng, (0.01, 0.2)),
                brightness=rng.uniform(*params.brightness),
            )
        else:
            total += drop_layer(shape, rng, _draw_drops(rng, params, angle))
    dimmed = min(1.0, params.max_mean / max(float(total.mean()), 1e-6))
    return np.minimum(total * np.float32(dimmed), 1)


def _draw_drops(rng: np.random.Generator, params: RainParams, angle: float) -> DropParams:
    """Draw one layer's drops; near ones are long, wide and few, far ones short, thin and many."""
    nearness = rng.random()
    length, width, density = (
        float(low * (high / low) ** np.clip(share + rng.normal(0, 0.2), 0, 1))
        for (low, high), share in (
            (params.length, nearness),
            (params.width, nearness),
            (params.density, 1 - nearness),
        )
    )
    return DropParams(
        density=density,
        length=length,
        width=width,
        angle=angle,
        brightness=rng.uniform(*params.brightness),
        spread=log_uniform(rng, (0.3, 4)),
        fan=rng.normal(0, 8) if chance(rng, 0.3) else 0.0,
        ripple=rng.uniform(0, 0.8),
        taper=rng.uniform(0.1, 1.0),
        softness=rng.uniform(0.2, 0.9),
    )


def blend(clean: Array, layer: Array, opacity: float) -> Array:
    """Lay rain (H x W) over H x W x 3: `clean + layer * (1 - opacity * clean)`.

    `opacity` 0 adds the layer, 1 screens it (a drop hides what it covers); clipped to [0, 1].
    """
    return np.clip(clean + layer[..., None] * (1 - np.float32(opacity) * clean), 0, 1)


def add_veil(picture: Array, amount: float, air: float) -> Array:
    """Mix in the air's light (0..1): `(1 - amount) * picture + amount * air`."""
    return picture * np.float32(1 - amount) + np.float32(amount * air)


def add_rain(
    image: Array, rng: np.random.Generator, params: RainParams, streaks: Streaks = ()
) -> Degraded:
    """Let it rain; the clean image is the given one, without streaks and without veil.

    `streaks`: rendered layers (uint8, H x W) to take some of the layers from.
    """
    clean = to_hwc(image)
    layer = rain_layer((clean.shape[0], clean.shape[1]), rng, params, streaks)
    if chance(rng, params.veil_share):
        rainy = add_veil(clean, rng.uniform(*params.veil), rng.uniform(0.6, 0.95))
    else:
        rainy = clean
    # Half of the pictures add, a quarter screen, a quarter lie between.
    opacity = float(np.clip(rng.uniform(-1, 1), 0, 0.5) * 2)
    return Degraded(to_chw(quantize(blend(rainy, layer, opacity))), to_chw(clean))


def add_mixed_rain(image: Array, rng: np.random.Generator, streaks: Streaks = ()) -> Degraded:
    """Let it rain lightly, heavily or in between, in shares of 40, 40 and 20 %."""
    kind = rng.random()
    params = LIGHT if kind < 0.4 else HEAVY if kind < 0.8 else MEDIUM
    return add_rain(image, rng, params, streaks)
