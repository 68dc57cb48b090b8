"""Writes the column `groups` of service/model/imagenet.tsv: which everyday groups each of ImageNet's classes belongs to.

    /usr/bin/python3 tools/labels/groups.py            # writes the column
    /usr/bin/python3 tools/labels/groups.py --check    # only says whether it is up to date

A class is a WordNet 3.0 noun synset, and WordNet's hypernyms lead from it to ever broader ones: tabby, domestic cat, feline, …
service/model/groups.tsv names the groups and the synsets that stand for them. A class's first group is that of the nearest of
these synsets above it. Its further groups, if any, are those that list a synset above it under `also`: a toaster is a home
appliance first, and a sign of a kitchen. overrides.tsv mends what WordNet sees otherwise than people do, and says why.
After these come the top-level groups that they are under, as the column `top` says, that of the first group last. A group may be
a top-level group itself; an override may name more of them.

The WordNet is the one of Debian's package wordnet-base (data.noun). Only the standard library is needed.
"""

import argparse
import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "service/model"
WORDNET = Path("/usr/share/wordnet/data.noun")
SEPARATOR = "; "


def read_table(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """The rows of a tab-separated table with these columns, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if reader.fieldnames is None or [c for c in columns if c not in reader.fieldnames]:
            raise ValueError(f"{path}: want the columns {', '.join(columns)}")
        return list(reader)


class WordNet:
    """The nouns: each synset's words, and the synsets right above it. An id is "n" and the synset's offset in data.noun."""

    def __init__(self, path: Path = WORDNET) -> None:
        self.words: dict[str, list[str]] = {}
        self.above: dict[str, list[str]] = {}
        # The format is that of wndb(5WN): offset, file, type, count of words (hex), words, count of pointers, pointers | gloss.
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("  "):  # the licence
                continue
            fields = line.split(" | ", 1)[0].split()
            name, count = "n" + fields[0], int(fields[3], 16)
            self.words[name] = fields[4 : 4 + 2 * count : 2]
            pointers = fields[5 + 2 * count :]
            self.above[name] = [
                "n" + offset
                for kind, offset, part in zip(pointers[0::4], pointers[1::4], pointers[2::4])
                if kind in ("@", "@i") and part == "n"  # a hypernym, or the class of an instance
            ]

    def levels(self, wnid: str) -> list[list[str]]:
        """The synset itself, then those one step above it, two steps, and so on, each once."""
        if wnid not in self.above:
            raise ValueError(f"{wnid} is no noun synset of this WordNet; want version 3.0")
        levels, seen = [[wnid]], {wnid}
        while levels[-1]:
            step = [up for name in levels[-1] for up in self.above[name] if up not in seen]
            seen.update(step)
            levels.append(list(dict.fromkeys(step)))
        return levels[:-1]


def read_tops(path: Path) -> dict[str, str]:
    """The groups in order, and the top-level group of each: itself for a top-level group, "" for a sign of a place."""
    tops: dict[str, str] = {}
    for row in read_table(path, ["group", "top"]):
        if row["group"] in tops:
            raise ValueError(f"{path}: a group is there twice: {row['group']}")
        tops[row["group"]] = row["top"]
    for group, top in tops.items():
        if top and tops.get(top) != top:
            raise ValueError(f"{path}: {group} is under {top}, which is no top-level group")
    return tops


def read_groups(path: Path, wordnet: WordNet) -> tuple[list[str], dict[str, str], dict[str, list[str]]]:
    """The groups in order; which one a synset stands for; which ones it adds. Each synset is written as id=word, to be read."""
    groups: list[str] = []
    first: dict[str, str] = {}
    also: dict[str, list[str]] = {}
    for row in read_table(path, ["group", "zh", "first", "also"]):
        groups.append(row["group"])
        for column in ("first", "also"):
            for synset in row[column].split():
                wnid, _, word = synset.partition("=")
                if word not in wordnet.words.get(wnid, []):
                    raise ValueError(f"{path}: {row['group']}: {synset}: WordNet's words for it are {wordnet.words.get(wnid)}")
                if column == "also":
                    also.setdefault(wnid, []).append(row["group"])
                elif first.setdefault(wnid, row["group"]) != row["group"]:
                    raise ValueError(f"{path}: {synset} stands for {first[wnid]} and for {row['group']}")
    return groups, first, also


def read_overrides(path: Path, groups: list[str]) -> dict[str, tuple[str, list[str]]]:
    """By class: its label, and all its groups, the first one first. Every override has a reason."""
    overrides: dict[str, tuple[str, list[str]]] = {}
    for row in read_table(path, ["wnid", "label", "groups", "reason"]):
        chosen = row["groups"].split(SEPARATOR)
        unknown = [group for group in chosen if group not in groups]
        if unknown or not row["reason"] or row["wnid"] in overrides:
            raise ValueError(f"{path}: {row['wnid']} {row['label']}: an unknown group {unknown}, no reason, or a second row")
        overrides[row["wnid"]] = (row["label"], chosen)
    return overrides


def groups_of(wnid: str, wordnet: WordNet, first: dict[str, str], also: dict[str, list[str]], order: list[str]) -> list[str]:
    """The groups of a class, by WordNet alone. Of two synsets that are equally near, the group that is listed first counts."""
    levels = wordnet.levels(wnid)
    nearest = next((found for level in levels if (found := [first[s] for s in level if s in first])), [])
    further = {group for level in levels for synset in level for group in also.get(synset, [])}
    main = sorted(nearest, key=order.index)[:1]
    return main + sorted(further - set(main), key=order.index)


def with_tops(chosen: list[str], tops: dict[str, str]) -> list[str]:
    """The groups of a class and after them what these are under, the top-level group of the first one last."""
    above = [top for group in chosen[1:] + chosen[:1] if (top := tops[group]) and top not in chosen]
    return chosen + list(dict.fromkeys(reversed(above)))[::-1]


def make(table: Path, groups_path: Path, overrides_path: Path, wordnet: WordNet) -> str:
    """The table's text with the column filled in."""
    tops = read_tops(groups_path)
    order, first, also = read_groups(groups_path, wordnet)
    overrides = read_overrides(overrides_path, order)
    lines = ["\t".join(["class_id", "wnid", "en", "zh", "groups"])]
    used: set[str] = set()
    for row in read_table(table, ["class_id", "wnid", "en", "zh"]):
        chosen = groups_of(row["wnid"], wordnet, first, also, order)
        if row["wnid"] in overrides:
            label, mended = overrides.pop(row["wnid"])
            if label != row["en"]:
                raise ValueError(f"{overrides_path}: {row['wnid']} is {row['en']}, not {label}")
            if mended == chosen:
                raise ValueError(f"{overrides_path}: {row['wnid']} {label}: WordNet says the same; take the row out")
            chosen = mended
        if not chosen:
            raise ValueError(f"{row['wnid']} {row['en']} is in no group; add a synset to {groups_path} or a row to {overrides_path}")
        if not tops[chosen[0]]:
            raise ValueError(f"{row['wnid']} {row['en']} is first of all in {chosen[0]}, which has no top-level group")
        chosen = with_tops(chosen, tops)
        used.update(chosen)
        lines.append("\t".join([row["class_id"], row["wnid"], row["en"], row["zh"], SEPARATOR.join(chosen)]))
    if overrides:
        raise ValueError(f"{overrides_path}: no class {', '.join(overrides)}")
    if set(order) - used:
        raise ValueError(f"{groups_path}: no class is in {', '.join(sorted(set(order) - used))}")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if the column is out of date")
    parser.add_argument("--wordnet", type=Path, default=WORDNET, metavar="FILE", help="WordNet 3.0's data.noun")
    args = parser.parse_args()
    if not args.wordnet.exists():
        print(f"groups: there is no {args.wordnet}; install Debian's package wordnet-base, or name WordNet 3.0's data.noun with --wordnet", file=sys.stderr)
        return 2
    table = MODEL / "imagenet.tsv"
    try:
        text = make(table, MODEL / "groups.tsv", HERE / "overrides.tsv", WordNet(args.wordnet))
    except ValueError as error:
        print(f"groups: {error}", file=sys.stderr)
        return 1
    if text == table.read_text(encoding="utf-8"):
        print("groups: up to date")
        return 0
    if args.check:
        print(f"groups: {table} is out of date; run tools/labels/groups.py", file=sys.stderr)
        return 1
    table.write_text(text, encoding="utf-8")
    print(f"groups: wrote {table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
