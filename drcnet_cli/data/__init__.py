"""Training data: pairs of images on disk, and degradations made on the fly."""
