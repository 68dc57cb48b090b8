"""OpenVINO's half of the peers: the model with normalisation built in, compiled for every batch size that is used."""

import os

import numpy as np
import openvino as ov

from peers import answer, preprocess
from peers.batcher import SIZES, largest

CORES = len(os.sched_getaffinity(0))


class Network:
    """One batch at a time on all cores. Each size has a compiled model of its own: a free size costs OpenVINO time at each change."""

    def __init__(self, path: str, precision: str):
        self.core = ov.Core()
        steps = ov.preprocess.PrePostProcessor(self.core.read_model(path))
        # Bytes go in, and OpenVINO normalises them in its first kernel.
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        mean, std = (preprocess.MEAN * 255).tolist(), (preprocess.STD * 255).tolist()
        steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
        self.model = steps.build()
        self.config = {
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": CORES,
            "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision == "bf16" else ov.Type.f32,
            # The cores are shared with decoding: a thread bound to one core would wait for it while another core idles.
            "ENABLE_CPU_PINNING": False,
        }
        self.requests = {size: self._compile(size) for size in SIZES}

    def _compile(self, batch: int) -> ov.InferRequest:
        model = self.model.clone()
        model.reshape([batch, preprocess.CROP, preprocess.CROP, 3])
        return self.core.compile_model(model, "CPU", self.config).create_infer_request()

    def infer(self, pictures: list[np.ndarray]) -> list[bytes]:
        answers = []
        while len(answers) < len(pictures):
            size = largest(len(pictures) - len(answers))
            batch = np.stack(pictures[len(answers) : len(answers) + size])
            request = self.requests[size]
            request.infer({0: batch}, share_inputs=True)
            answers += [answer.top3(row) for row in request.get_output_tensor(0).data]
        return answers
