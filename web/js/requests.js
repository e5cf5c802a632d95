// The pack's HTTP routes as functions. A refusal becomes an Error with the server's own sentence.
import { api } from "../../../scripts/api.js";
import { t } from "./words.js";

const base = (name) => `/style_rag/${encodeURIComponent(name)}`;
const styleUrl = (name, id) => `${base(name)}/styles/${id}`;

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await api.fetchApi(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(t("The server does not answer. It is asked again once it is back."));
  }
  const kind = answer.headers.get("Content-Type") ?? "";
  const body = kind.startsWith("application/json") ? await answer.json() : {};
  const status = `${answer.status} ${answer.statusText}`;
  if (!answer.ok) throw new Error(body.error ?? t("The server answered {status}.", { status }));
  return body;
}

function sendJson(path, method, value) {
  return ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
}

export const thumbnailUrl = (name, id) => api.apiURL(`${styleUrl(name, id)}/thumbnail`);
export const listKnowledgeBases = () => ask("/style_rag/knowledge_bases");
export const backupUrl = (name) => api.apiURL(`${base(name)}/backup`);
export const deleteBase = (name) => ask(base(name), { method: "DELETE" });
export const renameBase = (name, to) => sendJson(base(name), "PATCH", { name: to });
export const copyBase = (name, to) => sendJson(`${base(name)}/copy`, "POST", { name: to });
export const listLabels = (name, signal) => ask(`${base(name)}/labels`, { signal });

export function listStyles(name, offset, limit, filter, signal) {
  return ask(`${base(name)}/styles?${new URLSearchParams({ offset, limit, filter })}`, { signal });
}

export function search(name, q, strategy, filter, signal) {
  return ask(`${base(name)}/search?${new URLSearchParams({ q, strategy, filter, top_k: 100 })}`, { signal });
}

export function addPicture(name, blob, fileName, caption, encoder = "") {
  const form = new FormData();
  form.append("captions", caption.replace(/\s+/g, " "));
  form.append("encoder", encoder);
  form.append("images", blob, fileName);
  return ask(`${base(name)}/styles`, { method: "POST", body: form });
}

export function describeStyle(name, id, caption, tags) {
  return sendJson(styleUrl(name, id), "PATCH", { caption, tags });
}

export const removeStyle = (name, id) => ask(styleUrl(name, id), { method: "DELETE" });
export const restoreStyle = (name, id) => ask(`${styleUrl(name, id)}/restore`, { method: "POST" });

// The filter that asks for a tag and a licence, as RetrieveStyle writes it.
export function filterOf(tag, licence) {
  const term = (field, value) => (value ? [`${field}:"${value.replace(/["\\]/g, "\\$&")}"`] : []);
  return [...term("tag", tag), ...term("license", licence)].join(" ");
}
