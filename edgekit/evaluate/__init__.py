"""Accuracy of artifacts on pictures with their truth; the task says what is true and how it is counted."""
