// The texts of this pack in the editor's language. English is in the code; the others are in locales/LANGUAGE/, which
// ComfyUI serves.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const NODES = ["CannyFromSketch", "ControlNetIPAdapterSampler", "LoadStyleLoRA", "LoadStylePipeline"];
NODES.push("RetrieveStyle", "ScoreStyledImage", "StyleKnowledgeBase");
const LOADING = 5000; // milliseconds until the editor's own texts are given up

const titleOf = (node) => `nodeDefs.${node}.display_name`;

let words = {};

// Reads the editor's language; without its texts, or without an answer, all stays English.
export async function loadWords() {
  const language = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
  if (language === "en") return;
  const answer = await api.fetchApi("/i18n").catch(() => null);
  const texts = answer?.ok ? ((await answer.json())[language] ?? {}) : {};
  words = texts.styleRag ?? {};
  await keepNodeTexts(language, texts.nodeDefs ?? {});
}

// Front ends before December 2025 (PR 7214) drop what packs say of their nodes as soon as their own texts of a language
// are there. Once those are, ours go in again; where nothing was lost, nothing is done.
async function keepNodeTexts(language, nodeDefs) {
  const provided = document.querySelector("#vue-app")?.__vue_app__?._context?.provides ?? {};
  const all = Object.getOwnPropertySymbols(provided).map((symbol) => provided[symbol]?.global);
  const translator = all.find((one) => one?.mergeLocaleMessage && one.te);
  if (!translator || !NODES.some((node) => node in nodeDefs)) return;
  const end = Date.now() + LOADING;
  while (!translator.te(titleOf("KSampler"), language) && Date.now() < end) {
    await new Promise((done) => setTimeout(done, 20));
  }
  if (NODES.every((node) => translator.te(titleOf(node), language))) return;
  const ours = Object.fromEntries(NODES.map((node) => [node, nodeDefs[node]]));
  translator.mergeLocaleMessage(language, { nodeDefs: ours });
}

// An English text in the editor's language, with {name} for each of the values.
export function t(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
