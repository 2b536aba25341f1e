"""What a scene says of itself, without any localizer: what it holds, what it covers, whether it agrees with itself."""
