"""Generated pictures: natural enough to calibrate and to test with, the same on every machine.

Only exact arithmetic is used (NumPy's uniform RandomState stream, Pillow's integer resampling, IEEE multiply and add), so no
maths-library difference can change a pixel.
"""

import numpy as np
from PIL import Image

SIZE = 224


def generate(seed: int, size: int = SIZE) -> Image.Image:
    """One RGB picture: a colour gradient, clouds of several sizes, and hard-edged shapes.

    Photographs differ in brightness, colour, coarseness and edges, and those four are what an untrained network answers to.
    """
    random = np.random.RandomState(seed)
    canvas = _gradient(random, size)
    for cells in (3, 7, 16, 40, 112):
        strength = 160 * random.random_sample() / (1 + cells / 16)
        canvas += strength * _clouds(random, cells, size)
    for _ in range(random.randint(0, 9)):
        _shape(random, canvas)
    contrast, brightness = 0.3 + random.random_sample(), 160 * random.random_sample() - 80
    canvas = (canvas - 128) * contrast + 128 + brightness
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8), "RGB")


def _gradient(random: np.random.RandomState, size: int) -> np.ndarray:
    corners = random.randint(0, 256, (2, 2, 3), dtype=np.int64).astype(np.uint8)
    return np.asarray(Image.fromarray(corners, "RGB").resize((size, size), Image.BILINEAR)).astype(np.float64)


def _clouds(random: np.random.RandomState, cells: int, size: int) -> np.ndarray:
    """Smooth noise in −1…1: a small random picture enlarged, partly in colour and partly grey."""
    colour = random.random_sample((cells, cells, 3))
    grey = random.random_sample((cells, cells, 1))
    mix = random.random_sample()
    small = Image.fromarray(((mix * colour + (1 - mix) * grey) * 255).astype(np.uint8), "RGB")
    return np.asarray(small.resize((size, size), Image.BICUBIC)) / 127.5 - 1


def _shape(random: np.random.RandomState, canvas: np.ndarray) -> None:
    """Draws a filled box, disc or set of stripes into the canvas."""
    size = canvas.shape[0]
    y, x = np.mgrid[0:size, 0:size]
    centre_x, centre_y = random.randint(0, size, 2)
    radius = random.randint(size // 16, size // 2)
    colour = random.randint(0, 256, 3)
    inside = (abs(x - centre_x) < radius) & (abs(y - centre_y) < radius // 2)
    kind = random.randint(0, 3)
    if kind == 1:
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
    elif kind == 2:
        step = random.randint(2, 20)
        inside &= (x * random.randint(0, 3) + y * random.randint(0, 3)) % (2 * step) < step
    canvas[inside] = 0.3 * canvas[inside] + 0.7 * colour
