"""Results as tables, CSV, Markdown, JSON and HTML."""
