"""Batches without waiting, for the peers behind uvicorn: threads decode, and whenever the engine is free it takes what is ready.

One request alone is a batch of one on all cores; sixteen at once become batches of eight, which cost an engine less than eight
single pictures. Pillow and the engines give up the interpreter's lock while they compute, so one process is enough.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIZES = (8, 4, 2, 1)


def largest(waiting: int) -> int:
    """The largest batch for so many pictures. Only these sizes are compiled; filling one up would compute pictures for nothing."""
    return next(size for size in SIZES if size <= waiting)


class Batcher:
    """`decode` turns a body into an array, `infer` a list of arrays into an answer for each; `infer` runs one batch at a time."""

    def __init__(self, decode: Callable[[bytes], np.ndarray], infer: Callable[[list[np.ndarray]], list[bytes]], decoders: int):
        self.decode, self.infer = decode, infer
        self.decoding, self.inferring = ThreadPoolExecutor(decoders), ThreadPoolExecutor(1)
        self.ready: list[tuple[np.ndarray, asyncio.Future]] = []
        self.busy = False

    async def predict(self, body: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        pixels = await loop.run_in_executor(self.decoding, self.decode, body)
        answer = loop.create_future()
        self.ready.append((pixels, answer))
        if not self.busy:
            self.busy = True
            loop.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self.ready:
            size = largest(len(self.ready))
            batch, self.ready = self.ready[:size], self.ready[size:]
            try:
                answers = await loop.run_in_executor(self.inferring, self.infer, [pixels for pixels, _ in batch])
            except Exception as error:
                for _, answer in batch:
                    answer.set_exception(error)
                continue
            for (_, answer), value in zip(batch, answers):
                if not answer.cancelled():  # its client went away
                    answer.set_result(value)
        self.busy = False
