"""`drcnet ui`: the page on which pictures are dropped, restored, compared and taken home."""
