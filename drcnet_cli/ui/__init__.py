"""`drcnet ui`: the page on which pictures are dropped, restored, compared and taken home."""

NEEDED = "The page needs the gradio package."  # where the extra is missing
