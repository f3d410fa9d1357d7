"""Pages of results: plain values and pictures, drawn as HTML and SVG."""
