"""What the new model gets right, as a page for people and a file for programs."""

import dataclasses
import html
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from class_folders import Picture
from training import Epoch

WORST = 12  # mistakes shown
WIDTH, HEIGHT, MARGIN = 420, 220, 40


@dataclass
class Judgement:
    """`confusion[i][j]` pictures of class i were called j; `mistakes` are the surest wrong answers first."""

    right: int
    top3: int
    confusion: np.ndarray
    mistakes: list[tuple[Path, str, str, float]]  # picture, what it is, what it was called, with which probability


def judge(probabilities: np.ndarray, pictures: list[Picture], labels: list[dict]) -> Judgement:
    names = [label["label"] for label in labels]
    confusion = np.zeros((len(names), len(names)), dtype=int)
    mistakes, top3 = [], 0
    for row, picture in zip(probabilities, pictures, strict=True):
        order = np.argsort(-row, kind="stable")
        confusion[picture.label, order[0]] += 1
        top3 += picture.label in order[:3]
        if order[0] != picture.label:
            mistakes.append((picture.path, names[picture.label], names[order[0]], float(row[order[0]])))
    mistakes.sort(key=lambda mistake: -mistake[3])
    return Judgement(int(confusion.trace()), int(top3), confusion, mistakes)


def write(folder: Path, card: dict, found: Judgement, history: list[Epoch], skipped: list, counts: tuple[int, int], seconds: float) -> Path:
    """Writes report.html, curves.svg and metrics.json; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    curves = plot(history)
    (folder / "curves.svg").write_text(curves, encoding="utf-8")
    total = int(found.confusion.sum())
    names = [label["label"] for label in card["labels"]]
    recall = {name: float(row[n] / row.sum()) for n, (name, row) in enumerate(zip(names, found.confusion))}
    metrics = {
        "model": card["name"], "version": card["version"], "source": card["source"], "pictures": total,
        "top1": found.right / total, "top3": found.top3 / total, "recall": recall, "confusion": found.confusion.tolist(),
        "history": [dataclasses.asdict(epoch) for epoch in history],
        "skipped": [{"path": str(path), "reason": reason} for path, reason in skipped],
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", errors="backslashreplace")
    page = folder / "report.html"
    page.write_text(_page(card, found, curves, skipped, counts, seconds, recall), encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
    return page


def _page(card: dict, found: Judgement, curves: str, skipped: list, counts: tuple[int, int], seconds: float, recall: dict[str, float]) -> str:
    text = lambda value: html.escape(str(value))
    total = int(found.confusion.sum())
    names = list(recall)
    rows = []
    for n, name in enumerate(names):
        cells = "".join(_cell(int(count), int(found.confusion[n].sum()), n == column) for column, count in enumerate(found.confusion[n]))
        rows.append(f"<tr><th>{text(name)}</th>{cells}<td>{100 * recall[name]:.0f} %</td></tr>")
    mistakes = "".join(f"<tr><td>{text(path)}</td><td>{text(is_)}</td><td>{text(called)}</td><td>{100 * p:.1f} %</td></tr>" for path, is_, called, p in found.mistakes[:WORST])
    left_out = "".join(f"<li>{text(path)}: {text(reason)}</li>" for path, reason in skipped)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{text(card["name"])}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}table{{border-collapse:collapse}}td,th{{padding:.2em .6em;border:1px solid #ccc;text-align:right}}
th{{font-weight:600}}svg{{max-width:100%;height:auto}}.scroll{{overflow-x:auto}}</style>
<h1>{text(card["name"])}, version {text(card["version"])}</h1>
<p>{text(card["description"])}. It was {text(card["source"])}.</p>
<p><b>{100 * found.right / total:.1f} % right at once</b> ({found.right} of {total} pictures that it did not learn from); {100 * found.top3 / total:.1f} % among the first three.
{counts[0]} pictures were learnt from, {counts[1]} decided when to stop. It took {seconds:.0f} s.</p>
<h2>What was called what</h2>
<p>A row for what a picture shows, a column for what it was called.</p>
<div class="scroll"><table><tr><th></th>{"".join(f"<th>{text(name)}</th>" for name in names)}<th>right</th></tr>{"".join(rows)}</table></div>
<h2>The surest mistakes</h2>
{f"<div class=scroll><table><tr><th>picture</th><th>shows</th><th>was called</th><th>with</th></tr>{mistakes}</table></div>" if mistakes else "<p>None.</p>"}
<h2>How it learnt</h2>
{curves}
<h2>Pictures left out</h2>
{f"<ul>{left_out}</ul>" if left_out else "<p>None.</p>"}
</html>
"""


def _cell(count: int, of: int, diagonal: bool) -> str:
    colour = "46,125,50" if diagonal else "198,40,40"
    return f'<td style="background:rgba({colour},{0.6 * count / of if of else 0:.2f})">{count or ""}</td>'


def plot(history: list[Epoch]) -> str:
    """Loss and share of right answers over the epochs, learning and check pictures, as SVG."""
    loss = _axes(0, "loss", max(max(epoch.loss, epoch.check_loss) for epoch in history), [[e.loss for e in history], [e.check_loss for e in history]])
    right = _axes(1, "right, of 1", 1.0, [[e.right for e in history], [e.check_right for e in history]])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * (WIDTH + MARGIN)} {HEIGHT + 2 * MARGIN}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{loss}{right}'
        f'<text x="{MARGIN}" y="{HEIGHT + 1.8 * MARGIN}" fill="#1565c0">— learning pictures</text>'
        f'<text x="{MARGIN + 150}" y="{HEIGHT + 1.8 * MARGIN}" fill="#c62828">— check pictures</text></svg>'
    )


def _axes(column: int, title: str, top: float, series: list[list[float]]) -> str:
    left, bottom, top = MARGIN + column * (WIDTH + MARGIN), HEIGHT + MARGIN / 2, top or 1.0
    epochs = len(series[0])
    x = lambda n: left + (WIDTH - MARGIN) * (n / max(epochs - 1, 1))
    y = lambda value: bottom - (HEIGHT - MARGIN / 2) * value / top
    parts = [f'<text x="{left}" y="{MARGIN / 2}">{title}</text><path d="M{left} {MARGIN / 2 + 8}V{bottom}H{left + WIDTH - MARGIN}" fill="none" stroke="#888"/>']
    for value in (0, top / 2, top):
        parts.append(f'<text x="{left - 4}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    parts.append(f'<text x="{x(epochs - 1):.1f}" y="{bottom + 16}" text-anchor="end">{epochs} epochs</text>')
    for values, colour in zip(series, ("#1565c0", "#c62828")):
        points = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in enumerate(values))
        dots = "".join(f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="2" fill="{colour}"/>' for n, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>{dots}')
    return "".join(parts)
