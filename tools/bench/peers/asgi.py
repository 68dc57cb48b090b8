"""The least of an ASGI application: a POST's body goes to a coroutine, whose bytes are the JSON answer.

A framework between uvicorn and the function would cost a few per cent, and its users do without it where that matters.
"""

from collections.abc import Awaitable, Callable


def application(predict: Callable[[bytes], Awaitable[bytes]]):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        parts = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        try:
            status, answer = 200, await predict(b"".join(parts))
        except OSError as error:  # Pillow's word for a picture that it cannot read
            status, answer = 422, str(error).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app
