import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from unskip.images import image_endings, is_image, open_image, upright, upright_size

RAMP = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (16, 1))
GREYS = np.unique(RAMP >> 8).astype(np.uint8)


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pgm(values: np.ndarray, top: int) -> bytes:
    return f"P5\n32 16\n{top}\n".encode() + values.astype(">u2" if top > 255 else ">u1").tobytes()


def plain_pgm(values: np.ndarray, top: int) -> bytes:
    return f"P2\n32 16\n{top}\n{' '.join(map(str, values.ravel().tolist()))}\n".encode()


def tiff(data: bytes, bits: int, *, sample_format: int = 1, white_is_zero: bool = False, order: str = "<") -> bytes:
    """An uncompressed grey TIFF of 32x16."""
    tags = [
        (256, 32),
        (257, 16),
        (258, bits),
        (259, 1),
        (262, 0 if white_is_zero else 1),
        (273, 8),
        (277, 1),
        (278, 16),
    ]
    tags += [(279, len(data)), (339, sample_format)]
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(tags)) + directory + bytes(4)


def twelve_bits(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2).tolist()
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)


def read(data: bytes, mode="RGB") -> np.ndarray:
    image = open_image(io.BytesIO(data))
    image.load()
    return np.asarray(upright(image, mode))


DEEP = {
    "png of 16 bits": saved(Image.fromarray(RAMP), "PNG"),
    "pgm of 16 bits": pgm(RAMP, 65535),
    "pgm of 12 bits": pgm(RAMP >> 4, 4095),
    "pgm of 10 bits": pgm(RAMP >> 6, 1023),
    "pgm of 7 bits": pgm(RAMP >> 9, 127),
    "pgm as text": plain_pgm(RAMP >> 4, 4095),
    "tiff of 16 bits": tiff(RAMP.astype("<u2").tobytes(), 16),
    "tiff of 16 bits, big-endian": tiff(RAMP.astype(">u2").tobytes(), 16, order=">"),
    "tiff of 16 bits, compressed": saved(Image.fromarray(RAMP), "TIFF", compression="tiff_adobe_deflate"),
    "tiff of 16 bits, white is zero": tiff((65535 - RAMP).astype("<u2").tobytes(), 16, white_is_zero=True),
    "tiff of 12 bits": tiff(twelve_bits(RAMP >> 4), 12),
    "tiff of 32-bit integers": saved(Image.fromarray(RAMP.astype(np.int32)), "TIFF"),
    "tiff of unsigned 32-bit integers": tiff(RAMP.astype("<u4").tobytes(), 32),
    "tiff of floats": saved(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"),
    "tiff of floats, white is zero": tiff(
        (1 - RAMP / 65535).astype("<f4").tobytes(), 32, sample_format=3, white_is_zero=True
    ),
    "pfm": saved(Image.fromarray((RAMP / 65535).astype(np.float32)), "PPM"),
    "jpeg 2000 of 16 bits": saved(Image.fromarray(RAMP), "JPEG2000") if features.check("jpg_2000") else None,
}


@pytest.mark.parametrize("kind", [kind for kind, data in DEEP.items() if data])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_deep_greys_keep_all_levels_from_black_to_white(kind, mode):
    pixels = read(DEEP[kind], mode)
    row = pixels[0] if mode == "L" else pixels[0, :, 0]
    assert len(np.unique(row)) == 32
    assert (row[0], row[-1]) == (0, 255)
    assert np.abs(row.astype(int) - GREYS).max() <= 1
    assert (pixels == pixels[:1]).all()


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("kind", ["png", "pgm", "integers", "floats"])
def test_a_dark_image_stays_dark(kind, share):
    dark = (RAMP * share).astype(np.uint16)
    data = {
        "png": lambda: saved(Image.fromarray(dark), "PNG"),
        "pgm": lambda: pgm(dark >> 4, 4095),
        "integers": lambda: saved(Image.fromarray(dark.astype(np.int32)), "TIFF"),
        "floats": lambda: saved(Image.fromarray((dark / 65535).astype(np.float32)), "TIFF"),
    }[kind]()
    assert abs(int(read(data).max()) - 255 * share) <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.float32(RAMP / 256), "floats from 0 to 255.996, .* save all images with values from 0 to 1"),
        (np.float32(RAMP / 32768 - 1), "floats from -1 to"),
        (np.where(RAMP > 0, np.float32(0.5), np.float32(np.nan)), "floats that are not finite"),
        (np.int32(RAMP) - 5, "32-bit integers from -5 to"),
        (np.int32(RAMP) * 3, "32-bit integers from 0 to 196605"),
        (np.int32(RAMP >> 8), "32-bit integers from 0 to 255"),
    ],
)
def test_values_of_unknown_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read(saved(Image.fromarray(values), "TIFF"))


def test_signed_bytes_are_refused():
    with pytest.raises(ValueError, match="signed bytes"):
        read(tiff((RAMP >> 9).astype("<i1").tobytes(), 8, sample_format=2))


def test_floats_may_be_off_by_rounding():
    assert read(saved(Image.fromarray(np.float32(RAMP / 65535 * 1.001 - 0.0005)), "TIFF")).max() == 255


def test_black_is_black_in_integers():
    assert read(saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF")).max() == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_image(format, orientation):
    if format in ("WEBP", "AVIF") and not features.check(format.lower()):
        pytest.skip(f"this Pillow has no {format}")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_image(io.BytesIO(saved(Image.new("RGB", (10, 6)), format, exif=exif)))
    size = upright_size(image)
    image.load()
    turned = upright(image, "RGB")
    assert size == (turned.height, turned.width) == ((10, 6) if orientation > 4 else (6, 10))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_deep_greys_are_turned_too(format, kind):
    if (format, kind) == ("PNG", np.int32):
        pytest.skip("PNG has no 32 bits")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = read(saved(Image.fromarray(RAMP.astype(kind)), format, exif=exif), "L")
    assert np.array_equal(pixels, np.rot90(RAMP >> 8, -1))


COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("mode", "format"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")],
)
@pytest.mark.parametrize("wanted", ["L", "RGB"])
def test_every_mode_becomes_what_is_wanted(mode, format, wanted):
    image = Image.fromarray(COLOURS).convert(mode)
    stored = Image.open(io.BytesIO(saved(image, format)))
    expected = stored.convert("RGB").convert(wanted)
    pixels = read(saved(image, format), wanted)
    assert np.abs(pixels.astype(int) - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("mode", ["LAB", "HSV"])
@pytest.mark.parametrize("wanted", ["L", "RGB"])
def test_modes_that_few_files_have(mode, wanted):
    image = Image.new(mode, (4, 4))
    assert upright(image, wanted).mode == wanted


def test_transparent_pixels_keep_their_colour():
    alpha = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    assert np.array_equal(read(saved(Image.fromarray(np.concatenate([COLOURS, alpha], 2)), "PNG")), COLOURS)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_read(format):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    pixels = read(
        saved(first, format, save_all=True, append_images=[second], **({"lossless": True} if format == "WEBP" else {}))
    )
    assert (pixels == (255, 0, 0)).all()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"some text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
)
def test_what_is_no_image_is_said_without_a_place_in_memory(data):
    with pytest.raises(ValueError, match=r"^it is empty$|^it is damaged, or in no format that is read$"):
        open_image(io.BytesIO(data))


def test_postscript_is_not_given_to_another_program(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(saved(Image.new("RGB", (9, 9)), "EPS"))
    assert not is_image(path)
    with pytest.raises(ValueError, match="in no format that is read"):
        open_image(path)


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="no regular file"):
        open_image(tmp_path / "pipe.png")


def test_an_image_that_claims_to_be_huge_is_refused():
    with pytest.raises(ValueError, match="claims more pixels"):
        open_image(io.BytesIO(b"P5\n100000 100000\n255\n"))


def test_endings_and_beginnings(tmp_path):
    assert {".jpg", ".jfif", ".jpe", ".png", ".tif", ".webp", ".pgm", ".bmp", ".gif", ".jp2"} <= image_endings()
    assert not {".eps", ".pdf", ".svg", ".mpg", ".h5", ".txt", ""} & image_endings()
    for name, data in {
        "a": saved(Image.new("L", (3, 3)), "PNG"),
        "b": b"P5 is what it begins with",
        "c": b"BM",
        "d": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        assert is_image(tmp_path / name) is (name == "a")
    assert not is_image(Path(tmp_path / "gone"))
