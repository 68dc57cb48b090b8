"""OpenVINO behind uvicorn."""

import functools
import os

from peers import asgi, preprocess
from peers.batcher import Batcher
from peers.openvino_model import CORES, Network

network = Network(os.environ["BENCH_MODEL"], os.environ["BENCH_PRECISION"])
decode = functools.partial(preprocess.crop_of, scaled=os.environ["BENCH_DECODE"] == "scaled")

app = asgi.application(Batcher(decode, network.infer, CORES).predict)
