"""OpenVINO behind mosec, which is made for dynamic batching: its server is Rust, its stages are processes.

As many processes as cores decode, one infers batches of up to eight with all cores. It takes what is there within WAIT.
"""

import os

import numpy as np
from mosec import Server, Worker

from peers import preprocess

CORES = len(os.sched_getaffinity(0))
SIDE = preprocess.CROP
BATCH = 8
WAIT = int(os.environ.get("BENCH_WAIT_MS", "2"))


class Decode(Worker):
    """Bytes to pixels."""

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> bytes:
        return preprocess.crop_of(data, os.environ["BENCH_DECODE"] == "scaled").tobytes()

    # The next stage is another process, and pixels need no pickling.
    def serialize_ipc(self, data: bytes) -> bytes:
        return data


class Infer(Worker):
    """A batch of pixels to answers."""

    def __init__(self):
        from peers import answer, openvino_model

        self.top3, self.infer = answer.top3, openvino_model.infer
        network = openvino_model.Network(os.environ["BENCH_MODEL"], os.environ["BENCH_PRECISION"])
        # One model per size: rounding a batch of three up to eight would compute five for nothing.
        self.requests = [network.compile(batch=n, streams=1, threads=CORES).create_infer_request() for n in range(1, BATCH + 1)]

    def deserialize_ipc(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)

    def forward(self, pictures: list[np.ndarray]) -> list[bytes]:
        logits = self.infer(self.requests[len(pictures) - 1], np.stack(pictures))
        return [self.top3(row) for row in logits]

    def serialize(self, data: bytes) -> bytes:
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=CORES)
    server.append_worker(Infer, max_batch_size=BATCH, max_wait_time=WAIT)
    server.run()
