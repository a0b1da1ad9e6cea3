"""What plug-ins make of verdicts: a second look, a flaw that no rule names, what is known of the product."""
