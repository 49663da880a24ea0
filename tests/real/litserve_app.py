"""A LitServe server: litserve_app.py PORT [STATE_DIR]. See README.md for its routes."""

import os
import signal
import sys

import litserve
from fastapi import HTTPException

from common import STOP_SECONDS, Count, Generate, Settings, die_with_parent, generate, state_folder


class GenerateBatch(Settings):
    prompts: list[str]


class CountedApi(litserve.LitAPI):
    """Keeps the path of its count file, which reaches the inference workers (other processes) with the object."""

    def __init__(self, count: Count, **options):
        super().__init__(**options)
        self.count = count

    def setup(self, device):
        die_with_parent()


class GenerateApi(CountedApi):
    # The annotation makes LitServe check the body in its HTTP process and answer 422, before the item is queued.
    def decode_request(self, request: Generate):
        return request

    def predict(self, request):
        # With LitServe's dynamic batching on, this is a list of requests from different clients.
        batched = isinstance(request, list)
        results = generate(request if batched else [request])
        # Before the answer leaves, so that a client that has its answer is always counted.
        self.count.add(len(results))
        results = [{**result, "batch_size": len(results)} for result in results]
        return results if batched else results[0]


class GenerateBatchApi(CountedApi):
    def decode_request(self, request: GenerateBatch):
        if not request.prompts or not all(request.prompts):
            raise HTTPException(422, "prompts must be a list of at least one non-empty text")
        settings = request.model_dump(exclude={"prompts"})
        return [Generate(prompt=prompt, **settings) for prompt in request.prompts]

    def predict(self, requests):
        results = generate(requests)
        self.count.add(len(results))
        return {
            "results": results,
            "batch_size": len(results),
            "generation_time": results[0]["generation_time"],
        }


def interrupt(signum, frame):
    raise KeyboardInterrupt


def in_forked_child():
    # The manager and the HTTP processes are forks: they must not inherit the handler, which is for the main process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()


def main():
    port = int(sys.argv[1])
    state = state_folder(sys.argv[2:])
    counts = {name: Count(state, name) for name in ("generate", "batch_generate")}
    for count in counts.values():
        count.reset()

    # LitServe's own dynamic batching on /generate. batch_timeout is how long it waits for a batch to fill.
    max_batch = int(os.environ.get("LITSERVE_MAX_BATCH", "1"))
    batching = {"max_batch_size": max_batch, "batch_timeout": 0.01} if max_batch > 1 else {}
    server = litserve.LitServer(
        [
            GenerateApi(counts["generate"], api_path="/generate", **batching),
            GenerateBatchApi(counts["batch_generate"], api_path="/batch-generate"),
        ],
        accelerator="cpu",
        # Two processes for /generate, so that the count is really taken over processes.
        workers_per_device={"/generate": 2, "/batch-generate": 1},
    )

    @server.app.get("/counts")
    def read_counts() -> dict[str, int]:
        return {name: count.read() for name, count in counts.items()}

    # By default 30 s, all of which pass when the whole process group is told to stop: the workers are then gone at
    # once, and the requests that were in flight never end.
    server.uvicorn_graceful_timeout = STOP_SECONDS
    # LitServe stops its children on Ctrl+C, but leaves SIGTERM at its default, which would orphan them.
    signal.signal(signal.SIGTERM, interrupt)
    os.register_at_fork(after_in_child=in_forked_child)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        generate_client_file=False,  # else it writes client.py into the current folder
        log_level="warning",
    )


if __name__ == "__main__":
    main()
