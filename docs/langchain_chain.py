"""An LCEL chain from prompt and sketch to a picture: finds the style here, paints on a running ComfyUI.

python docs/langchain_chain.py SKETCH "PROMPT" OUT.png http://127.0.0.1:8188 ComfyUI/user/__style_rag/starter
"""

import json
import sys
import time
from operator import itemgetter
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import style_rag
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from style_rag.retrieval.encoders.encoder import StyleEncoder
from style_rag.retrieval.langchain_retriever import StyleRetriever
from style_rag.retrieval.store.store import StyleStore

sketch, prompt, out, server, knowledge_base = sys.argv[1:]
model = Path(style_rag.__path__[0]) / "models" / "clip-tiny"  # what made the knowledge base
encoder = StyleEncoder("bundled/clip-tiny", model, model)
retriever = StyleRetriever(store=StyleStore(Path(knowledge_base)), encoder=encoder, top_k=1)


def send(path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    return urlopen(Request(server + path, body, {"Content-Type": kind})).read()


def upload(file: str) -> str:
    """Put a picture into ComfyUI's input folder; return the name that LoadImage wants."""
    form = b'--line\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n--line--\r\n'
    form %= (Path(file).name.encode(), Path(file).read_bytes())
    return json.loads(send("/upload/image", form, "multipart/form-data; boundary=line"))["name"]


def to_workflow(asked: dict) -> dict:
    """Fill the quickstart in: sketch, prompt, and the styles that were found, pinned."""
    folder = Path(__file__).parents[1] / "workflows" / "api"
    workflow = json.loads((folder / "quickstart.json").read_text(encoding="utf-8"))
    inputs = {node["class_type"]: node["inputs"] for node in workflow.values()}
    inputs["LoadImage"]["image"] = upload(asked["sketch"])
    inputs["PrimitiveStringMultiline"]["value"] = asked["prompt"]
    inputs["StyleKnowledgeBase"].update(name=Path(knowledge_base).name, sources="", update="open")
    inputs["RetrieveStyle"]["pinned"] = "\n".join(document.id for document in asked["styles"])
    if not asked["styles"]:
        del inputs["ControlNetIPAdapterSampler"]["references"]
    return workflow


def paint(workflow: dict) -> bytes:
    """Run a workflow on ComfyUI; return the PNG that it saved."""
    body = {"prompt": workflow, "extra_data": {"extra_pnginfo": {}}}
    prompt_id = json.loads(send("/prompt", json.dumps(body).encode()))["prompt_id"]
    while not (history := json.loads(send(f"/history/{prompt_id}"))):
        time.sleep(0.2)
    outputs = history[prompt_id]["outputs"].values()
    saved = [image for node in outputs for image in node.get("images", []) if image["type"] == "output"]
    return send("/view?" + urlencode(saved[0]))


find = RunnablePassthrough.assign(styles=itemgetter("prompt") | retriever)
chain = find | {"styles": itemgetter("styles"), "png": RunnableLambda(to_workflow) | RunnableLambda(paint)}

answer = chain.invoke({"prompt": prompt, "sketch": sketch})
Path(out).write_bytes(answer["png"])
for style in answer["styles"]:
    print(f"{style.page_content}: score {style.metadata['score']}, {style.metadata['file']}")
