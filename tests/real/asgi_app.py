"""An ASGI application for any server: answers POST /generate, and appends "STATUS PORT ID" to REQUEST_LOG for each.

PORT is the client's. The request's number decides what it gets, so that two runs of one plan can be compared.
"""

import json
import os

LOG = os.open(os.environ["REQUEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
MISBEHAVES = os.environ.get("MISBEHAVES") == "1"


def answer(number: int) -> tuple[int, bytes, int]:
    """Status, body, and bytes that are announced but do not come."""
    good = json.dumps({"image_url": f"/images/{number}.png"}).encode()
    if MISBEHAVES:
        if number % 7 == 6:
            return 500, b'{"detail":"every seventh fails"}', 0
        if number % 11 == 10:
            return 200, good[:-1], 0
        if number % 13 == 12:
            return 200, good, 10
    return 200, good, 0


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    status, body, missing = 204, b"", 0
    if scope["method"] == "POST":
        request = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            request += message["body"]
            if not message.get("more_body"):
                break
        name = json.loads(request)["request_id"]
        status, body, missing = answer(int(name.rpartition("_")[2]))
        os.write(LOG, f"{status} {scope['client'][1]} {name}\n".encode())
    headers = [(b"content-type", b"application/json")]
    if status != 204:
        headers.append((b"content-length", str(len(body) + missing).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
