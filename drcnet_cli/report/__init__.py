"""Results for reading: tables, CSV, JSON, Markdown, and pages with pictures."""
