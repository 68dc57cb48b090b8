"""The Python reference: what every other implementation of vidi's answers is compared with.

    python tools/reference/reference.py --model FILE.pt PICTURE…             a table to read
    python tools/reference/reference.py --model FILE.pt --out DIR PICTURE…   every intermediate result, for parity tests
    python tools/reference/reference.py --model FILE.pt --bench 20 PICTURE…  median milliseconds by stage, as JSON

As a module: `from reference import classify_image; classify_image("ski.jpg", top_k=3)`.
Exit status: 0 good, 1 some pictures failed, 2 wrong use, 3 the model cannot be loaded.
"""

import argparse
import functools
import hashlib
import json
import platform
import statistics
import sys
import warnings
from pathlib import Path

import PIL
import torch
import torchvision
from PIL import features

from classify import STAGES, Classifier, Result

WARM_UP = 3  # the TorchScript executor profiles the first two runs and optimises on the third


def classify_image(path: str | Path, top_k: int = 3, model: str | Path = "resnet18_traced.pt") -> list[dict]:
    """The likeliest classes of one picture: [{"label": "alp", "confidence": 92.3}, …], confidence in percent."""
    classifier = _loaded(Path(model))
    best = classifier.top(classifier.run(Path(path)).probabilities, top_k)
    return [{"label": prediction["label"], "confidence": prediction["confidence"]} for prediction in best]


@functools.lru_cache(maxsize=4)
def _loaded(path: Path) -> Classifier:
    return Classifier(path)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    # Pillow warns about odd but readable metadata; which pictures are good is said below, one line each.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        classifier = Classifier(args.model, args.threads)
    except Exception as error:
        print(f"reference: {args.model}: {first_line(error)}", file=sys.stderr)
        return 3
    if args.bench:
        return bench(classifier, args)
    if args.out:
        return write(classifier, args)
    return show(classifier, args)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE")
    parser.add_argument("--list", type=Path, metavar="FILE", help="a file with one picture path a line")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE.pt")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write index.json and binary files here")
    parser.add_argument("--top-k", type=int, default=3, metavar="N")
    parser.add_argument("--no-exif", dest="exif", action="store_false", help="ignore the EXIF orientation")
    parser.add_argument("--strict", action="store_true", help='Pillow\'s plain convert("RGB"): clips 16-bit, drops alpha')
    parser.add_argument("--tensors", action="store_true", help="with --out: also the normalised input (NCHW float32)")
    parser.add_argument("--pixels", action="store_true", help="with --out: also the decoded pixels (RGB bytes)")
    parser.add_argument("--bench", type=int, default=0, metavar="N", help="classify each picture N times and report medians")
    parser.add_argument("--threads", type=int, default=1, metavar="T", help="torch's threads (default 1)")
    args = parser.parse_args(argv)
    if args.list:
        args.pictures += [line for line in args.list.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not args.pictures:
        parser.error("no pictures; name some, or give --list FILE")
    if args.top_k < 1 or args.threads < 1 or args.bench < 0:
        parser.error("--top-k and --threads must be at least 1, --bench at least 0")
    return args


def show(classifier: Classifier, args: argparse.Namespace) -> int:
    """A table for a person."""
    failed = 0
    for path in args.pictures:
        try:
            result = classifier.run(Path(path), args.exif, args.strict)
        except Exception as error:
            failed += 1
            print(f"{path}: {first_line(error)}", file=sys.stderr)
            continue
        width, height = result.picture.image.size
        print(f"{path}  ({width}×{height}, {result.picture.format}, {sum(result.timing_ms.values()):.0f} ms)")
        for prediction in classifier.top(result.probabilities, args.top_k):
            print(f"  {prediction['confidence']:5.1f} %  {prediction['label']}")
    return 1 if failed else 0


def write(classifier: Classifier, args: argparse.Namespace) -> int:
    """Everything as files. Whatever is wrong with one picture becomes its `error`, and the next one is taken."""
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number, path in enumerate(args.pictures, 1):
        try:
            result = classifier.run(Path(path), args.exif, args.strict)
            pictures.append({"path": path, "error": None} | write_files(classifier, result, f"{number:04d}", args))
        except Exception as error:
            pictures.append({"path": path, "error": first_line(error)})
    failed = sum(1 for picture in pictures if picture["error"])
    index = versions(classifier) | {"exif": args.exif, "strict": args.strict, "pictures": pictures}
    # Written last: an index is there only when everything it names is.
    (args.out / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    print(f"{len(pictures) - failed} pictures classified, {failed} failed: {args.out / 'index.json'}", file=sys.stderr)
    return 1 if failed else 0


def write_files(classifier: Classifier, result: Result, stem: str, args: argparse.Namespace) -> dict:
    image = result.picture.image
    pixels = image.tobytes()
    entry = {
        "width": image.width,
        "height": image.height,
        "mode": result.picture.mode,
        "format": result.picture.format,
        "pixels_sha256": hashlib.sha256(pixels).hexdigest(),
    }
    files = {"input_u8": (f"{stem}.u8", result.input_u8.tobytes())}
    if args.tensors:
        files["tensor_f32"] = (f"{stem}.f32", result.tensor.numpy().astype("<f4").tobytes())
    if args.pixels:
        files["pixels_rgb"] = (f"{stem}.rgb", pixels)
    files["logits_f32"] = (f"{stem}.logits", result.logits.astype("<f4").tobytes())
    for key, (name, data) in files.items():
        (args.out / name).write_bytes(data)
        entry[key] = name
    entry["top_k"] = classifier.top(result.probabilities, args.top_k)
    entry["timing_ms"] = {stage: round(ms, 3) for stage, ms in result.timing_ms.items()}
    return entry


def bench(classifier: Classifier, args: argparse.Namespace) -> int:
    """Median milliseconds by stage, one process, no server: what the work itself costs in Python."""
    pictures, failed = [], 0
    for path in args.pictures:
        try:
            for _ in range(WARM_UP):
                classifier.run(Path(path), args.exif, args.strict)
            runs = [classifier.run(Path(path), args.exif, args.strict).timing_ms for _ in range(args.bench)]
        except Exception as error:
            failed += 1
            pictures.append({"path": path, "error": first_line(error)})
            continue
        medians = {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}
        medians["total"] = statistics.median(sum(run.values()) for run in runs)
        pictures.append({"path": path, "error": None, "median_ms": {key: round(ms, 3) for key, ms in medians.items()}})
    report = versions(classifier) | {"repeat": args.bench, "threads": args.threads, "pictures": pictures}
    print(json.dumps(report, indent=1, ensure_ascii=False))
    return 1 if failed else 0


def versions(classifier: Classifier) -> dict:
    """What the numbers depend on: a difference is first looked for here."""
    turbo = "libjpeg-turbo " + str(features.version_feature("libjpeg_turbo"))
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
        "libjpeg": turbo if features.check_feature("libjpeg_turbo") else str(features.version_codec("jpg")),
        "model": classifier.name,
        "model_sha256": classifier.sha256(),
    }


def first_line(error: Exception) -> str:
    """One line for a report: torch's messages go on for pages. Never empty, because an empty error would read as none."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # Some of Pillow's decoders raise a bare number.
    return line if any(character.isalpha() for character in line) else f"{type(error).__name__} {line}".strip()


if __name__ == "__main__":
    sys.exit(main())
