"""Outputs that others published: foreign files become runs, and their verdicts are set beside ours."""
