"""Files: written whole or not at all, found below what a user names, and planned."""
