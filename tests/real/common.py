"""What both applications share: the request, the pretended work, and the exact count of items done."""

import ctypes
import hashlib
import os
import signal
import tempfile
import time
import zlib
from pathlib import Path

from pydantic import BaseModel, Field

FIRST_ITEM_SECONDS = 0.020
NEXT_ITEM_SECONDS = 0.005  # a further item of the same batch: batching has to pay, as it does on a GPU

STOP_SECONDS = 3  # how long a server that is told to stop waits for requests in flight


class Settings(BaseModel):
    """The fields of the FLUX payload other than what to draw. Unknown fields are ignored, as the original does."""

    num_inference_steps: int = Field(25, ge=1)
    guidance_scale: float = 3.5
    width: int = Field(512, ge=1)
    height: int = Field(512, ge=1)
    seed: int | None = None


class Generate(Settings):
    prompt: str = Field(min_length=1)


def generate(requests: list[Generate]) -> list[dict]:
    """Does the requests as one batch. A prompt that begins with "fail:" raises, for tests that need a failing item."""
    started = time.perf_counter()
    images = [_draw(request) for request in requests]
    rest = FIRST_ITEM_SECONDS + NEXT_ITEM_SECONDS * (len(requests) - 1) - (time.perf_counter() - started)
    time.sleep(max(0.0, rest))
    took = f"{time.perf_counter() - started:.2f}s"
    return [{**image, "generation_time": took} for image in images]


def _draw(request: Generate) -> dict:
    if request.prompt.startswith("fail:"):
        raise ValueError(f"asked to fail: {request.prompt!r}")
    seed = zlib.crc32(request.prompt.encode()) if request.seed is None else request.seed
    digest = hashlib.sha256(f"{request.model_dump_json()} {seed}".encode()).hexdigest()[:16]
    filename = f"flux_{digest}.png"
    return {
        "message": "Image generated successfully",
        "image_url": f"/images/{filename}",
        "download_url": f"/download/{filename}",
        "filename": filename,
        "width": request.width,
        "height": request.height,
        "seed": seed,
    }


class Count:
    """Counts items over any number of threads and processes: a byte is appended for each, and the length is the count.

    The kernel makes an O_APPEND write whole, so this is exact, needs no lock, and outlives a worker that is replaced.
    """

    def __init__(self, state: Path, name: str):
        self.path = state / f"{name}.count"

    def reset(self) -> None:
        self.path.write_bytes(b"")

    def add(self, items: int) -> None:
        with open(self.path, "ab", buffering=0) as file:
            file.write(b"." * items)

    def read(self) -> int:
        return self.path.stat().st_size


def state_folder(arguments: list[str]) -> Path:
    """STATE_DIR if it was given, else a new temporary folder (which stays: it is tiny, and useful after a failure)."""
    if not arguments:
        return Path(tempfile.mkdtemp(prefix="fluxfleet-real-"))
    folder = Path(arguments[0]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def die_with_parent() -> None:
    """Makes the kernel kill this process when its parent ends in any way, so that nothing outlives a killed server."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG
    if ctypes.CDLL(None, use_errno=True).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
