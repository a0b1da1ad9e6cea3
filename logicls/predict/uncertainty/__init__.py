"""How sure one may be: from the chances of answers to the probability of broken rules, and when a person looks."""
