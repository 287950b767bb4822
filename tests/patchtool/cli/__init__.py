"""Commands of the tool, as people and CI type them."""
