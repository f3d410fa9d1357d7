"""Camera noise: a photograph is taken back to the sensor, made noisy there and developed again.

After Brooks et al. 2019, "Unprocessing Images for Learned Raw Denoising": tone curve and gamma are
undone, then colour correction and white balance; shot and read noise are added to the Bayer mosaic;
then the camera's steps follow in their order. Two things differ, so that the target stays sharp:

* Demosaicing is linear here (bilinear, or the gradient-corrected filters of Malvar, He and Cutler
  2004), so the noise alone is demosaiced and added to the photograph in linear light. The clean
  image is thus the photograph itself: neither demosaicing nor the tone curve is a degradation.
* In-camera denoising is linear smoothing of the noise, chroma more than luma. It leaves the
  blotches that denoised JPEGs have and does not blur the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    LUMA,
    Array,
    Curve,
    Degraded,
    Range,
    chance,
    display_curve,
    jpeg,
    log_uniform,
    look_up,
    quantize,
    to_chw,
    to_hwc,
)

_CONTRASTS = (0.0, 0.25, 0.5, 0.75, 1.0)

_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_BILINEAR_COLOR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


def _eighths(*rows: list[float]) -> Array:
    return np.array(rows, np.float32) / 8


# Malvar, He and Cutler 2004, "High-quality linear interpolation for demosaicing", figure 2.
_GREEN_AT_COLOR = _eighths(
    [0, 0, -1, 0, 0],
    [0, 0, 2, 0, 0],
    [-1, 2, 4, 2, -1],
    [0, 0, 2, 0, 0],
    [0, 0, -1, 0, 0],
)
_COLOR_AT_GREEN_IN_ROW = _eighths(
    [0, 0, 0.5, 0, 0],
    [0, -1, 0, -1, 0],
    [-1, 4, 5, 4, -1],
    [0, -1, 0, -1, 0],
    [0, 0, 0.5, 0, 0],
)
_COLOR_AT_OPPOSITE = _eighths(
    [0, 0, -1.5, 0, 0],
    [0, 2, 0, 2, 0],
    [-1.5, 0, 6, 0, -1.5],
    [0, 2, 0, 2, 0],
    [0, 0, -1.5, 0, 0],
)


@dataclass(frozen=True)
class CameraParams:
    """How often and how strongly each step of the pipeline acts; ranges are drawn per image.

    `shot`: shot noise's variance at full scale, set by the ISO (log-uniform). `soften`: standard
    deviation in pixels of a blur that picture and target share in `soften_share` of the images, as
    photographs at a camera's full size are not sharp to the pixel. `zoom`: the noise is made at
    1/zoom of the size and resized in `zoom_share`, as in pictures that were scaled. `luma_smooth`,
    `chroma_smooth`: in-camera denoising's standard deviations in pixels. `quality`: JPEG's.
    """

    shot: Range = (1e-4, 0.02)
    mosaic_share: float = 0.9
    malvar_share: float = 0.6
    soften_share: float = 0.5
    soften: Range = (0.3, 1.0)
    zoom_share: float = 0.25
    zoom: Range = (0.7, 1.8)
    smooth_share: float = 0.5
    luma_smooth: Range = (0.3, 1.2)
    chroma_smooth: Range = (0.5, 3.5)
    jpeg_share: float = 0.5
    quality: tuple[int, int] = (60, 98)


@dataclass(frozen=True)
class Sensor:
    """One camera at one ISO: light to display and back.

    `to_raw` and `from_raw` are 3 x 3 matrices between linear sRGB and the sensor's colours. The
    variance of a raw value v in [0, 1] is `shot * v + read`. `phase` is the row and column of a red
    pixel in the Bayer pattern, or None for a sensor (or scaling) without one.
    """

    to_raw: Array
    from_raw: Array
    curve: Curve
    shot: float
    read: float
    phase: tuple[int, int] | None
    malvar: bool


def draw_sensor(rng: np.random.Generator, params: CameraParams = CameraParams()) -> Sensor:
    """Draw a camera: colour matrix, white balance, exposure, tone curve, ISO and Bayer phase.

    Read noise follows the log-linear relation to shot noise of Brooks et al. 2019, section 3.1.
    """
    gains = np.array([rng.uniform(1.4, 2.4), 1.0, rng.uniform(1.4, 2.2)])
    exposure = 1 / np.clip(rng.normal(0.8, 0.1), 0.5, 1.1)
    from_raw = _color_matrix(rng) @ np.diag(gains * exposure)
    shot = log_uniform(rng, params.shot)
    read = np.exp(2.18 * np.log(shot) + 1.20 + rng.normal(0, 0.26))
    phase = (int(rng.integers(2)), int(rng.integers(2)))
    return Sensor(
        to_raw=np.linalg.inv(from_raw).astype(np.float32),
        from_raw=from_raw.astype(np.float32),
        curve=display_curve(_CONTRASTS[rng.integers(len(_CONTRASTS))]),
        shot=shot,
        read=float(read),
        phase=phase if chance(rng, params.mosaic_share) else None,
        malvar=chance(rng, params.malvar_share),
    )


def _color_matrix(rng: np.random.Generator) -> Array:
    """Draw a matrix from white-balanced sensor colours to linear sRGB; rows sum to 1.

    The ranges span the colour matrices of common cameras: neighbouring bands are subtracted.
    """
    red_green, red_blue = rng.uniform(-0.8, -0.2), rng.uniform(-0.2, 0.1)
    green_red, green_blue = rng.uniform(-0.35, -0.1), rng.uniform(-0.5, -0.1)
    blue_red, blue_green = rng.uniform(-0.05, 0.1), rng.uniform(-0.8, -0.2)
    return np.array(
        [
            [1 - red_green - red_blue, red_green, red_blue],
            [green_red, 1 - green_red - green_blue, green_blue],
            [blue_red, blue_green, 1 - blue_red - blue_green],
        ]
    )


def sensor_noise(picture: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Return what the sensor's noise adds to `picture`, both H x W x 3 as displayed (residual)."""
    linear = look_up(sensor.curve.to_linear, picture)
    raw = np.clip(cv2.transform(linear, sensor.to_raw), 0, 1)
    signal = raw if sensor.phase is None else sample_mosaic(raw, sensor.phase)
    deviation = np.sqrt(np.float32(sensor.shot) * signal + np.float32(sensor.read))
    grain = deviation * rng.standard_normal(signal.shape, dtype=np.float32)
    if sensor.phase is not None:
        grain = demosaic(grain, sensor.phase, malvar=sensor.malvar)
    grain = cv2.transform(grain, sensor.from_raw) * (1 - _saturation(linear))
    noisy = look_up(sensor.curve.to_display, linear + grain)
    return noisy - look_up(sensor.curve.to_display, linear)


def _saturation(linear: Array) -> Array:
    """Tell how far each pixel is clipped (0..1, H x W x 1): clipped sensors show no noise.

    The ramp is the one by which Brooks et al. 2019 protect highlights.
    """
    gray = linear.mean(axis=2, keepdims=True)
    return np.clip((gray - 0.9) / np.float32(0.1), 0, 1) ** 2


def _smooth(residual: Array, rng: np.random.Generator, params: CameraParams) -> Array:
    """Denoise as cameras do: chroma noise smoothed widely, luma noise a little."""
    luma = (residual @ LUMA)[..., None]
    chroma = residual - luma
    wide, narrow = rng.uniform(*params.chroma_smooth), rng.uniform(*params.luma_smooth)
    kept = np.float32(rng.uniform(0.0, 0.4))
    coarse = cv2.GaussianBlur(luma, (0, 0), narrow)[..., None]
    return cv2.GaussianBlur(chroma, (0, 0), wide) + kept * luma + (1 - kept) * coarse


def add_camera_noise(
    image: Array, rng: np.random.Generator, params: CameraParams = CameraParams()
) -> Degraded:
    """Add the noise of a random camera; the clean image is the given one, softened in a share."""
    clean = to_hwc(image)
    if chance(rng, params.soften_share):
        clean = cv2.GaussianBlur(clean, (0, 0), rng.uniform(*params.soften))
    height, width = clean.shape[:2]
    sensor = draw_sensor(rng, params)
    zoom = log_uniform(rng, params.zoom) if chance(rng, params.zoom_share) else 1.0
    if zoom == 1.0:
        residual = sensor_noise(clean, sensor, rng)
    else:
        size = (max(4, round(width / zoom)), max(4, round(height / zoom)))
        inner = cv2.resize(clean, size, interpolation=cv2.INTER_LINEAR)
        how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
        residual = cv2.resize(sensor_noise(inner, sensor, rng), (width, height), interpolation=how)
    if chance(rng, params.smooth_share):
        residual = _smooth(residual, rng, params)
    noisy = clean + residual
    if chance(rng, params.jpeg_share):
        noisy = jpeg(noisy, int(rng.integers(params.quality[0], params.quality[1] + 1)), rng)
    return Degraded(to_chw(quantize(noisy)), to_chw(clean))


def sample_mosaic(image: Array, phase: tuple[int, int]) -> Array:
    """Keep of H x W x 3 the one colour that each pixel of the Bayer pattern sees: H x W.

    `phase`: row and column (0 or 1) of a red pixel; blue lies diagonally opposite.
    """
    row, column = phase
    mosaic = image[..., 1].copy()
    mosaic[row::2, column::2] = image[row::2, column::2, 0]
    mosaic[1 - row :: 2, 1 - column :: 2] = image[1 - row :: 2, 1 - column :: 2, 2]
    return mosaic


def demosaic(mosaic: Array, phase: tuple[int, int], *, malvar: bool) -> Array:
    """Interpolate H x W to H x W x 3, bilinearly or by Malvar's filters; linear in `mosaic`."""
    return _malvar(mosaic, phase) if malvar else _bilinear(mosaic, phase)


def _filter(plane: Array, kernel: Array) -> Array:
    # Reflecting about the border pixel keeps the pattern's phase.
    return cv2.filter2D(plane, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)


def _bilinear(mosaic: Array, phase: tuple[int, int]) -> Array:
    row, column = phase
    red, green, blue = np.zeros_like(mosaic), mosaic.copy(), np.zeros_like(mosaic)
    for plane, (y, x) in ((red, (row, column)), (blue, (1 - row, 1 - column))):
        plane[y::2, x::2] = mosaic[y::2, x::2]
        green[y::2, x::2] = 0
    planes = (
        _filter(red, _BILINEAR_COLOR),
        _filter(green, _BILINEAR_GREEN),
        _filter(blue, _BILINEAR_COLOR),
    )
    return np.stack(planes, axis=2)


def _malvar(mosaic: Array, phase: tuple[int, int]) -> Array:
    green_at_color = _filter(mosaic, _GREEN_AT_COLOR)
    in_row = _filter(mosaic, _COLOR_AT_GREEN_IN_ROW)
    in_column = _filter(mosaic, np.ascontiguousarray(_COLOR_AT_GREEN_IN_ROW.T))
    opposite = _filter(mosaic, _COLOR_AT_OPPOSITE)
    image = np.repeat(mosaic[..., None], 3, axis=2)
    red_site, blue_site = phase, (1 - phase[0], 1 - phase[1])
    for channel, own, other in ((0, red_site, blue_site), (2, blue_site, red_site)):
        y, x = own
        image[y::2, x::2, 1] = green_at_color[y::2, x::2]
        image[y::2, 1 - x :: 2, channel] = in_row[y::2, 1 - x :: 2]
        image[1 - y :: 2, x::2, channel] = in_column[1 - y :: 2, x::2]
        image[other[0] :: 2, other[1] :: 2, channel] = opposite[other[0] :: 2, other[1] :: 2]
    return image
