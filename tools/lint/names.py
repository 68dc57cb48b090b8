"""What the documents name exists: files, links, make targets, commands and flags of vidi, symbols of the code.

Names are looked for in code spans and code blocks of README.md, docs/*.md and the other documents beside README.md.
Notes (docs/notes) have a date and are left out. Prints what does not exist, and fails.
"""

import re
import subprocess
import sys
from pathlib import Path

import program

CODE = {".go", ".cc", ".h", ".c", ".py", ".sh", ".js", ".html", ".css", ".yaml", ".yml", ".json", ".tpl", ".toml", ".tsv", ".txt",
        ".lock", ".service", ".map", ".bash", ".zsh", ".fish", ""}
SOURCES = r"(?:go|cc|h|c|py|sh|js|md|css|html|tsv|lock)"
FOREIGN = set(Path(__file__).with_name("foreign.txt").read_text().split())
DECLARED = re.compile(r"\bfunc (?:\([^)]*\) )?(\w+)|\btype (\w+)|^(?:\t+|var |const )((?:\w+, )*\w+)[ (]", re.M)


class Tree:
    """What there is to name."""

    def __init__(self, root: Path):
        listed = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True).stdout.split("\n")
        self.root, self.files = root, [f for f in listed if f and (root / f).is_file()]
        self.paths = set(self.files) | {str(p) for f in self.files for p in Path(f).parents}
        self.tops = {f.split("/")[0] for f in self.files if "/" in f}
        self.targets = set(re.findall(r"^([a-z][\w-]*):", (root / "Makefile").read_text(), re.M))
        self.vidi = program.read(root)
        self.flags = program.all_flags(self.vidi)
        self.words, self.declared = set(), set()
        for name in self.files:
            if Path(name).suffix not in CODE or name == "tools/tests/test_lint.py":
                continue
            text = (root / name).read_text(errors="replace")
            words = set(re.findall(r"\w+", text))
            self.words |= words
            if name.endswith(".go"):
                for found in DECLARED.findall(text):
                    self.declared |= {w for part in found for w in part.split(", ")}
            else:
                self.declared |= words
            if name.startswith(("tools/", "third_party/", ".ci/")) or name == "Makefile":
                self.flags |= set(re.findall(r"--[a-z][a-z0-9-]+", text))

    def has_path(self, name: str) -> bool:
        name = name.rstrip("/")
        if "*" not in name:
            return name in self.paths or any(p.endswith("/" + name) for p in self.paths)
        return any(Path(p).match(name) for p in self.files)


def spans(text: str):
    """Yields (line number, code, whether it is a line of a code block)."""
    fenced, before = False, ""
    prose = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fenced = not fenced
            prose.append("")
            continue
        block = fenced or line.startswith("    ") and (not before or before.startswith("    "))
        if block:
            yield number, line.strip(), True
        before = line
        prose.append("" if block else line)
    joined = "\n".join(prose)
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", joined):
        yield joined.count("\n", 0, found.start()) + 1, " ".join(found[1].split()), False


def wrong(tree: Tree, code: str, block: bool):
    """Yields what the code names that does not exist."""
    code = re.sub(r"(^|\s)#.*", "", code)
    for words in re.findall(r"(?:^|[;&(] *)make ((?:[\w-]+ ?)+)(?![\w=-])", code) if not block or code.startswith("make ") else []:
        for word in re.sub(r"\b[A-Z]\w*$", "", words).split():
            if word not in tree.targets and not word[0].isupper():
                yield f"make {word}"
    for rest in re.findall(r"(?:^|bin/|[;&|(] ?|[A-Z]=\S+ |vidi )vidi ([^|>;&)]*)", code):
        yield from wrong_command(tree.vidi, rest.split())
    if block:
        for word in re.findall(r"[\w./*-]+", code):
            if word.split("/")[0] in tree.tops and "/" in word and not tree.has_path(word):
                yield word
        return
    for flag in re.findall(r"(?:^|\s)(--[a-z][a-z0-9-]+)", code):
        if flag not in tree.flags | FOREIGN:
            yield flag
    if re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", code):
        path = code.split("/")[0] in tree.tops and "/" in code or re.fullmatch(rf"[\w./*-]+\.{SOURCES}", code)
        if path and code not in FOREIGN and not code.startswith(("build/", "bin/")) and not tree.has_path(code):
            yield code
            return
    called = re.fullmatch(r"(?:[\w]+(?:\.|::))*([A-Za-z]\w*)(?:\(\))?", code)
    for word in re.findall(r"\w+", code.removesuffix("()")) if called else []:
        known = tree.words if "_" in word else tree.declared
        is_name = re.search(r"[a-z][A-Z]|[a-z]_[a-z]|^VIDI_|^[A-Z]\w+$", word) if "." in code or ":" in code else \
            re.search(r"[a-z][A-Z]|[A-Za-z]_[A-Za-z]", word)
        if is_name and word not in known and word not in FOREIGN and code not in FOREIGN:
            yield word


def wrong_command(of: program.Command, words: list[str], name: str = "vidi"):
    """Yields the first word that is no command of vidi, and each flag that its command does not have."""
    if words and words[0] == "help":
        return (yield from wrong_command(of, words[1:], name))
    while of.commands and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        if words[0] not in of.commands:
            yield f"{name} {words[0]}"
            return
        name, of, words = f"{name} {words[0]}", of.commands[words[0]], words[1:]
    for word in words:
        flag = re.match(r"--[a-z][\w-]*|-[a-zA-Z](?!\w)", word)
        if flag and flag[0] not in of.flags | {"--version", "-V"}:
            yield f"{name} {flag[0]}"


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)", text, re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\([^)]*\)", "", h)).strip().lower().replace(" ", "-") for h in heads}


def broken_links(root: Path, document: str, text: str):
    """Yields (line number, link) of each link to a file or heading that is not there."""
    for found in re.finditer(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = found[1].partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        to = (root / document).parent / name if name else root / document
        lost = not to.exists() or anchor and to.suffix == ".md" and anchor not in anchors(text if not name else to.read_text())
        if lost:
            yield text.count("\n", 0, found.start()) + 1, found[1]


def mistakes(tree: Tree, document: str, text: str) -> list[str]:
    found = [f"{document}:{n}: there is no {name}" for n, code, block in spans(text) for name in wrong(tree, code, block)]
    return found + [f"{document}:{n}: the link {link} leads nowhere" for n, link in broken_links(tree.root, document, text)]


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    tree, found = Tree(root), []
    for path in [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]:
        found += mistakes(tree, str(path.relative_to(root)), path.read_text())
    for path in sorted((root / "docs/notes").glob("*.md")):
        name = str(path.relative_to(root))
        found += [f"{name}:{n}: the link {link} leads nowhere" for n, link in broken_links(root, name, path.read_text())]
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
