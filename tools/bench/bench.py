"""vidi beside other servers and engines, in one interleaved run, into docs/benchmarks.md.

    make bench                                       20 minutes on two cores
    make bench BENCH=--quick                         under 3 minutes; its report goes to build/bench
    make bench BENCH="--servers vidi-fp32 flask"     only these servers, no engines; into build/bench too

The machine must be quiet. What was measured is kept in build/bench/results.json, and --report makes the report from it again.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import engines
import machine
import pictures
import plots
import report
import serving
import tensors
from results import Run
from servers import BIN, INT8_ONNX, MODEL, ONNX, ROOT, SERVERS

BUILD = ROOT / "build/bench"
PARTS = ("http", "engines", "tensors")


def main() -> int:
    args = arguments()
    # Servers that stand still would outlive a plain kill.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    BUILD.mkdir(parents=True, exist_ok=True)
    saved = BUILD / "results.json"
    if not args.report:
        begun = time.monotonic()
        for data in measure(args):  # after each part, so that a failure costs one only: --report writes what there is
            saved.write_text(json.dumps(data | {"seconds": time.monotonic() - begun}), encoding="utf-8")
    run = Run(json.loads(saved.read_text(encoding="utf-8")))
    out = args.out or (ROOT / "docs" if run.data["plan"]["complete"] else BUILD)
    out.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in out.glob("benchmarks-*.md"))
    (out / "benchmarks.md").write_text(report.render(run, others), encoding="utf-8")
    plots.write(run, out / "benchmarks")
    print(f"bench: wrote {out / 'benchmarks.md'}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [cell.key for cell in serving.CELLS]
    parser.add_argument("--quick", action="store_true", help="one round of short slices: a smoke run")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 3, quick: 1")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, metavar="NAME", help=f"of {', '.join(SERVERS)}; only the HTTP part is run")
    parser.add_argument("--cells", nargs="+", choices=keys, metavar="CELL", help=f"of {', '.join(keys)}")
    parser.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report of the last run again")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: docs for a whole run, else build/bench")
    args = parser.parse_args()
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be at least 1")
    return args


def measure(args: argparse.Namespace) -> Iterator[dict]:
    """What was measured so far, after each part."""
    peers_models()
    lists = pictures.make(BUILD / "pictures")
    parts = args.parts or (("http",) if args.servers or args.cells else PARTS)
    rounds = args.rounds or (1 if args.quick else 3)
    data: dict = {
        "plan": {"rounds": rounds, "quick": args.quick, "complete": False},
        "machine": machine.describe(),
        "versions": machine.versions(),
    }
    if "http" in parts:
        servers = [SERVERS[name] for name in args.servers or SERVERS if available(SERVERS[name])]
        usual = serving.QUICK_CELLS if args.quick else serving.CELLS
        cells = [cell for cell in serving.CELLS if cell.key in args.cells] if args.cells else list(usual)
        lengths = serving.QUICK if args.quick else serving.FULL
        data["servers"] = serving.measure(servers, cells, rounds, lengths, lists, BUILD / "logs")
        yield data
    if "engines" in parts:
        # Twice as many, because the engines cannot be stopped while others run: their turns are further apart.
        data["engines"] = engines.measure(2 * rounds, 0.3 if args.quick else 1.0)
        yield data
    if "tensors" in parts:
        data["tensors"] = tensors.measure(rounds, 0.3 if args.quick else 1.0, BUILD / "pictures", BUILD)
    data["plan"]["complete"] = not (args.quick or args.servers or args.cells or args.parts)
    yield data


def available(server) -> bool:
    if not server.model.exists():
        print(f"bench: {server.name} is left out, there is no {server.model.relative_to(ROOT)}", file=sys.stderr)
    return server.model.exists()


def peers_models() -> None:
    """Makes the peers' models anew when vidi's has changed."""
    script = Path(__file__).resolve().parent / "peer_models.py"
    for kind, source, target in (("onnx", MODEL, ONNX), ("int8", ONNX, INT8_ONNX)):
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            print(f"bench: making {target.relative_to(ROOT)}", file=sys.stderr)
            done = subprocess.run([BIN / "python", script, kind, source, target], check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"bench: {script.name} failed:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
