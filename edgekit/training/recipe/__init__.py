"""PaddleClas's training configurations."""
