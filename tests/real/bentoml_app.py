"""A BentoML server: bentoml_app.py PORT [STATE_DIR]. See README.md for its routes.

Run as a program it only sets the environment and becomes `bentoml serve`, which loads this file as a module.
"""

import os
import sys
from pathlib import Path

import bentoml
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from common import STOP_SECONDS, Count, Generate, die_with_parent, generate, state_folder

STATE_VARIABLE = "FLUXFLEET_REAL_STATE"
NAMES = ("generate", "async_generate")


def counts() -> dict[str, Count]:
    state = Path(os.environ[STATE_VARIABLE])
    return {name: Count(state, name) for name in NAMES}


async def read_counts(_request) -> JSONResponse:
    return JSONResponse({name: count.read() for name, count in counts().items()})


@bentoml.service(
    workers=1,
    threads=4,  # how many items are worked on at once, shared by both endpoints; the default is 1
    logging={"access": {"enabled": False}},
)
class Flux:
    def __init__(self):
        # BentoML starts its worker in a session of its own, so a signal to the server's group does not reach it.
        die_with_parent()
        self.counts = counts()

    # The lone positional-only parameter makes the whole body the model, so the payload is the flat one of /generate.
    @bentoml.api(route="/generate")
    def generate(self, request: Generate, /) -> dict:
        return self.done("generate", request)

    @bentoml.task(route="/async-generate")
    def async_generate(self, request: Generate, /) -> dict:
        return self.done("async_generate", request)

    def done(self, name: str, request: Generate) -> dict:
        [result] = generate([request])
        # Before the answer leaves, so that a client that has its answer is always counted.
        self.counts[name].add(1)
        return result


Flux.mount_asgi_app(Starlette(routes=[Route("/counts", read_counts)]))


def main():
    port = int(sys.argv[1])
    state = state_folder(sys.argv[2:])
    os.environ.update(
        {
            STATE_VARIABLE: str(state),
            "BENTOML_HOME": str(state / "bentoml"),  # its stores and the task database; by default in the home folder
            "BENTOML_DO_NOT_TRACK": "true",  # else it reports usage to its maker
            "TMPDIR": str(state),
        }
    )
    for count in counts().values():
        count.reset()
    serve = [sys.executable, "-m", "bentoml", "serve", "bentoml_app:Flux"]
    where = ["--working-dir", str(Path(__file__).resolve().parent), "--host", "127.0.0.1", "--port", str(port)]
    # Without a limit a stop waits for as long as any request runs.
    os.execv(sys.executable, [*serve, *where, "--timeout-graceful-shutdown", str(STOP_SECONDS)])


if __name__ == "__main__":
    main()
