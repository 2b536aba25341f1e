"""Training: one visible loop, the recipes that feed it, and validation."""
