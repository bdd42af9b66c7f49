"""Damages pictures at random and has them rendered and redacted, in a child process with the service's memory limit.

    python -m tests.fuzz.pictures --minutes 4

A child that dies, runs into its memory limit or takes longer than --seconds for one input is reported, its input is
kept in --keep, and another child goes on. The same --seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import multiprocessing
import os
import resource
import struct
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from services.mesh import errors
from services.mesh.ports import Region, Target
from services.preprocessing.pipelines.image import redact, render

MEMORY_BYTES = 4096 * 1024 * 1024
TARGETS = [
    Target(64, 64, "cover", 0.875),
    Target(100, 80, "contain"),
    Target(4096, 128, "inside"),
    Target(32, 32, "stretch", 1.0, Region(0.6, 0.1, 1.0, 0.5)),
]
PLACES = [Region(0.1, 0.1, 0.4, 0.4), Region(0.5, 0.2, 1.0, 0.9)]


def samples() -> dict[str, bytes]:
    """Small pictures of every format and of many kinds of pixels and compression."""
    generator = np.random.default_rng(1)
    smooth = Image.fromarray(generator.integers(256, size=(6, 8, 3), dtype=np.uint8)).resize((96, 72))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [smooth.rotate(angle) for angle in (30, 60)]
    wide = Image.fromarray(np.asarray(smooth.convert("L")).astype(np.uint16) * 257)
    made: list[tuple[str, Image.Image, str, dict[str, object]]] = [
        ("jpeg", smooth, "JPEG", {"quality": 85, "exif": exif}),
        ("jpeg progressive", smooth, "JPEG", {"progressive": True}),
        ("jpeg grey", smooth.convert("L"), "JPEG", {}),
        ("jpeg cmyk", smooth.convert("CMYK"), "JPEG", {}),
        ("jpeg restart", smooth, "JPEG", {"restart_marker_blocks": 2, "icc_profile": b"x" * 3000}),
        ("mpo", smooth, "MPO", {"save_all": True, "append_images": frames}),
        ("png", smooth, "PNG", {"exif": exif}),
        ("png palette", smooth.quantize(16), "PNG", {"transparency": 3}),
        ("png 1", smooth.convert("1"), "PNG", {}),
        ("png 16", wide, "PNG", {}),
        ("png rgba", smooth.convert("RGBA"), "PNG", {}),
        ("apng", smooth, "PNG", {"save_all": True, "append_images": frames}),
        ("gif", smooth.quantize(64), "GIF", {"save_all": True, "append_images": frames, "transparency": 2}),
        ("bmp", smooth, "BMP", {}),
        ("bmp palette", smooth.quantize(), "BMP", {}),
        ("webp", smooth, "WEBP", {"exif": exif}),
        ("webp lossless", smooth.convert("RGBA"), "WEBP", {"lossless": True}),
        ("webp animated", smooth, "WEBP", {"save_all": True, "append_images": frames}),
    ]
    compressions = ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    made += [(f"tiff {each}", smooth, "TIFF", {"compression": each}) for each in compressions]
    made += [
        ("tiff group4", smooth.convert("1"), "TIFF", {"compression": "group4"}),
        ("tiff 16", wide, "TIFF", {"compression": "tiff_lzw"}),
        ("tiff cmyk", smooth.convert("CMYK"), "TIFF", {"compression": "tiff_lzw", "tile": (32, 32)}),
        ("tiff big", smooth.convert("LAB"), "TIFF", {"big_tiff": True}),
    ]
    found = {}
    for name, picture, image_format, options in made:
        file = io.BytesIO()
        picture.save(file, image_format, **options)
        found[name] = file.getvalue()
    return found


Damage = Callable[[np.random.Generator, bytearray, list[bytes]], bytearray]
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def bits(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """A few bits are turned over."""
    for _ in range(generator.integers(1, 12)):
        content[generator.integers(len(content))] ^= 1 << generator.integers(8)
    return content


def header(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """A number near the beginning, or the end, becomes one at an edge of its range."""
    for _ in range(generator.integers(1, 5)):
        span = min(len(content), 300)
        at = (
            int(generator.integers(span)) if generator.integers(4) else len(content) - 1 - int(generator.integers(span))
        )
        kind = str(generator.choice(["<H", ">H", "<I", ">I"]))
        edge = EDGES[generator.integers(len(EDGES))]
        packed = struct.pack(kind, edge & (0xFFFF if kind.endswith("H") else 0xFFFFFFFF))
        content[at : at + len(packed)] = packed
    return content


def cut(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """The end is missing."""
    return content[: generator.integers(1, max(2, len(content)))]


def splice(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """A piece of another file, or of itself, is put in or over."""
    other = others[generator.integers(len(others))]
    begin = int(generator.integers(len(other)))
    piece = other[begin : begin + int(generator.integers(1, 2000))] * int(generator.choice([1, 1, 1, 50]))
    at = int(generator.integers(len(content)))
    content[at : at + (len(piece) if generator.integers(2) else 0)] = piece
    return content


def removed(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """A piece in the middle is missing."""
    at = int(generator.integers(len(content)))
    del content[at : at + int(generator.integers(1, 200))]
    return content or bytearray(b"\0")


def checksums(generator: np.random.Generator, content: bytearray, others: list[bytes]) -> bytearray:
    """Nothing is changed but that a PNG's checksums are made right again, so that the decoder goes on."""
    at = 8
    while content.startswith(b"\x89PNG") and at + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        if at + 12 + size > len(content):
            break
        struct.pack_into(">I", content, at + 8 + size, zlib.crc32(content[at + 4 : at + 8 + size]))
        at += 12 + size
    return content


DAMAGES: tuple[Damage, ...] = (bits, bits, header, header, cut, splice, removed)


def inputs(seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged samples without end."""
    generator = np.random.default_rng(seed)
    known = samples()
    others = list(known.values())
    while True:
        for name, sound in known.items():
            content = bytearray(sound)
            for _ in range(generator.integers(1, 4)):
                content = DAMAGES[generator.integers(len(DAMAGES))](generator, content, others)
            yield name, bytes(checksums(generator, content, others))


def attempt(content: bytes) -> str:
    """What becomes of one input: "shown", "refused", or the name of an error that should not be."""
    outcome = "shown"
    try:
        found = render.render(content, TARGETS)
        assert [each.pixels.shape for each in found.renderings[:2]] == [(64, 64, 3), (80, 100, 3)]
        assert found.renderings[3].pixels.shape == (32, 32, 3)
        redact.redact(content, PLACES, method="pixelate")
    except errors.InvalidArgument as error:
        outcome = "refused" if error.violations[0].field == "image.content" else "refused without its field"
    except MemoryError:
        outcome = "no memory"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        outcome = f"{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1].name}"
    return outcome


def work(pipe: Connection) -> None:
    """The child: inputs in, outcomes and its peak memory out."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff has much to say
    with contextlib.suppress(EOFError):
        while True:
            outcome = attempt(pipe.recv_bytes())
            pipe.send((outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


class Child:
    """A process that opens pictures until one of them ends it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def open(self, content: bytes, seconds: float) -> tuple[str, int]:
        """The outcome and the peak memory of the child; it is gone when the outcome is "hang" or "crash"."""
        try:
            self._pipe.send_bytes(content)
            if self._pipe.poll(seconds):
                return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return f"crash {self._process.exitcode}", 0
        self._process.kill()
        self._process.join()
        return "hang", 0


def say(line: str) -> None:
    """Tell whoever runs this."""
    print(line, flush=True)  # noqa: T201 - a command


def main() -> None:
    """Fuzz, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=20, help="the longest that one input may take")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "fuzz-pictures")
    options = parser.parse_args()
    child = Child()
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, peak, first_peak, kept = (0.0, "", b""), 0, 0, 0
    end = time.monotonic() + options.minutes * 60
    for name, content in inputs(options.seed):
        if time.monotonic() > end:
            break
        begun = time.perf_counter()
        outcome, memory = child.open(content, options.seconds)
        taken = time.perf_counter() - begun
        outcomes[outcome] += 1
        peak = max(peak, memory)
        first_peak = first_peak or memory
        if outcomes.total() > 1 and taken > slowest[0]:
            slowest = (taken, name, content)
        if outcome not in {"shown", "refused"}:
            options.keep.mkdir(parents=True, exist_ok=True)
            kept += 1
            (options.keep / f"{kept:03}-{outcome.replace(' ', '-')}").write_bytes(content)
            say(f"{outcome}: {name}, kept in {options.keep}")
        if outcome == "hang" or outcome.startswith("crash"):
            child = Child()
    say(f"seed {options.seed}: {outcomes.total()} inputs")
    for outcome, count in outcomes.most_common():
        say(f"  {outcome}: {count}")
    say(f"slowest: {slowest[0] * 1000:.0f} ms, {slowest[1]}, {len(slowest[2])} bytes")
    say(f"peak memory: {peak / 2**20:.0f} MiB, after the first input {first_peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
