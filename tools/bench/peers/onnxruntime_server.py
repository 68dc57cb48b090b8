"""ONNX Runtime behind uvicorn.

As many threads as cores take a picture the whole way, each on one core: batches gain ONNX Runtime less than its threads lose by
waiting for each other. A second session, which spreads one picture over all cores, is for a request that is alone. Pillow and ONNX
Runtime give up the interpreter's lock while they compute, so one process is enough.
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

from peers import answer, asgi, preprocess

CORES = len(os.sched_getaffinity(0))


def session(threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads may spin inside a run, where it saves time, but not between two, where decoding needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])


one_core, all_cores = session(1), session(CORES)
all_cores_free = threading.Lock()
pool = ThreadPoolExecutor(CORES)
under_way = 0


def classify(body: bytes) -> bytes:
    pixels = preprocess.normalised(preprocess.crop_of(body)[None])
    if under_way == 1 and all_cores_free.acquire(blocking=False):
        try:
            logits = all_cores.run(None, {"input": pixels})[0]
        finally:
            all_cores_free.release()
    else:
        logits = one_core.run(None, {"input": pixels})[0]
    return answer.top3(logits[0])


async def predict(body: bytes) -> bytes:
    global under_way
    under_way += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, classify, body)
    finally:
        under_way -= 1


app = asgi.application(predict)
