// The last call as a program. People paste these into a shell, so a file name that could mean anything there is not used.

const harmless = /^[\p{L}\p{N}][\p{L}\p{N} ._()-]*$/u;

function fileName(name) {
  if (harmless.test(name)) return name;
  const ending = /\.[a-z]{3,4}$/i.exec(name)?.[0] ?? ".jpg";
  return `picture${ending}`;
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const literal = JSON.stringify; // Go's and Python's strings have the same escapes

const goOpen = 'response, err := http.Post(url, "application/octet-stream", bytes.NewReader(picture))';

// The key is in the environment, not in the program: programs get shown around.
const goKeyed = `request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(picture))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("VIDI_KEY"))
	response, err := http.DefaultClient.Do(request)`;

const programs = {
  curl: (url, name, keyed) => `curl ${keyed ? '-H "Authorization: Bearer $VIDI_KEY" ' : ""}--data-binary @${shell(name)} ${shell(url)}`,

  python: (url, name, keyed) => `import json
${keyed ? "import os\n" : ""}import urllib.request

with open(${literal(name)}, "rb") as file:
    picture = file.read()
request = urllib.request.Request(
    ${literal(url)},
    picture,
    {"Content-Type": "application/octet-stream"${keyed ? `, "Authorization": "Bearer " + os.environ["VIDI_KEY"]` : ""}},
)
with urllib.request.urlopen(request, timeout=30) as response:
    answer = json.load(response)
for prediction in answer["results"][0]["predictions"]:
    print(prediction["label"], prediction["confidence"], "%")`,

  go: (url, name, keyed) => `package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	picture, err := os.ReadFile(${literal(name)})
	if err != nil {
		log.Fatal(err)
	}
	url := ${literal(url)}
	${keyed ? goKeyed : goOpen}
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		log.Fatal(response.Status)
	}
	var answer struct {
		Results []struct {
			Predictions []struct {
				Label      string
				Confidence float64
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	for _, p := range answer.Results[0].Predictions {
		fmt.Println(p.Label, p.Confidence, "%")
	}
}`,
};

// snippet is a program that sends the file of that name to url, with the key from $VIDI_KEY where one is asked for.
export const snippet = (language, url, name, keyed) => programs[language](String(url), fileName(name), keyed);

// copy puts text into the clipboard and reports whether it is there. Browsers have the clipboard's API on https and
// localhost only; the old way needs a selection.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.className = "unseen";
    area.style.whiteSpace = "pre"; // or the lines would lose their indents
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    let copied = false;
    try {
      copied = document.execCommand("copy");
    } catch {
      // The caller says how to copy by hand.
    }
    area.remove();
    focused?.focus();
    return copied;
  }
}
