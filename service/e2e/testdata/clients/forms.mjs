// Sends the picture in all ways that fetch offers: node forms.mjs URL PICTURE. Prints each way and its status.

import { readFile } from "node:fs/promises";

const [url, path] = process.argv.slice(2);
const picture = await readFile(path);
const text = picture.toString("base64");

async function post(name, body, headers = {}, query = "") {
  const answer = await fetch(`${url}/predict?${query}`, { method: "POST", body, headers });
  const { detail = "" } = await answer.json();
  console.log(`${name}: ${answer.status} ${detail}`);
}

const form = (fields) => {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
};
const json = { "Content-Type": "application/json" };

await post("fetch, Buffer", picture);
await post("fetch, Blob", new Blob([picture], { type: "image/png" }), {}, new URLSearchParams({ parents: true, lang: "zh-CN" }));
await post("fetch, FormData of a Blob", form({ file: new Blob([picture]) }));
await post("fetch, FormData of a data URL", form({ image: `data:image/png;base64,${text}`, top_k: 2 }));
await post("fetch, FormData of a Blob of a data URL", form({ file: new Blob([`data:image/png;base64,${text}`]) }));
await post("fetch, URLSearchParams", new URLSearchParams({ image: text, top_k: 2, exif: false }));
await post("fetch, text", text);
await post("wrong: a File in JSON", JSON.stringify({ image: new File([picture], "a.png") }), json);
await post("wrong: a Buffer in JSON", JSON.stringify({ image: picture }), json);
await post("wrong: bytes in JSON", JSON.stringify({ image: [...picture] }), json);
await post("wrong: a File as text", form({ image: String(new File([picture], "a.png")) }));
await post("wrong: nothing", form({ image: undefined }));
await post("wrong: read as text", JSON.stringify({ image: picture.toString() }), json);
await post("wrong: a binary string", JSON.stringify({ image: picture.toString("binary") }), json);
await post("wrong: an object as body", { image: text });
