"""The HTTP routes below `/style_rag/`, and what they do."""
