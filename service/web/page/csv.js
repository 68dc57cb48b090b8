// The answers as a file for spreadsheets.

import { nameIn } from "./names.js";

const columns = 3;

// Spreadsheets run cells that begin like a formula, and file names come from anywhere. An apostrophe makes them text. It also
// goes after separators inside a cell: a spreadsheet that splits at semicolons sees a new cell there.
const defuse = (text) => text.replace(/(^|[;,|\t\r\n])(\s*["']?)(?=[=+\-@＝＋－＠])/g, "$1$2'").replace(/^(?=[\t\r])/, "'");

function cell(value) {
  if (typeof value === "number") return String(value);
  return `"${defuse(String(value ?? "")).replaceAll('"', '""')}"`;
}

// csv is one line for each picture, in the layout of `vidi classify --format csv` (service/cmd/vidi/csv.go): the two change together. The mark at its beginning tells Excel that it is UTF-8.
export function csv(pictures) {
  const names = ["file", "width", "height", "format", "model"];
  for (let i = 1; i <= columns; i++) names.push(`label_${i}`, `zh_${i}`, `percent_${i}`);
  names.push("tags", "warnings", "error");
  const lines = [names.map(cell).join(",")];
  for (const { name, answer, problem } of pictures) {
    const result = answer?.results[0];
    const line = [name, result?.width ?? "", result?.height ?? "", result?.format ?? "", answer?.model ?? ""];
    for (let i = 0; i < columns; i++) {
      const prediction = result?.predictions[i];
      line.push(prediction?.label ?? "", prediction ? nameIn(prediction, "zh") : "", prediction?.confidence ?? "");
    }
    line.push(result?.tags?.map(({ tag }) => tag).join("; ") ?? "");
    line.push(result?.warnings.join(" ") ?? "", problem?.code ?? "");
    lines.push(line.map(cell).join(","));
  }
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

// save offers text as a download.
export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // some browsers begin to read only after the click's handler
}
