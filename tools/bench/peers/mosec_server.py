"""OpenVINO behind mosec, which is made for dynamic batching: its server is Rust, its stages are processes.

As many processes as cores decode; one infers, on all cores, batches of what arrives within WAIT, at most eight.
"""

import os

import numpy as np
from mosec import Server, Worker

from peers import preprocess

CORES = len(os.sched_getaffinity(0))
SCALED = os.environ["BENCH_DECODE"] == "scaled"
BATCH = 8
WAIT = 1  # milliseconds; 0 would mean mosec's default, 10


class Decode(Worker):
    """A body's bytes to pixels."""

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> bytes:
        return preprocess.crop_of(data, SCALED).tobytes()

    # The next stage is another process, and bytes need no pickling.
    def serialize_ipc(self, data: bytes) -> bytes:
        return data


class Infer(Worker):
    """Pixels to answers, a batch at a time."""

    def __init__(self):
        super().__init__()
        # Imported here, so that the processes that decode do not load OpenVINO.
        from peers.openvino_model import Network

        self.network = Network(os.environ["BENCH_MODEL"], os.environ["BENCH_PRECISION"])

    def deserialize_ipc(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8).reshape(preprocess.CROP, preprocess.CROP, 3)

    def forward(self, data: list[np.ndarray]) -> list[bytes]:
        return self.network.infer(data)

    def serialize(self, data: bytes) -> bytes:
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=CORES)
    server.append_worker(Infer, max_batch_size=BATCH, max_wait_time=WAIT)
    server.run()
