"""What the answers are worth: extraction, verdicts, metrics, standard errors."""
