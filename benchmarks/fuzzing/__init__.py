"""What `benchmarks/fuzz.py` and tests share: broken files made of whole ones, and every reader to read them."""
