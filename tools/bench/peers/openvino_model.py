"""OpenVINO's half of the peers: the model with normalisation built in, compiled for a batch size and a number of threads."""

import os

import numpy as np
import openvino as ov

from peers import preprocess

CORES = len(os.sched_getaffinity(0))


class Network:
    """Reads the model once. Its input is N × 224 × 224 × 3 bytes: OpenVINO normalises them inside its first kernel."""

    def __init__(self, path: str, precision: str):
        self.core = ov.Core()
        self.precision = {"fp32": ov.Type.f32, "int8": ov.Type.f32, "bf16": ov.Type.bf16}[precision]
        steps = ov.preprocess.PrePostProcessor(self.core.read_model(path))
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        mean, std = (preprocess.MEAN * 255).tolist(), (preprocess.STD * 255).tolist()
        steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
        self.model = steps.build()

    def compile(self, batch: int, streams: int, threads: int) -> ov.CompiledModel:
        """`streams` pictures or batches at the same time, `threads` for all of them together."""
        model = self.model.clone()
        model.reshape([batch, preprocess.CROP, preprocess.CROP, 3])
        config = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": self.precision,
            # The cores are shared with decoding: a thread bound to one core would wait for it while another core idles.
            "ENABLE_CPU_PINNING": False,
        }
        return self.core.compile_model(model, "CPU", config)


def infer(request: ov.InferRequest, pixels: np.ndarray) -> np.ndarray:
    request.start_async({0: pixels}, share_inputs=True)
    request.wait()
    return request.get_output_tensor(0).data
