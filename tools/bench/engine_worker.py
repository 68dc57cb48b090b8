"""Times one engine on one picture: engine_worker.py ort|openvino MODEL PRECISION THREADS SECONDS; prints {"median_ms": …}."""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

WARM = 10


def onnxruntime_engine(model: str, precision: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda picture: session.run(None, {"input": picture})[0]


def openvino_engine(model: str, precision: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import openvino as ov

    core = ov.Core()
    network = core.read_model(model)
    network.reshape([1, 3, 224, 224])
    hint = ov.Type.bf16 if precision == "bf16" else ov.Type.f32
    config = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint}
    request = core.compile_model(network, "CPU", config).create_infer_request()

    def infer(picture: np.ndarray) -> np.ndarray:
        request.infer({0: picture}, share_inputs=True)
        return request.get_output_tensor(0).data

    return infer


def main() -> int:
    engine, model, precision, threads, seconds = sys.argv[1:]
    build = {"ort": onnxruntime_engine, "openvino": openvino_engine}[engine]
    infer = build(model, precision, int(threads))
    picture = np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)
    for _ in range(WARM):
        infer(picture)
    times = []
    end = time.perf_counter() + float(seconds)
    while (begun := time.perf_counter()) < end:
        infer(picture)
        times.append(time.perf_counter() - begun)
    print(json.dumps({"median_ms": statistics.median(times) * 1000, "runs": len(times)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
