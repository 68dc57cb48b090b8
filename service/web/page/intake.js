// The ways in: the file chooser, the camera, drag and drop (folders too), the clipboard.

const readable = /\.(jpe?g|jpe|jf?if|png|webp|gif|bmp|tiff?)$/i;

// intake calls take with an array of files whenever some come in. zone is the element that shows where to drop.
export function intake({ inputs, zone, take }) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      take([...input.files]);
      input.value = ""; // or choosing the same file again would be no change
    });
  }
  // A click beside the buttons is meant for the first of them. For the keyboard there are the buttons.
  zone.addEventListener("click", (event) => {
    if (!event.target.closest("label, input, button")) inputs[0].click();
  });

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });

  // The whole page takes drops: one that misses the zone would else make the browser leave the page and show the file.
  let depth = 0;
  const hover = (by) => {
    depth = by === 0 ? 0 : depth + by;
    zone.classList.toggle("hover", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carriesFiles(event) && hover(1));
  document.addEventListener("dragleave", (event) => carriesFiles(event) && hover(-1));
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    hover(0);
    take(await dropped(event.dataTransfer));
  });
}

// dropped is the files of a drop, and those of dropped folders that are named like pictures: folders also hold what nobody
// meant to send. The list of entries must be taken before the first await; after it the browser has emptied it.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) await collect(entry, files, true);
  return files;
}

// collect adds what is in an entry to files. What the browser may not read is left out, and the rest is taken.
async function collect(entry, files, named) {
  try {
    await read(entry, files, named);
  } catch (problem) {
    console.warn(`${entry.fullPath}: ${problem}`);
  }
}

async function read(entry, files, named) {
  if (entry.isFile) {
    if (named || readable.test(entry.name)) files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // Browsers give a folder's content in parts, and end with an empty one.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return;
    for (const inner of part) await collect(inner, files, false);
  }
}
