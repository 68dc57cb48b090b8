"""The commands and flags of vidi, read from the Go structs that kong makes them of."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS = "service/cmd/vidi", "service/config"


@dataclass
class Command:
    flags: set[str] = field(default_factory=lambda: {"--help", "-h"})
    commands: dict[str, "Command"] = field(default_factory=dict)


def dashed(name: str) -> str:
    """A field's name as a flag or a command: CORSOrigin is cors-origin."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def read(root: Path) -> Command:
    structs = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.go")):
            for name, body in re.findall(r"^type (\w+) struct \{\n(.*?)^\}", path.read_text(), re.M | re.S):
                structs[name] = body
    return command(structs, "cli", set())


def command(structs: dict[str, str], name: str, inherited: set[str]) -> Command:
    made = Command()
    made.flags |= inherited
    below = []
    for line in structs.get(name, "").splitlines():
        embedded = re.match(r"\t(?:\w+\.)?(\w+)(?:\s+`embed:\"\"`)?(?:\s*//.*)?$", line)
        tagged = re.match(r"\t(\w+)\s+(\S+)\s+`(.*)`", line)
        if embedded:
            part = command(structs, embedded[1], set())
            made.flags |= part.flags
            made.commands |= part.commands
        elif tagged and tagged[1][0].isupper():
            tag = dict(re.findall(r'(\w+):"((?:[^"\\]|\\.)*)"', tagged[3]))
            own = tag.get("name") or dashed(tagged[1])
            if "cmd" in tag:
                below.append((own, tagged[2], tag.get("aliases", "")))
            elif "arg" not in tag:
                made.flags |= {"--" + own} | ({"--no-" + own} if "negatable" in tag else set())
                made.flags |= {"-" + tag["short"]} if "short" in tag else set()
    for own, struct, aliases in below:
        for each in [own, *filter(None, aliases.split(","))]:
            made.commands[each] = command(structs, struct, made.flags)
    return made


def all_flags(of: Command) -> set[str]:
    return of.flags.union(*(all_flags(c) for c in of.commands.values()))
