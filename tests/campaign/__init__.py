"""Long campaigns: plain scripts, run by hand; README.md says how."""
