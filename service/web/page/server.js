// Talks to the server: docs/api.md is what it says. One picture is one request, so that each has its own error.

import { authorization } from "./key.js";

const at = (path) => new URL(path, document.baseURI);

// Problem is why something failed: the server's code, or one of the page's own (unreachable, unreadable, other).
export class Problem extends Error {
  constructor(code, { detail = "", status = 0, id = "", retryAfter = null } = {}) {
    super(detail || code);
    Object.assign(this, { code, detail, status, id, retryAfter });
  }
}

// Retry-After is a number of seconds or a date.
function seconds(header) {
  if (!header) return null;
  const value = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(value) ? Math.max(0, value) : null;
}

// A proxy's own errors are no problem+json: then the status alone has to do.
async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  const byStatus = { 401: "unauthorized", 403: "forbidden", 408: "request_timeout", 413: "body_too_large", 429: "rate_limited", 504: "deadline_exceeded" };
  return new Problem(typeof problem?.code === "string" ? problem.code : byStatus[response.status] ?? "other", {
    detail: typeof problem?.detail === "string" ? problem.detail : "",
    id: response.headers.get("X-Request-Id") ?? "",
    status: response.status,
    retryAfter: seconds(response.headers.get("Retry-After")),
  });
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(at(path), {
      ...options, cache: "no-store", credentials: "same-origin", headers: { ...options?.headers, ...authorization() },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("unreachable", { detail: error.message });
  }
  if (!response.ok) throw await problemOf(response);
  return response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem("other", { status: response.status });
  });
}

// sleep waits, or throws when the signal says so.
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

// untilReady waits until the server would classify, and calls waiting with the code of why it does not each time it asked.
export async function untilReady(waiting) {
  for (;;) {
    try {
      await ask("readyz");
      return;
    } catch (problem) {
      waiting(problem.code);
      await sleep(1000 * Math.min(10, problem.retryAfter ?? 2));
    }
  }
}

// served is what the server has: {models: […], limits: {…}}.
export const served = () => ask("api/v1/models");

// predictURL is where pictures go; the model is only named where there is a choice.
export function predictURL(model) {
  const url = at("api/v1/predict");
  url.searchParams.set("top_k", "3");
  if (model) url.searchParams.set("model", model);
  return url;
}

const busy = new Set([429, 503]);
const attempts = 6;
const patience = 60; // seconds: who is told to wait longer decides for themselves

// classify sends one picture and returns the server's answer. While the server is busy it waits as long as it is told to,
// calling busyFor with the seconds, and tries again.
export async function classify(file, { model, signal, busyFor }) {
  const url = predictURL(model);
  url.searchParams.set("parents", "true");
  for (let attempt = 1; ; attempt++) {
    try {
      // The type is given, because a browser would else guess it by the name: .json would not be read as a picture.
      return checked(await ask(url, { method: "POST", body: file, signal, headers: { "Content-Type": "application/octet-stream" } }));
    } catch (problem) {
      if (problem.code === "unreachable") throw (await readable(file)) ? problem : new Problem("unreadable");
      const wait = problem.retryAfter ?? Math.min(30, 2 ** attempt);
      if (!busy.has(problem.status) || attempt === attempts || wait > patience) throw problem;
      busyFor(Math.ceil(wait));
      await sleep(1000 * wait * (1 + Math.random() / 4), signal); // not all at the same moment
    }
  }
}

// checked is an answer that has what the page shows: a proxy's log-in page, or another server, may have answered.
function checked(answer) {
  const result = answer?.results?.[0];
  if (!Array.isArray(result?.predictions) || !Array.isArray(result.warnings)) throw new Problem("other", { status: 200 });
  return answer;
}

// A file that was moved or changed since it was chosen fails like a broken line does.
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
