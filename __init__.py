"""Style RAG for ComfyUI: a prompt and a sketch to a picture in a retrieved style."""

if __package__:  # empty when a test runner imports this file by its path
    WEB_DIRECTORY = "./web"

    async def comfy_entrypoint():
        """Called once by ComfyUI when it loads the pack."""
        from .nodes import load

        return load()
