"""Sketch to edges, and how well a picture keeps them. NumPy and OpenCV, no torch."""
