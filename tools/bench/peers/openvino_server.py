"""OpenVINO behind uvicorn.

As many threads as cores take a picture the whole way, each with a stream of one core; a second compiled model, which spreads one
picture over all cores, is for a request that is alone. Pillow and OpenVINO give up the interpreter's lock while they compute.
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from peers import answer, asgi, preprocess
from peers.openvino_model import CORES, Network, infer

SCALED = os.environ["BENCH_DECODE"] == "scaled"

network = Network(os.environ["BENCH_MODEL"], os.environ["BENCH_PRECISION"])
streams = network.compile(batch=1, streams=CORES, threads=CORES)
all_cores = network.compile(batch=1, streams=1, threads=CORES).create_infer_request()
all_cores_free = threading.Lock()
pool = ThreadPoolExecutor(CORES)
own = threading.local()
under_way = 0


def classify(body: bytes) -> bytes:
    pixels = preprocess.crop_of(body, SCALED)[None]
    if under_way == 1 and all_cores_free.acquire(blocking=False):
        try:
            return answer.top3(infer(all_cores, pixels)[0])
        finally:
            all_cores_free.release()
    if not hasattr(own, "request"):
        own.request = streams.create_infer_request()
    return answer.top3(infer(own.request, pixels)[0])


async def predict(body: bytes) -> bytes:
    global under_way
    under_way += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, classify, body)
    finally:
        under_way -= 1


app = asgi.application(predict)
