"""The server in the image answers as it must: photographs against the goldens, and the page with all that it is made of."""

import json
import math
import os
import re
import tempfile
from pathlib import Path

from checks import Checks
from sandbox import Launcher

GOLDENS = json.loads(Path("service/e2e/testdata/goldens.json").read_text())
ESPRESSO = Path("examples/espresso.png").read_bytes()
# docs/parity.md: of the logits' standard deviation.
MOST_LOGIT_ERROR = 1e-4
# Probabilities are answered with six digits; below this too few of them are left to compare logarithms.
LEAST_PROBABILITY = 1e-3


def answers(checks: Checks, launcher: Launcher) -> None:
    with launcher.start(default_ports=True) as server:
        server.wait_ready()
        checks.check("ANYONE WHO REACHES THIS PORT CAN USE THIS SERVER" in server.said(), "without a key file the log warns that it is open")
        model = server.predict(ESPRESSO)["model"]
        if model not in GOLDENS:
            checks.skip("the goldens", f"there are none for {model}")
            return
        worst, compared = 0.0, 0
        for name, golden in GOLDENS[model].items():
            found = server.predict(Path("examples", name).read_bytes(), "?top_k=1000")["results"][0]["predictions"]
            first = found[0]
            same = first["class_id"] == golden["top"][0] and abs(first["confidence"] - golden["top"][1]) <= 0.5
            checks.check(same, f"{name} is what Python says", f"{first['label']} {first['confidence']} %")
            probability = {prediction["class_id"]: prediction["probability"] for prediction in found}
            top = golden["top"][0]
            for text, logit in golden["logits"].items():
                p = probability[int(text)]
                if p < LEAST_PROBABILITY or int(text) == top:
                    continue
                # The softmax keeps differences of logits; half a digit of rounding in either probability is not the network's.
                off = abs(math.log(p / probability[top]) - (logit - golden["logits"][str(top)]))
                worst = max(worst, (off - 0.5e-6 / p - 0.5e-6 / probability[top] - 1e-6) / golden["deviation"])
                compared += 1
        checks.check(compared >= 20 and worst <= MOST_LOGIT_ERROR, f"its logits are Python's, to {MOST_LOGIT_ERROR:g} of their spread",
                     f"{compared} compared, off by {max(worst, 0):.1e}")
    with tempfile.TemporaryDirectory() as empty:
        os.chmod(empty, 0o755)
        with launcher.start(models=Path(empty)) as server:
            server.wait_ready()
            checks.check(server.predict(ESPRESSO)["model"] == model, "an empty volume over /models does not hide the model", model)


def page(checks: Checks, launcher: Launcher) -> None:
    with launcher.start() as server:
        server.wait_ready()
        status, html = server.get("/", headers={"Accept": "text/html"})
        checks.check(status == 200 and b"<title>" in html, "the page is there at first sight", f"{len(html)} bytes")
        seen, missing, todo = set(), [], set(_references(html.decode(), "/"))
        while todo:
            path = todo.pop()
            seen.add(path)
            status, body = server.get(path)
            if status != 200 or not body:
                missing.append(f"{path} {status}")
            elif path.endswith((".js", ".css")):
                todo |= set(_references(body.decode(), path)) - seen
        checks.check(len(seen) >= 10 and not missing, "so is everything that it is made of", " ".join(missing) or f"{len(seen)} files")
        sample = next((path for path in sorted(seen) if path.endswith("espresso.jpg")), "")
        first = server.predict(server.get(sample)[1])["results"][0]["predictions"][0]["label"] if sample else "no such sample"
        checks.check(first == "espresso", "its own sample photograph of an espresso is one", first)


def _references(text: str, base: str) -> list[str]:
    found = re.findall(r"""(?:src|href)="([^"#]+)"|(?:from|import) ?\(?["']([^"']+)["']""", text)
    names = ["".join(groups) for groups in found]
    return [name if name.startswith("/") else base.rsplit("/", 1)[0] + "/" + name.removeprefix("./") for name in names if "://" not in name]
