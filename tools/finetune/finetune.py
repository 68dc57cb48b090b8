"""Teaches a network the classes of your own pictures, and writes it as one model file with its card.

    python tools/finetune/finetune.py PICTURES --name NAME [--out DIR]

PICTURES has a folder for each class, with its pictures. It writes NAME.pt and, beside it, the folder NAME-report with report.html
(what it gets right, on pictures it never learnt from), curves.svg and metrics.json.
By default each picture goes through the network --views + 1 times, at 0.04 to 0.15 s of CPU each (docs/finetune.md has the figures).
Exit status: 0 good, 1 failed, 2 wrong use, 69 the download host cannot be reached.
"""

import argparse
import csv
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in ("tools/export", "tools/reference"):
    sys.path.insert(0, str(ROOT / folder))

import card as cards
import export
import models
import weights
from recipe import Recipe
from weights import ExportError, Unreachable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
STARTS = [name for name, recipe in models.RECIPES.items() if recipe.weights]


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        return run(args)
    except (ExportError, OSError, ValueError, ArithmeticError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return getattr(error, "code", 1)
    except ImportError as error:
        print(f"finetune: {error}; run `make python` and use build/venv/bin/python", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("finetune: stopped; nothing was written", file=sys.stderr)
        return 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="a folder with one folder of pictures for each class")
    parser.add_argument("--name", required=True, help="the model's name: letters, digits, '.', '-', '_'")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="where NAME.pt and NAME-report go (default: here)")
    parser.add_argument("--start", choices=["auto", *STARTS], default="auto", metavar="MODEL",
                        help="the model to start from (default: resnet18 where its weights can be had, else efficientnet-lite0)")  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--whole", action="store_true", help="after the last layer, train the whole network too (slow, sometimes better)")
    how.add_argument("--scratch", action="store_true", help="start from random weights: to see what the trained ones are worth")
    parser.add_argument("--test", type=Path, metavar="DIR", help="pictures to judge by, in the same class folders (default: a share of PICTURES)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="names to show: tab-separated, with the header folder, en, zh")
    parser.add_argument("--description", default="", help="a line for people, in the card")
    parser.add_argument("--licence", default="", help="the licence of the result (default: that of the model it starts from)")
    parser.add_argument("--version", default="1", help="yours to count (default 1)")
    parser.add_argument("--epochs", type=int, default=60, metavar="N", help="at most so many rounds (default 60; --whole: of each part)")
    parser.add_argument("--patience", type=int, default=8, metavar="N", help="stop after N rounds that are no better (default 8)")
    parser.add_argument("--views", type=int, default=4, metavar="N", help="random views of each picture for the last layer (default 4)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed shares out and learns in another order")
    parser.add_argument("--no-flip", dest="flip", action="store_false", help="left and right matter: do not learn from mirrored pictures")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="0 is all cores")
    args = parser.parse_args(argv)
    if not NAME.fullmatch(args.name):
        parser.error(f"--name {args.name!r}: want 1 to 64 letters, digits, '.', '-' or '_', beginning with a letter or digit")
    if min(args.epochs, args.patience) < 1 or min(args.views, args.threads) < 0:
        parser.error("--epochs and --patience must be at least 1, --views and --threads at least 0")
    if not NAME.fullmatch(args.version) or args.version in ("stable", "canary"):
        parser.error(f"--version {args.version!r}: want 1 to 64 letters, digits, '.', '-' or '_', beginning with a letter or digit, and not stable or canary")
    for option in ("description", "licence"):
        if not getattr(args, option).isprintable():
            parser.error(f"--{option}: want one line without control characters")
    return args


def run(args: argparse.Namespace) -> int:
    # The quick mistakes first: torch takes seconds to load, and the weights may have to be downloaded.
    names = read_labels(args.labels) if args.labels else {}
    args.out.mkdir(parents=True, exist_ok=True)
    recipe, weights_path = find_start(args)
    import torch

    import class_folders
    import judgement
    import training

    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    begun = time.monotonic()
    try:
        folder = class_folders.read(args.pictures, recipe)
        labels = make_labels(folder.classes, names)
        if args.test:
            apart = class_folders.read(args.test, recipe, folder, fewest=1)
            rest, test, skipped = folder.pictures, apart.pictures, folder.skipped + apart.skipped
        else:
            (rest, test), skipped = class_folders.share_out(folder.pictures, 0.2, args.seed), folder.skipped
        learn, check = class_folders.share_out(rest, 0.2, args.seed + 1)
    except class_folders.FolderError as error:
        raise ExportError(str(error)) from None
    for path, reason in skipped:
        print(f"finetune: {path} is left out: {reason}", file=sys.stderr)
    print(f"{len(labels)} classes; {len(learn)} pictures to learn from, {len(check)} to stop by, {len(test)} to judge by", flush=True)

    net = start_net(recipe, weights_path, len(labels), args.scratch)
    settings = training.Settings(args.epochs, args.patience, args.views)
    views = training.Views(recipe, args.flip)
    if not args.scratch:
        training.train_head(net, views, learn, check, settings)
    if args.whole or args.scratch:
        training.train_whole(net, views, learn, check, settings, args.scratch)
    found = judgement.judge(training.predict(net, views, test), test, labels)
    how = "from random weights" if args.scratch else "the whole network" if args.whole else "the last layer"
    card = make_card(args, recipe, labels, how, len(learn) + len(check), folder.digest(), net)

    import jitfile

    target = args.out / f"{args.name}.pt"
    jitfile.write(net, card, target)
    page = judgement.write(args.out / f"{args.name}-report", card, found, settings.history, skipped, (len(learn), len(check)), time.monotonic() - begun)
    print(f"right at once: {found.right} of {len(test)} pictures that it did not learn from ({100 * found.right / len(test):.1f} %)")
    print(f"model:  {target}\nreport: {page}\n\nNext:\n  bin/vidi models add {target}")
    if args.test:  # of the pictures that it learned from the model knows too many
        print(f"  bin/vidi eval {args.test} --model {args.name}")
    return 0


def find_start(args: argparse.Namespace) -> tuple[Recipe, Path | None]:
    """The model to start from and its weights. auto is the official ResNet-18, or Lite0 where that cannot be fetched."""
    options = argparse.Namespace(weights=None, weights_url=None, connect_timeout=weights.CONNECT_SECONDS)
    recipe = models.RESNET18 if args.start == "auto" else models.RECIPES[args.start]
    if args.scratch:
        return (models.LITE0 if args.start == "auto" else recipe), None
    try:
        return recipe, export.find_weights(recipe, options)
    except Unreachable as error:
        if args.start != "auto":
            raise
        print(f"start: efficientnet-lite0, because resnet18's weights cannot be fetched ({error})", flush=True)
        return models.LITE0, export.find_weights(models.LITE0, options)


def start_net(recipe: Recipe, weights_path: Path | None, classes: int, scratch: bool):
    """The network with a last layer for these classes."""
    from torch import nn

    import training

    net = recipe.net() if scratch else recipe.build(weights_path)
    name, old = training.last_layer(net)
    training.put_layer(net, name, nn.Linear(old.in_features, classes))
    return net


def read_labels(path: Path) -> dict[str, dict]:
    """folder → the names to show."""
    found: dict[str, dict] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            key = (row.get("folder") or "").strip()
            if not key or key in found:
                raise ValueError(f"{path}: want a tab-separated table with the header folder, en, zh, and each folder once; line {len(found) + 2} is not so")
            found[key] = {language: row[language].strip() for language in ("en", "zh") if row.get(language) and row[language].strip()}
    return found


def make_labels(classes: list[str], names: dict[str, dict]) -> list[dict]:
    if unknown := [key for key in names if key not in classes]:
        raise ValueError(f"--labels names folders that are not there: {', '.join(unknown)}; there are: {', '.join(classes)}")
    labels = []
    for name in classes:
        shown = names.get(name, {})
        label = shown.get("en", name)
        labels.append({"label": label, "names": {"en": label, **shown}})
    if len({label["label"] for label in labels}) != len(labels):
        raise ValueError("--labels gives two folders the same English name; they are the labels in answers, and must differ")
    return labels


def make_card(args: argparse.Namespace, recipe: Recipe, labels: list[dict], how: str, count: int, digest: str, net) -> dict:
    shown = ", ".join(label["label"] for label in labels[:8]) + (", …" if len(labels) > 8 else "")
    return cards.make(
        name=args.name,
        version=args.version,
        description=args.description or shown,
        licence=args.licence or recipe.licence,
        source=f"trained {how}, {'the network of' if args.scratch else 'starting with'} {recipe.name}, seed {args.seed}, on {count} pictures, sha256 {digest}",
        weights_sha256=models.weights_digest(None, net),
        labels=labels,
        resize=recipe.resize,
        crop=recipe.crop,
        interpolation=recipe.interpolation,
        mean=recipe.mean,
        std=recipe.std,
    )


if __name__ == "__main__":
    sys.exit(main())
