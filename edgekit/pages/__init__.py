"""Self-contained HTML pages to look at: answers, accuracy, the zoo."""
