"""Prompt to style reference: CLIP embeddings of pictures, stored and searched in Chroma.

Knows pictures, words and vectors; knows neither ComfyUI nor what is done with a reference.
"""
