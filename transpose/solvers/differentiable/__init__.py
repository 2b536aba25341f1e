"""Poses that losses can be sent back through, losses on distributions of poses, and samples from them."""
