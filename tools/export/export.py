"""Exports an image classifier as one TorchScript file with its card inside.

    python tools/export/export.py MODEL --out DIR [--int8 [--calibrate PHOTOGRAPHS]]

MODEL is resnet18, resnet50, mobilenet-v2, mobilenet-v3-large, mobilenet-v3-small, efficientnet-b0 or efficientnet-lite0; one of
them but the last with -seeded, for random weights that numerical tests use; or auto: resnet18 where its weights can be had, else
efficientnet-lite0. With --int8, the file holds the model quantised to 8-bit integers, and is a model of its own: MODEL-int8.pt.
Exit status: 0 good, 1 failed, 2 wrong use, 69 the download host cannot be reached.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import calibration
import card as cards
import models
import weights
from recipe import Recipe, int8
from weights import ExportError, Unreachable

if TYPE_CHECKING:
    from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools" / "reference"))  # calibration_views resizes as the reference does
LABELS = ROOT / "service" / "model" / "imagenet.tsv"
EXAMPLES = ROOT / "examples"
# A quantised model that changes more of the fp32 model's clear answers than this is not worth having: something is wrong with it.
CLEAR_ANSWERS_KEPT = 0.9


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        labels = cards.read_labels(args.labels)
        args.photographs = calibration.find(args.calibrate) if args.int8 else []
        recipe, weights_path = choose(args, labels)
        if not args.force and up_to_date(recipe, args.out, labels):
            print(f"{recipe.name}: {args.out / recipe.file} is up to date")
            return 0
        export(recipe, weights_path or find_weights(recipe, args), args.out, labels, args.photographs)
        return 0
    except (ExportError, OSError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return getattr(error, "code", 1)
    except ImportError as error:
        print(f"export: {error}; run `make python` and use build/venv/bin/python", file=sys.stderr)
        return 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[*models.RECIPES, "auto"], metavar="MODEL", help="which model to export")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the model file")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the official weights file, instead of downloading it (same checksum)")
    parser.add_argument("--weights-url", metavar="URL", help="download the weights from a mirror (same checksum)")
    parser.add_argument("--connect-timeout", type=float, default=weights.CONNECT_SECONDS, metavar="SECONDS")
    parser.add_argument("--labels", type=Path, default=LABELS, metavar="FILE", help="label table (default: ImageNet's)")
    parser.add_argument("--int8", action="store_true", help="quantise it to 8-bit integers, as a model of its own")
    parser.add_argument("--calibrate", type=Path, metavar="DIR", help="with --int8: photographs like those to come (default: examples/)")
    parser.add_argument("--force", action="store_true", help="export even if the file is up to date")
    args = parser.parse_args(argv)
    recipe = models.RESNET18 if args.model == "auto" else models.RECIPES[args.model]
    if (args.weights or args.weights_url) and not (recipe.weights and recipe.weights.url):
        parser.error(f"--weights and --weights-url are for models with downloaded weights; {args.model} brings its own")
    if args.calibrate and not args.int8:
        parser.error("--calibrate is for --int8")
    args.calibrate = args.calibrate or EXAMPLES
    return args


def choose(args: argparse.Namespace, labels: list[dict]) -> tuple[Recipe, Path | None]:
    """Settles which model `auto` is, and says so; returns the weights too where finding out needed them."""

    def wanted(recipe: Recipe) -> Recipe:
        return int8(recipe, len(args.photographs), calibration.digest(args.photographs)) if args.int8 else recipe

    if args.model != "auto":
        return wanted(models.RECIPES[args.model]), None
    if not args.force and up_to_date(wanted(models.RESNET18), args.out, labels):
        print("auto: resnet18, which is here already")
        return wanted(models.RESNET18), None
    try:
        path = find_weights(models.RESNET18, args)
    except Unreachable as error:
        print(f"auto: efficientnet-lite0, because resnet18's weights cannot be fetched ({error})", flush=True)
        return wanted(models.LITE0), None
    print(f"auto: resnet18, with the weights in {path}", flush=True)
    return wanted(models.RESNET18), path


def find_weights(recipe: Recipe, args: argparse.Namespace) -> Path | None:
    """The checked weights file of a model, or None for a model that has none."""
    if recipe.weights is None:
        return None
    if recipe.weights is models.LITE0_WEIGHTS:
        return models.lite0_weights_path()
    if args.weights:
        weights.check(recipe.weights, args.weights)
        return args.weights
    pinned = dataclasses.replace(recipe.weights, url=args.weights_url or recipe.weights.url)
    return weights.fetch(pinned, connect_seconds=args.connect_timeout)


def make_card(recipe: Recipe, weights_sha256: str, labels: list[dict]) -> dict:
    return cards.make(
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        source=recipe.source,
        weights_sha256=weights_sha256,
        precision=recipe.precision,
        labels=labels,
        resize=recipe.resize,
        crop=recipe.crop,
        interpolation=recipe.interpolation,
        mean=recipe.mean,
        std=recipe.std,
    )


def up_to_date(recipe: Recipe, out: Path, labels: list[dict]) -> bool:
    """Whether the file is there, whole, and carries the card that would be written now."""
    found = cards.read(out / recipe.file)
    if found is None:
        return False
    # The seeded weights have no file whose digest is known beforehand; their recipe is named in the card's version and source.
    digest = recipe.weights.sha256 if recipe.weights else found.get("weights_sha256", "")
    return found == make_card(recipe, digest, labels)


def export(recipe: Recipe, weights_path: Path | None, out: Path, labels: list[dict], photographs: list[Path]) -> None:
    """Builds the network and writes its file. `photographs` are for int8 alone."""
    print(f"{recipe.name}: building and tracing (some seconds)…", file=sys.stderr, flush=True)
    import jitfile  # here because it loads torch

    net = recipe.build(weights_path)
    digest = models.weights_digest(weights_path, net)
    card = make_card(recipe, digest, labels)
    report = []
    if recipe.precision == "int8":
        net, report = quantise(recipe, net, card, photographs)
    target = out / recipe.file
    difference = jitfile.write(net, card, target)
    print(f"{recipe.name}: {target}")
    print(f"  size                {target.stat().st_size} bytes")
    print(f"  sha256              {weights.sha256_of(target)}")
    print(f"  weights sha256      {digest}")
    print(f"  largest difference  {difference:.3g} between the file and the original module's logits")
    print("".join(f"  {line}\n" for line in report), end="")


def quantise(recipe: Recipe, net: "nn.Module", card: dict, photographs: list[Path]) -> tuple["nn.Module", list[str]]:
    """The quantised network, and lines about how its answers compare with the float one's on views it was not calibrated on."""
    import calibration_views
    import quantisation

    print(f"{recipe.name}: quantising on {len(photographs)} photographs (a minute of CPU or more)…", file=sys.stderr, flush=True)
    quantised = quantisation.quantise(net, calibration_views.tensors(photographs, card), recipe.in_float)
    found = quantisation.compare(net, quantised, calibration_views.tensors(photographs, card, held_back=True))
    if found.clear_kept < CLEAR_ANSWERS_KEPT * found.clear:
        raise ExportError(f"{recipe.name}: quantisation changed {found.clear - found.clear_kept} of {found.clear} clear answers")
    return quantised, found.lines()


if __name__ == "__main__":
    sys.exit(main())
